"""Scoring a given text: the embedded server beside transformers, and servers that echo.

`tests/data/score_reference.json` has what transformers computes in float32 from the same file of
weights (`tools/score_reference.py` made it). llama.cpp quantises the activations too, so its
log-probabilities scatter around these: by 0.085 on average over 482 tokens, 0.57 at most, with
hardly any leaning (0.003). `make check-train` asks transformers anew.
"""

import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.message import Message
from pathlib import Path
from statistics import mean
from threading import Event, Lock

import pytest
from support.engines import LLM, engine_on
from support.params import sampling, section
from support.project import ROOT
from support.server import Cut, Reply, serving

from seedbed.llm import errors
from seedbed.llm.contract.request import Request
from seedbed.llm.params import Llm
from seedbed.llm.send import limits
from seedbed.llm.send.score import Score, Scorer
from seedbed.llm.serve import embedded
from seedbed.llm.serve.endpoint import Endpoint, open_endpoint
from seedbed.llm.store.store import Store

REFERENCE = json.loads((ROOT / "tests/data/score_reference.json").read_text(encoding="utf-8"))
# Of a long text so many characters, and so many tokens: all 315 would take half a minute.
LONG, BEGUN = 439, 95
CASES = [
    {**case, "text": case["text"][:LONG]}
    | {name: case[name][:BEGUN] for name in ("ids", "logprobs")}
    for case in REFERENCE["cases"]
]
PACKAGED = section(Llm, model=embedded.PACKAGED)
# Nats a token: on average over all tokens, their leaning, one token, on average over one text.
ALL, LEANING, ONE, TEXT = 0.12, 0.03, 1.0, 0.18

Pair = tuple[str, str]


# --- the embedded server


@pytest.fixture(scope="module")
def local(model_server: tuple[str, str]) -> Iterator[Endpoint]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OPENAI_BASE_URL", raising=False)
        with open_endpoint(PACKAGED) as endpoint:
            yield replace(endpoint, connect=lambda: model_server)


def score_all(endpoint: Endpoint, path: Path, pairs: list[Pair]) -> list[Score]:
    with engine_on(endpoint, path) as engine:
        return list(engine.score(pairs))


@pytest.fixture(scope="module")
def scored(local: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> list[Score]:
    """The reference's cases as the embedded server scores them."""
    path = tmp_path_factory.mktemp("scored") / "s.sqlite"
    return score_all(local, path, [(case["prompt"], case["text"]) for case in CASES])


def misses(scores: list[float], reference: list[float]) -> list[float]:
    return [score - other for score, other in zip(scores, reference, strict=True)]


def test_the_reference_was_made_with_the_packaged_model_and_hard_texts_are_in_it() -> None:
    assert REFERENCE["model_sha256"] == embedded.model_file(embedded.PACKAGED)[1]
    assert sum(len(case["ids"]) for case in REFERENCE["cases"]) == 482
    assert sum(len(case["ids"]) for case in CASES) == 262
    assert all(len(case["ids"]) == len(case["logprobs"]) for case in CASES)
    texts = "".join(case["text"] for case in CASES)
    assert all(piece in texts for piece in ("\n", "\t", '"', "\\", "🦖", "𓀀", "e\u0301"[1:]))


def test_scores_are_those_of_transformers_but_for_the_rounding(scored: list[Score]) -> None:
    found = [
        misses(score.logprobs, case["logprobs"]) for score, case in zip(scored, CASES, strict=True)
    ]
    every = [miss for case in found for miss in case]
    assert mean(map(abs, every)) <= ALL
    assert abs(mean(every)) <= LEANING
    assert max(map(abs, every)) <= ONE
    assert max(mean(map(abs, case)) for case in found) <= TEXT


def test_scores_of_the_tokens_beside_are_far_from_the_reference(scored: list[Score]) -> None:
    reference = CASES[0]["logprobs"]
    later, earlier = scored[0].logprobs[1:], scored[0].logprobs[:-1]
    assert mean(map(abs, misses(later, reference[:-1]))) > 10 * ALL
    assert mean(map(abs, misses(earlier, reference[1:]))) > 10 * ALL


@pytest.mark.parametrize("prompt", ["", "My favourite colour is", "The capital of France is Lyon,"])
def test_scores_under_another_prompt_are_far_from_the_reference(
    local: Endpoint, tmp_path: Path, prompt: str
) -> None:
    (score,) = score_all(local, tmp_path / "s.sqlite", [(prompt, CASES[0]["text"])])
    assert mean(map(abs, misses(score.logprobs, CASES[0]["logprobs"]))) > 2 * TEXT
    assert max(map(abs, misses(score.logprobs, CASES[0]["logprobs"]))) > ONE


def test_the_tokens_of_a_score_spell_the_text(scored: list[Score]) -> None:
    for score, case in zip(scored[:-1], CASES[:-1], strict=True):
        assert "".join(score.tokens) == case["text"]
    # The last has a character in four pieces, each of them a byte.
    data = b"".join(
        token.encode("latin-1" if max(token) < "\u0100" else "utf-8") for token in scored[-1].tokens
    )
    assert data.decode() == CASES[-1]["text"]


def test_scores_are_those_of_transformers_asked_anew(
    local: Endpoint,
    model_server: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for package in ("torch", "transformers", "gguf", "accelerate"):
        pytest.importorskip(package)
    monkeypatch.syspath_prepend(ROOT / "tools")
    import score_reference

    in_file = [CASES[0], CASES[2], CASES[8]]
    pairs = [(case["prompt"], case["text"]) for case in in_file]
    pairs.append(("Whatever was not in the file:", " a walrus, two forks and\na “bicycle”."))
    cases = score_reference.tokenized(model_server, pairs)
    score_reference.add_log_probabilities(embedded.model_file(embedded.PACKAGED)[0], cases)
    for case, kept in zip(cases, in_file, strict=False):
        assert case["ids"] == kept["ids"]
        assert case["logprobs"] == pytest.approx(kept["logprobs"], abs=1e-3)
    for case, score in zip(cases, score_all(local, tmp_path / "s.sqlite", pairs), strict=True):
        found = misses(score.logprobs, case["logprobs"])
        assert mean(map(abs, found)) <= TEXT
        assert max(map(abs, found)) <= ONE


def test_a_grammar_and_a_bias_give_the_same_bits(
    local: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [("Task: Greet.\nOutput:", ' "Good morning",\nsaid <b> the\tcrow. '), ("", " Once")]
    asked: list[int] = []
    by_bias = Scorer._by_bias

    async def none(*_: object) -> None:
        return None

    async def counted(self: Scorer, before: list[int], id_: int, *, first: bool) -> float:
        asked.append(id_)
        return await by_bias(self, before, id_, first=first)

    monkeypatch.setattr(Scorer, "_by_bias", counted)
    together = score_all(local, tmp_path / "together.sqlite", pairs)
    assert asked == []
    monkeypatch.setattr(Scorer, "_by_grammar", none)
    one_by_one = score_all(local, tmp_path / "one_by_one.sqlite", pairs)
    assert len(asked) == sum(len(score.tokens) for score in together) > 10
    assert together == one_by_one


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        # After "x" the model's own first choice is a lead byte nowhere; in " 🧌 🫨" it is one.
        (" 🧌", [" ", "\xf0", "\x9f", "\xa7", "\x8c"]),
        (" 🧌 🫨 rare", None),
        ("a\x00b", ["a", "\x00", "b"]),
        ("\r\n\t", ["\r", "\n", "\t"]),
        (" \"a\" \\ 'b'\n\n\nroot ::= <[12]>", None),
        # In a text the name of a special token is nothing but letters.
        ("<eos>", ["<", "eos", ">"]),
        ("<h1>hi</h1>", ["<h1>", "hi", "</h1>"]),
    ],
)
def test_any_text_has_a_score(
    local: Endpoint, tmp_path: Path, text: str, tokens: list[str] | None
) -> None:
    (score,) = score_all(local, tmp_path / "s.sqlite", [("x", text)])
    assert tokens is None or score.tokens == tokens
    assert len(score.tokens) == len(score.logprobs) > 1
    assert all(-60 < logprob < 0 for logprob in score.logprobs)
    assert score.total == sum(score.logprobs)


def test_a_text_that_no_grammar_takes_is_not_waited_for(
    local: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def paused(attempt: int) -> float:
        raise AssertionError("the server refuses it each time; there is nothing to wait for")

    monkeypatch.setattr("seedbed.llm.send.session.pause_before", paused)
    assert len(score_all(local, tmp_path / "s.sqlite", [("x", "a\x00b")])[0].tokens) == 3


def test_a_text_may_fill_the_context_and_one_token_more_is_refused_with_the_figures(
    local: Endpoint, tmp_path: Path
) -> None:
    context = PACKAGED.embedded.context
    llm = PACKAGED.model_copy(
        update={"embedded": PACKAGED.embedded.model_copy(update={"context": 8})}
    )
    small = replace(local, llm=llm)
    (score,) = score_all(small, tmp_path / "fits.sqlite", [("x", " a" * 6)])
    assert len(score.tokens) == 6  # and two: the beginning of a text, and "x"
    with pytest.raises(errors.ScoringNotOffered, match=r"have 2 and 7 tokens.*context is 8"):
        score_all(small, tmp_path / "too_long.sqlite", [("x", " a" * 7)])
    # And the server itself, whose context is larger, has no other idea of it.
    with pytest.raises(errors.ScoringNotOffered, match=rf"have 2 and {context - 1} tokens"):
        score_all(local, tmp_path / "too_long.sqlite", [("x", " a" * (context - 1))])
    assert "raise llm.embedded.context" in str(_failure(small, tmp_path))


def _failure(endpoint: Endpoint, tmp_path: Path) -> Exception:
    with pytest.raises(errors.ScoringNotOffered) as failure:
        score_all(endpoint, tmp_path / "too_long.sqlite", [("x", " a" * 9)])
    return failure.value


def test_what_was_asked_before_changes_neither_a_score_nor_an_answer(
    local: Endpoint, tmp_path: Path
) -> None:
    # Long enough for the rounding to show how much of it came from the prompt cache.
    prefix = (ROOT / "data/prompts/clf/is_classification.txt").read_text()[:300]
    greedy = sampling(max_tokens=4, logprobs=1, stop=[])
    first = [Request(prefix + more, greedy, prefixes=(prefix,)) for more in (" Write a", " Draw 𓀀")]
    later = [Request(prefix + more, greedy, prefixes=(prefix,)) for more in (" Task", " It")]
    # By grammar, and token by token.
    pair, odd_pair = (prefix, " Write a line."), (prefix, " Draw 𓀀.")

    def bits(path: Path, *steps: list[Request] | Pair) -> dict[str, list[float]]:
        """What one engine does in a fresh store; the log-probabilities of all, by prompt."""
        with engine_on(local, path) as engine:
            for step in steps:
                _ = list(engine.ask(step) if isinstance(step, list) else engine.score([step]))
        store = Store(path)
        rows = {row.request: json.loads(row.response)["choices"][0] for row in store.rows()}
        store.close()
        return {form: choice["logprobs"] for form, choice in rows.items()}

    other = ("A text that begins otherwise", " is scored too.")
    alone = bits(tmp_path / "1.sqlite", pair)
    alone |= bits(tmp_path / "2.sqlite", odd_pair) | bits(tmp_path / "3.sqlite", later)
    together = bits(tmp_path / "4.sqlite", first, pair, odd_pair, other, later)
    assert len(alone) == 4
    assert {form: together[form] for form in alone} == alone
    assert bits(tmp_path / "5.sqlite", odd_pair, pair, later, other, first) == together


# --- servers that echo


def pieces(text: str) -> list[str]:
    """Words, each with the space before it."""
    return re.findall(r"\s*\S+|\s+$", text)


def logprob(before: str, token: str) -> float:
    return -zlib.crc32(f"{before}|{token}".encode()) / 2**29


def echoed(prompt: str, beginning: tuple[str, ...] = ("<bos>",)) -> dict:
    """What vLLM answers to a prompt with echo, logprobs 1 and max_tokens 1."""
    tokens = [*beginning, *pieces(prompt), " and"]
    logprobs = [None, *(logprob("".join(tokens[:i]), tokens[i]) for i in range(1, len(tokens)))]
    offsets = [len("".join(tokens[:i])) for i in range(len(tokens))]
    choice = {
        "index": 0,
        "text": prompt + " and",
        "logprobs": {
            "text_offset": offsets,
            "token_logprobs": logprobs,
            "tokens": tokens,
            "top_logprobs": [
                None if score is None else {token: score, " or": -0.5}
                for token, score in zip(tokens, logprobs, strict=True)
            ],
        },
        "finish_reason": "length",
        "stop_reason": None,
    }
    asked = len(tokens) - 1
    usage = {"prompt_tokens": asked, "total_tokens": asked + 1, "completion_tokens": 1}
    return {"id": "cmpl-1", "object": "text_completion", "choices": [choice], "usage": usage}


class Echoing:
    """Such a server; remembers what it was asked."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def __call__(self, body: dict, headers: Message) -> dict:
        assert (body["max_tokens"], body["logprobs"], body["echo"]) == (1, 1, True)
        self.prompts.append(body["prompt"])
        return echoed(body["prompt"])


ScoreThere = Callable[..., list[Score]]


@pytest.fixture
def score_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScoreThere:
    monkeypatch.setenv("SEEDBED_MAX_RETRIES", "0")
    monkeypatch.setenv("SEEDBED_PATIENCE", "1")
    monkeypatch.setattr(limits, "FIRST_PAUSE", 0.01)

    def score_there(url: str, pairs: list[Pair], llm: Llm = LLM) -> list[Score]:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        with open_endpoint(llm) as endpoint:
            return score_all(endpoint, tmp_path / "there.sqlite", pairs)

    return score_there


PAIR = ("The cat sat", " on the mat")


def test_an_echoing_server_scores_the_text_and_not_the_prompt(score_there: ScoreThere) -> None:
    with serving(Echoing()) as url:
        (score,) = score_there(url, [PAIR])
    assert score.tokens == [" on", " the", " mat"]
    assert score.logprobs == [
        logprob("<bos>The cat sat", " on"),
        logprob("<bos>The cat sat on", " the"),
        logprob("<bos>The cat sat on the", " mat"),
    ]


def changed(**change: object) -> Callable[[dict, Message], dict]:
    """An echoing server whose answer's log-probabilities are other than they should be."""

    def answer(body: dict, headers: Message) -> dict:
        data = echoed(body["prompt"])
        data["choices"][0]["logprobs"] = {**data["choices"][0]["logprobs"], **change}
        return data

    return answer


def without_beginning(body: dict, headers: Message) -> dict:
    return echoed(body["prompt"], beginning=())


def without_usage(body: dict, headers: Message) -> dict:
    return {name: value for name, value in echoed(body["prompt"]).items() if name != "usage"}


def that_generates_nothing(body: dict, headers: Message) -> dict:
    data = echoed(body["prompt"])
    for values in data["choices"][0]["logprobs"].values():
        values.pop()
    data["usage"]["completion_tokens"] = 0
    return data


@pytest.mark.parametrize("server", [without_beginning, without_usage, that_generates_nothing])
def test_what_stands_around_the_prompt_is_the_servers_affair(
    score_there: ScoreThere, server: Callable[[dict, Message], dict]
) -> None:
    with serving(server) as url:
        (score,) = score_there(url, [("a b b", " b b")])
    assert score.tokens == [" b", " b"]
    before = "a b b" if server is without_beginning else "<bos>a b b"
    assert score.logprobs == [logprob(before, " b"), logprob(before + " b", " b")]


@pytest.mark.parametrize(
    ("pair", "server", "says"),
    [
        (("The cap", "ital city"), Echoing(), "no token begins where the text does"),
        (("", "The cat"), without_beginning, "give a prompt"),
        (PAIR, changed(tokens=["<bos>", "The cat sat", " on", " t\ufffd", "\ufffd", " a"]), None),
        (PAIR, changed(tokens=["The"], token_logprobs=[None]), "does not echo"),
        (PAIR, changed(tokens=None), "does not echo"),
        (PAIR, changed(tokens=[1, 2, 3], token_logprobs=[None, -1, -1]), "does not echo"),
        (PAIR, changed(token_logprobs=[None, -1.0]), "does not echo"),
    ],
)
def test_what_an_echo_does_not_tell_is_no_score(
    score_there: ScoreThere, pair: Pair, server: Callable[[dict, Message], dict], says: str | None
) -> None:
    with serving(server) as url, pytest.raises(errors.ScoringNotOffered, match=says):
        score_there(url, [pair])


def test_a_character_in_pieces_is_said_to_be_the_trouble(score_there: ScoreThere) -> None:
    def answer(body: dict, headers: Message) -> dict:
        data = echoed("x 1 2 3 4 5")
        tokens = ["<bos>", "x", " ", *"\ufffd\ufffd\ufffd\ufffd", " and"]
        data["choices"][0]["logprobs"]["tokens"] = tokens
        return data

    with (
        serving(answer) as url,
        pytest.raises(errors.ScoringNotOffered, match="a character of the text is several tokens"),
    ):
        score_there(url, [("x", " 🧌")])


def as_llama_cpp(body: dict, headers: Message) -> dict:
    """It takes `echo` and does nothing about it."""
    content = [{"id": 506, "token": " the", "bytes": [32], "logprob": -1.5, "top_logprobs": []}]
    choice = {"text": " the", "index": 0, "logprobs": {"content": content}}
    return {"choices": [{**choice, "finish_reason": "length"}], "usage": {"prompt_tokens": 9}}


def that_refuses(body: dict, headers: Message) -> dict:
    raise Reply(400, json.dumps({"error": {"message": "echo is not supported by this model"}}))


@pytest.mark.parametrize(
    ("server", "says"), [(as_llama_cpp, "does not echo"), (that_refuses, "echo is not supported")]
)
def test_a_server_without_echo_is_said_not_to_offer_scoring(
    score_there: ScoreThere, server: Callable[[dict, Message], dict], says: str
) -> None:
    with serving(server) as url, pytest.raises(errors.ScoringNotOffered, match=says) as failure:
        score_there(url, [PAIR])
    assert "The embedded server can" in str(failure.value)


def test_an_empty_text_has_no_tokens_and_is_not_sent(score_there: ScoreThere) -> None:
    echoing = Echoing()
    with serving(echoing) as url:
        (score,) = score_there(url, [("The cat", "")])
    assert (score.tokens, score.logprobs, score.total) == ([], [], 0)
    assert echoing.prompts == []


def test_failures_of_the_traffic_are_tried_again(
    score_there: ScoreThere, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = iter([Reply(500, "oh no"), Reply(429, "slow down"), Cut(), Reply(200, "{half")])
    tries = 0

    def answer(body: dict, headers: Message) -> dict:
        nonlocal tries
        tries += 1
        for fault in faults:
            raise fault
        return echoed(body["prompt"])

    monkeypatch.setenv("SEEDBED_MAX_RETRIES", "4")
    with serving(answer) as url:
        assert score_there(url, [PAIR])[0].tokens == [" on", " the", " mat"]
    assert tries == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [
        (Reply(500, '{"error": {"message": "oh no"}}'), errors.ServerFailed, "oh no"),
        (Reply(429, '{"error": {"message": "slow"}}'), errors.ServerFailed, "HTTP 429: slow"),
        (Reply(401, "{}"), errors.KeyRefused, "OPENAI_API_KEY"),
        (Reply(404, "{}"), errors.ModelUnknown, "served-model"),
        (Reply(200, "{half"), errors.ServerFailed, "not a completion"),
    ],
)
def test_each_failure_is_named_and_keeps_nothing(
    score_there: ScoreThere, tmp_path: Path, reply: Reply, error: type[Exception], says: str
) -> None:
    def answer(body: dict, headers: Message) -> dict:
        raise reply

    with serving(answer) as url, pytest.raises(error, match=says):
        score_there(url, [PAIR])
    assert kept_prompts(tmp_path) == set()


def kept_prompts(tmp_path: Path) -> set[str]:
    store = Store(tmp_path / "there.sqlite")
    try:
        return {json.loads(row.request)["prompt"] for row in store.rows()}
    finally:
        store.close()


def test_what_was_scored_is_neither_sent_again_nor_changed(score_there: ScoreThere) -> None:
    echoing = Echoing()
    pairs = [PAIR, ("", "The cat"), PAIR]
    with serving(echoing) as url:
        first = score_there(url, pairs)
        assert first[0] == first[2]
        assert sorted(echoing.prompts) == ["The cat", "The cat sat on the mat"]
        again = score_there(url, pairs, LLM.model_copy(update={"replay": True}))
        assert again == first
        # The same text, cut elsewhere, is another question.
        score_there(url, [("The cat sat on", " the mat")])
    assert len(echoing.prompts) == 3


def test_in_a_replay_what_was_not_scored_is_named_and_not_sent(score_there: ScoreThere) -> None:
    echoing = Echoing()
    replay = LLM.model_copy(update={"replay": True})
    with serving(echoing) as url:
        score_there(url, [PAIR])
        with pytest.raises(errors.NotInStore, match=r"(?s)request 3 \(.*'The dog'"):
            score_there(url, [PAIR, PAIR, ("The dog", " sat"), PAIR], replay)
    assert len(echoing.prompts) == 1


def test_scores_come_in_the_order_of_the_texts_from_many_at_a_time(
    score_there: ScoreThere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDBED_CONCURRENCY", "4")
    four_at_once, lock, now, most = Event(), Lock(), 0, 0

    def answer(body: dict, headers: Message) -> dict:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
            if now == 4:
                four_at_once.set()
        four_at_once.wait(30)
        with lock:
            now -= 1
        return echoed(body["prompt"])

    monkeypatch.setattr("seedbed.llm.engine.WINDOW", 16)
    pairs = [("Number", f" {i}") for i in range(40)]  # more than are looked up at once
    with serving(answer) as url:
        scores = score_there(url, pairs)
    assert most == 4
    assert [score.tokens for score in scores] == [[text] for _, text in pairs]
    assert [score.logprobs[0] for score in scores] == [
        logprob("<bos>Number", text) for _, text in pairs
    ]


def test_a_failure_in_the_middle_keeps_the_others_also_those_in_flight(
    score_there: ScoreThere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDBED_CONCURRENCY", "3")
    all_begun, failed, asked = Event(), Event(), []

    def answer(body: dict, headers: Message) -> dict:
        asked.append(body["prompt"])
        if body["prompt"].startswith("d "):
            all_begun.set()
        if body["prompt"].startswith("c "):
            assert all_begun.wait(30)
            failed.set()
            raise Reply(500, '{"error": {"message": "not this one"}}')
        if body["prompt"][0] in "bd":
            assert failed.wait(30)
        return echoed(body["prompt"])

    pairs = [(letter, " x") for letter in "abcdefgh"]
    with serving(answer) as url:
        with pytest.raises(errors.ServerFailed, match="not this one"):
            score_there(url, pairs)
        assert {"a", "b", "d"} <= kept_prompts(tmp_path)
        assert len(asked) == len(kept_prompts(tmp_path)) + 1 < len(pairs)


def test_what_a_score_took_is_in_the_tally(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Echoing()) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        for sent, reused in ((2, 1), (0, 3)):
            with (
                open_endpoint(LLM) as endpoint,
                engine_on(endpoint, tmp_path / "s.sqlite") as engine,
            ):
                list(engine.score([PAIR, ("a", " b"), PAIR]))
                assert (engine.tally.sent, engine.tally.reused) == (sent, reused)
                # <bos> counts, as in vLLM.
                assert engine.tally.prompt_tokens == (7 + 3 if sent else 0)

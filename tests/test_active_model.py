"""Prompt uncertainty on the real model: the probability of what it said, with the same adapter."""

import json
from pathlib import Path

import pytest
from support.adapters import adapter
from support.engines import engine_on, requests_for
from support.params import sampling, section

from seedbed.llm.contract.request import Request
from seedbed.llm.params import Llm
from seedbed.llm.send.score import Pair, Score
from seedbed.llm.serve import embedded
from seedbed.llm.serve.endpoint import open_endpoint
from seedbed.llm.store.store import Store

PROMPTS = ["Name the capital of France.\n\nOutput:", "Is snow black? Say yes or no.\n\nOutput:"]
PACKAGED = section(Llm, model=embedded.PACKAGED, embedded={"context": 512})

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("model")]


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def with_adapter(path: Path) -> Llm:
    own = PACKAGED.embedded.model_copy(update={"adapter": str(path)})
    return PACKAGED.model_copy(update={"embedded": own})


def scores(store: Path, llm: Llm, pairs: list[Pair]) -> tuple[list[Score], int]:
    """And how many were sent for."""
    with open_endpoint(llm) as endpoint, engine_on(endpoint, store) as engine:
        found = list(engine.score(pairs))
        return found, engine.tally.sent


def test_a_greedy_answers_score_is_the_probability_that_it_was_answered_with(
    tmp_path: Path,
) -> None:
    how = sampling(max_tokens=6, stop=[], logprobs=1)
    # What is taken from a cache rounds otherwise, and such a score takes nothing from one.
    for number, (shared, away) in enumerate([(False, 1e-6), (True, 0.3)]):
        requests = [
            Request(text, how, prefixes=(text.partition("\n")[0],) * shared) for text in PROMPTS
        ]
        path = tmp_path / f"{number}.sqlite"
        with open_endpoint(PACKAGED) as endpoint, engine_on(endpoint, path) as engine:
            answers = list(engine.ask(requests))
            pairs = [(text, answer.text) for text, answer in zip(PROMPTS, answers, strict=True)]
            found = list(engine.score(pairs))
        store = Store(path)
        kept = store.get([answer.key for answer in answers])  # an answer has no log-probabilities
        store.close()
        for answer, score in zip(answers, found, strict=True):
            (choice,) = json.loads(kept[answer.key].response)["choices"]
            said = [token["logprob"] for token in choice["logprobs"]["content"]]
            assert "".join(score.tokens) == answer.text
            assert score.logprobs == pytest.approx(said[: len(score.logprobs)], abs=away)


def test_the_scores_of_an_adapter_come_from_the_store_after_anothers(tmp_path: Path) -> None:
    first, second = (with_adapter(adapter(tmp_path / f"{seed}.gguf", seed)) for seed in (1, 2))
    pairs = [(prompt, " Paris") for prompt in PROMPTS]
    found = [scores(tmp_path / "one.sqlite", llm, pairs) for llm in (first, second, first)]
    assert [sent for _, sent in found] == [2, 2, 0]
    assert found[0][0] == found[2][0]
    assert [one.logprobs for one in found[0][0]] != [one.logprobs for one in found[1][0]]
    assert {one.key for one in found[0][0]}.isdisjoint(one.key for one in found[1][0])
    # And a server that has answered nothing yet says the same.
    assert scores(tmp_path / "fresh.sqlite", first, pairs)[0] == found[0][0]


def test_what_prompts_share_is_evaluated_once_and_the_bytes_do_not_depend_on_the_order(
    tmp_path: Path,
) -> None:
    """Prompts by way of a prefix, among them one alone and an answer; forwards and backwards."""
    beginning = "Translate the sentence into German, as a child would say it.\n\nInput:"
    pairs: list[Pair] = [
        (f"{beginning} {text}\n\nOutput:", " Das ist gut.", (beginning,))
        for text in ("This is good.", "That is it.", "Good it is.")
    ]
    pairs.insert(1, (PROMPTS[0], " Paris"))
    found = []
    for number, order in enumerate((pairs, pairs[::-1])):
        with (
            open_endpoint(PACKAGED) as endpoint,
            engine_on(endpoint, tmp_path / f"{number}.sqlite") as engine,
        ):
            list(engine.ask(requests_for(PROMPTS[1:], max_tokens=2)))
            found.append({score.key: score for score in engine.score(order)})
    assert found[0] == found[1]
    assert len(found[0]) == 4
    # Beside each prompt by itself, which is another key, the rounding.
    whole = [pair[:2] for pair in pairs if len(pair) == 3]
    alone, sent = scores(tmp_path / "0.sqlite", PACKAGED, whole)
    assert sent == 3
    shared, sent = scores(
        tmp_path / "0.sqlite", PACKAGED, [pair for pair in pairs if len(pair) == 3]
    )
    assert sent == 0
    for one, other in zip(alone, shared, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=0.3)
        assert one.key != other.key

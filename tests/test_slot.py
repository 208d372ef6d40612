"""How the embedded server is asked: a request's answer depends on the request alone."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engines import EMBEDDED
from support.params import SAMPLING

from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import body_for
from seedbed.llm.params import Llm
from seedbed.llm.send.client import Client
from seedbed.llm.send.slot import COMPLETION, Slot
from seedbed.llm.serve import embedded
from seedbed.llm.serve.endpoint import Endpoint

CONTEXT = 4096


class Arithmetic:
    """A server with one slot, as far as its prompt cache goes. A token is a letter.

    Which numbers stand for a token in the cache depends on what was evaluated together with it:
    so to each token belongs the stretch in which it was.
    """

    def __init__(self) -> None:
        self.held: list[tuple[int, tuple[int, int]]] = []
        self.evaluated = 0
        # For each completion the stretches in which its prompt's tokens were evaluated.
        self.completions: list[list[tuple[int, int]]] = []

    async def post(self, path: str, body: dict, *, at_root: bool = False) -> str:
        if path == "/tokenize":
            return json.dumps({"tokens": list(map(ord, body["content"]))})
        prompt, start = body["prompt"], 0
        if body["cache_prompt"]:
            for (token, _), wanted in zip(self.held, prompt, strict=False):
                if token != wanted:
                    break
                start += 1
        start = min(start, len(prompt) - 1)  # at least one token is evaluated
        stretch = (start, len(prompt))
        self.evaluated += len(prompt) - start
        self.held = [*self.held[:start], *((token, stretch) for token in prompt[start:])]
        if path == COMPLETION:
            return "{}"
        self.completions.append([where for _, where in self.held])
        # What was generated stands in the cache behind the prompt.
        self.held += [(ord(letter), (-1, -1)) for letter in "ab"]
        return "an answer"


WORDS = st.text("ab", min_size=1, max_size=4)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, tuple[str, ...]]:
    """A prompt and its prefixes, of few letters, so that much is shared by chance."""
    parts = draw(st.lists(WORDS, min_size=1, max_size=4))
    prompt = "".join(parts)
    cuts = ["".join(parts[:n]) for n in range(1, len(parts) + 1)]
    prefixes = draw(st.lists(st.sampled_from(cuts), max_size=3, unique=True))
    return prompt, tuple(sorted(prefixes, key=len))


def asked(sequence: list[tuple[str, tuple[str, ...]]]) -> list[list[tuple[int, int]]]:
    server = Arithmetic()
    slot = Slot(server, one=True, context=CONTEXT)  # type: ignore[arg-type] # all that it needs

    async def ask() -> None:
        for prompt, prefixes in sequence:
            await slot.ask({"prompt": prompt}, prefixes)

    asyncio.run(ask())
    return server.completions


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=8))
def test_how_a_prompt_is_evaluated_does_not_depend_on_what_was_asked_before(
    sequence: list[tuple[str, tuple[str, ...]]],
) -> None:
    assert asked(sequence) == [asked([one])[0] for one in sequence]


@given(requests())
def test_all_of_the_last_prefix_comes_from_the_cache_and_nothing_else(
    request_: tuple[str, tuple[str, ...]],
) -> None:
    prompt, prefixes = request_
    (stretches,) = asked([request_])
    shared = len(prefixes[-1]) if prefixes else 0
    if shared == len(prompt):
        shared -= 1  # at least one token is evaluated
    assert {where for where in stretches if where[0] >= shared} == {(shared, len(prompt))}


def test_a_shared_beginning_is_evaluated_once() -> None:
    server = Arithmetic()
    slot = Slot(server, one=True, context=CONTEXT)  # type: ignore[arg-type] # all that it needs
    file, tasks = "f" * 1000, ("a" * 100, "b" * 100)

    async def ask() -> None:
        for task in tasks:
            for _ in range(3):
                await slot.ask({"prompt": file + task}, (file, file + task))

    asyncio.run(ask())
    # The rest are last tokens, evaluated by themselves.
    assert server.evaluated - 1000 - 200 <= 12


def test_after_a_failure_the_cache_is_made_anew() -> None:
    class Failing(Arithmetic):
        async def post(self, path: str, body: dict, *, at_root: bool = False) -> str:
            if body.get("prompt") == list(map(ord, "fail")):
                self.held = []  # who knows?
                raise ValueError("it is down")
            return await super().post(path, body, at_root=at_root)

    server = Failing()
    slot = Slot(server, one=True, context=CONTEXT)  # type: ignore[arg-type] # all that it needs

    async def ask() -> None:
        await slot.ask({"prompt": "faab"}, ("fa",))
        with pytest.raises(ValueError, match="down"):
            await slot.ask({"prompt": "fail"}, ("fa",))
        await slot.ask({"prompt": "faab"}, ("fa",))

    asyncio.run(ask())
    assert server.completions[0] == server.completions[1]


# --- The real server


class Real:
    """A slot on the packaged model's server."""

    def __init__(self, server: tuple[str, str], context: int = CONTEXT):
        self._server, self._context = server, context
        self.llm = Llm(model="m", embedded=EMBEDDED)

    def __call__(self, *asking: tuple[Request, str]) -> list[dict[str, Any]]:
        """Ask in order, each in the API that is named."""

        async def ask() -> list[dict[str, Any]]:
            endpoint = Endpoint(
                "here", "m", self.llm, {}, lambda: self._server, None, embedded=True
            )
            client = Client(endpoint)
            slot = Slot(client, one=True, context=self._context)
            try:
                return [
                    json.loads(await slot.ask(self._body(one, api), one.prefixes))
                    for one, api in asking
                ]
            finally:
                await client.close()

        return asyncio.run(ask())

    @staticmethod
    def _body(request: Request, api: str) -> dict[str, Any]:
        most = request.sampling.max_tokens
        return body_for(api, "m", None, [request.prompt], request, most, 1, ())  # type: ignore[arg-type]

    def raw(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What the server itself says."""

        async def post() -> dict[str, Any]:
            endpoint = Endpoint(
                "here", "m", self.llm, {}, lambda: self._server, None, embedded=True
            )
            client = Client(endpoint)
            try:
                return json.loads(await client.post(path, body, at_root=True))
            finally:
                await client.close()

        return asyncio.run(post())


@pytest.fixture
def real(model_server: tuple[str, str]) -> Iterator[Real]:
    return Real(model_server)


def request(prompt: str, *prefixes: str, seed: int | None = None, **how: Any) -> Request:
    sampling = SAMPLING.model_copy(update={"max_tokens": 12, "stop": [], **how})
    return Request(prompt, sampling, seed, prefixes=prefixes)


def text_of(body: dict[str, Any]) -> str:
    (choice,) = body["choices"]
    return choice["text"] if "text" in choice else choice["message"]["content"]


@pytest.mark.parametrize(("presence", "frequency"), [(1.5, 0.0), (0.0, 0.8), (0.7, 0.3)])
def test_penalties_count_the_generated_tokens_and_not_the_prompts(
    real: Real, presence: float, frequency: float
) -> None:
    """As the OpenAI API describes them: each token is the likeliest when so much is taken off."""
    prompt = "red green blue red green blue red green blue red green"
    how = {"presence_penalty": presence, "frequency_penalty": frequency}
    # More log-probabilities than the OpenAI API allows: those of the model, before any penalty.
    (body,) = real((request(prompt, logprobs=60, **how), "completions"))
    steps = body["choices"][0]["logprobs"]["content"]
    generated = [step["id"] for step in steps]
    assert len(generated) == 12
    for place, step in enumerate(steps):
        before = generated[:place]
        left = {
            one["id"]: one["logprob"]
            - presence * (one["id"] in before)
            - frequency * before.count(one["id"])
            for one in step["top_logprobs"]
        }
        assert generated[place] == max(left, key=left.__getitem__)
    # The list goes on with the word that stands in the prompt three times.
    assert text_of(body).startswith(" blue")


def test_without_penalties_token_by_token_would_be_the_same(real: Real) -> None:
    """So what differs with penalties is due to them."""
    prompt = "The capital of France is Paris. The capital of Italy is"
    (whole,) = real((request(prompt, prompt[:20]), "completions"))
    (steps,) = real((request(prompt, prompt[:20], presence_penalty=1e-9), "completions"))
    assert text_of(whole) == text_of(steps)
    assert whole["usage"]["completion_tokens"] == steps["usage"]["completion_tokens"]
    assert whole["usage"]["prompt_tokens"] == steps["usage"]["prompt_tokens"]


def test_the_same_in_any_order_with_and_without_penalties_and_draws(real: Real) -> None:
    start = "Questions and answers.\n\nQuestion: "
    prompts = ["Who wrote Faust?", "Who wrote Emma?", "How old is the sun?", "What is tin?"]
    asking = []
    for number, prompt in enumerate(prompts):
        text = f"{start}{prompt}\nAnswer:"
        how = {"temperature": 0.9, "seed": number} if number % 2 else {"presence_penalty": 1.0}
        asking.append((request(text, start, logprobs=1, **how), "completions"))
        asking.append((request(text, start, text, temperature=1.0, seed=7), "completions"))
        asking.append((request(text, temperature=1.0, seed=7), "completions"))

    def told(bodies: list[dict[str, Any]]) -> list[Any]:
        return [
            (
                text_of(body),
                [one["logprob"] for one in (choice["logprobs"] or {}).get("content", ())],
            )
            for body in bodies
            for choice in body["choices"]
        ]

    forwards = told(real(*asking))
    assert told(real(*asking[::-1]))[::-1] == forwards
    half = len(asking) // 2
    rotated = told(real(*asking[half:], *asking[:half]))
    assert rotated[half:] + rotated[:half] == forwards
    assert len({text for text, _ in forwards}) > 6


def test_a_completion_with_penalties_ends_at_its_stop_sequence_or_length(real: Real) -> None:
    prompt = "Count: one, two, three, four, five, six, seven, eight, nine, ten.\nCount: one, two,"
    ended, cut, whole = real(
        (request(prompt, stop=["five"], presence_penalty=0.1), "completions"),
        (request(prompt, max_tokens=3, presence_penalty=0.1), "completions"),
        (request(prompt, stop=["five"]), "completions"),
    )
    assert text_of(ended) == text_of(whole) == " three, four, "
    assert ended["choices"][0]["finish_reason"] == "stop"
    assert cut["choices"][0]["finish_reason"] == "length"
    assert cut["usage"]["completion_tokens"] == 3


def test_a_completion_with_penalties_ends_where_the_context_does(
    model_server: tuple[str, str],
) -> None:
    short = Real(model_server, context=20)
    (body,) = short(
        (request("one two three four five", presence_penalty=0.5, max_tokens=50), "completions")
    )
    assert sum(body["usage"][name] for name in ("prompt_tokens", "completion_tokens")) == 20
    assert body["choices"][0]["finish_reason"] == "length"


def test_a_character_of_several_tokens_comes_whole(real: Real) -> None:
    prompt = "𓀀 𓀁 𓀂 𓀃 𓀀 𓀁 𓀂 𓀃 𓀀 𓀁 𓀂 𓀃 𓀀"
    whole, steps = real(
        (request(prompt, max_tokens=24), "completions"),
        (request(prompt, max_tokens=24, frequency_penalty=1e-9), "completions"),
    )
    assert "𓀁" in text_of(whole)
    assert text_of(steps).rstrip("\ufffd") == text_of(whole).rstrip("\ufffd")


def test_a_chat_with_penalties_is_one_without_them_but_for_these(real: Real) -> None:
    whole, steps = real(
        (request("Say hello."), "chat"), (request("Say hello.", presence_penalty=1e-9), "chat")
    )
    assert text_of(whole) == text_of(steps)
    assert steps["object"] == "chat.completion"
    assert whole["usage"]["prompt_tokens"] == steps["usage"]["prompt_tokens"]


def test_another_seed_gives_another_completion_and_the_same_seed_the_same(real: Real) -> None:
    how = {"temperature": 1.0, "presence_penalty": 0.5}
    bodies = real(
        *((request("Once upon a time", seed=seed, **how), "completions") for seed in (1, 2, 1))
    )
    texts = list(map(text_of, bodies))
    assert texts[0] == texts[2] != texts[1]


@pytest.fixture(scope="module")
def guessing(model_server: tuple[str, str]) -> Iterator[Real]:
    """The same model with `llm.embedded.speculative`."""
    settings = EMBEDDED.model_copy(update={"speculative": "ngram_map_k"})
    path, digest = embedded.model_file(embedded.PACKAGED)
    with embedded.serve(embedded.Model(path, digest, settings)) as server:
        yield Real(server)


def test_guessing_ahead_changes_no_text_whatever_the_order(real: Real, guessing: Real) -> None:
    start = "".join(
        f"{n}. The cat sat on the mat and looked out of the window.\n" for n in range(5)
    )
    asking = [
        (request(start + "5. The cat", start, max_tokens=40), "completions"),
        (request(start + "5. A dog", start, max_tokens=40), "completions"),
        (request(start, start, max_tokens=40, temperature=0.7, seed=3), "completions"),
    ]
    plain = list(map(text_of, real(*asking)))
    forwards = guessing(*asking)
    assert sum(body["timings"].get("draft_n_accepted", 0) for body in forwards) > 0
    assert list(map(text_of, forwards)) == plain
    assert list(map(text_of, guessing(*asking[::-1])))[::-1] == plain

"""Keys: whatever can change an answer asks anew, and nothing else does.

The tables below have every field of every class that says what is asked and how, and every
environment variable. A new one fails the tests until it has been decided on.
"""

import hashlib
import itertools
import json
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from email.message import Message
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engines import CHAT, EMBEDDED, LLM, requests_for, response_to
from support.params import SAMPLING
from support.project import ROOT
from support.server import serving
from support.tries import tries

from seedbed.llm import errors
from seedbed.llm.contract.request import Canon, Parameter, Request, Sampling, base_of
from seedbed.llm.contract.wire import Answer, body_for
from seedbed.llm.engine import Engine
from seedbed.llm.params import Embedded, Llm, Price
from seedbed.llm.serve import embedded
from seedbed.llm.serve.endpoint import Endpoint, open_endpoint
from seedbed.llm.store.store import Store

# Fixed, so that the same server is the same: who listens there is each test's affair.
ADDRESS = "http://server:8000/v1"
REQUEST = Request("a prompt", SAMPLING, seed=5, prefixes=("a ",))
Verdict = Literal["miss", "hit"]


class Asking:
    """Asks through one store; tells whether the server was asked."""

    def __init__(self, path: Path, url: str, bodies: list[dict]):
        self._path, self._url, self._bodies = path, url, bodies

    def __call__(self, request: Request, llm: Llm = LLM, **changes: Any) -> tuple[Verdict, Answer]:
        """changes: fields of the endpoint that the environment names."""
        before = len(self._bodies)
        store = Store(self._path)
        try:
            with open_endpoint(llm) as endpoint:
                here = replace(endpoint, connect=lambda: (self._url, "none"), **changes)
                engine = Engine(here, store, lambda tally: None)
                try:
                    (answer,) = engine.ask([request])
                finally:
                    engine.close()
        finally:
            store.close()
        return ("hit" if len(self._bodies) == before else "miss"), answer


@pytest.fixture
def bodies() -> list[dict]:
    return []


@pytest.fixture
def asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bodies: list[dict]) -> Any:
    monkeypatch.setenv("OPENAI_BASE_URL", ADDRESS)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def answer(body: dict, headers: Message) -> dict:
        bodies.append(body)
        return response_to(body)

    with serving(answer) as url:
        yield Asking(tmp_path / "responses.sqlite", url, bodies)


SAMPLINGS: dict[str, tuple[object, Verdict]] = {
    "max_tokens": (99, "miss"),
    "temperature": (0.5, "miss"),
    "top_p": (0.9, "miss"),
    "top_k": (5, "miss"),
    "min_p": (0.1, "miss"),
    "frequency_penalty": (0.1, "miss"),
    "presence_penalty": (0.1, "miss"),
    "logprobs": (1, "miss"),
    "stop": (["\n", "Task"], "miss"),
}
REQUESTS: dict[str, tuple[object, Verdict]] = {
    "prompt": ("another prompt", "miss"),
    "sampling": (SAMPLING.model_copy(update={"top_p": 0.5}), "miss"),
    "seed": (6, "miss"),
    "sample": (1, "miss"),
    "prefixes": (("a pro",), "hit"),
}
LLMS: dict[str, tuple[object, Verdict]] = {
    "model": ("another-model", "miss"),
    "server": ("pool", "miss"),
    "api": ("completions", "miss"),
    "system": ("Be brief.", "miss"),
    "leave_out": (["presence_penalty"], "miss"),
    # A server's answers do not depend on the embedded server's settings: for its own see below.
    "embedded": (Embedded(context=512, slots=2, threads=1), "hit"),
    "replay": (True, "hit"),
    "prices": ([Price(model="served-model", input=1, output=2)], "hit"),
}
EMBEDDEDS: dict[str, tuple[object, Verdict]] = {
    "context": (2048, "miss"),
    "slots": (2, "miss"),
    "threads": (1, "miss"),
    "speculative": ("ngram_map_k", "miss"),
}
ENDPOINTS: dict[str, tuple[object, Verdict]] = {
    "identity": ({"server": ADDRESS, "name": "another"}, "miss"),
    "address": ("another way to say it", "hit"),
    # What llm.model changes is in the identity: for a server its name, for a file its content.
    "model": ("another name", "hit"),
    "llm": (None, "hit"),  # see LLMS
    "connect": (None, "hit"),  # the fixture's
    "connect_embedding": (lambda: ("http://127.0.0.1:1/v1", "none"), "hit"),
    "price": (Price(model="served-model", input=1, output=2), "hit"),
    "say_none": (False, "miss"),
    "embedded": (True, "hit"),
    "one_slot": (True, "hit"),
    "servers": ((), "hit"),  # what they answer is kept alike: see test_fleet
    "gather": (None, "hit"),
    "moves": (False, "hit"),
    "concurrency": (99, "hit"),
    "prompts_per_request": (20, "hit"),
    "retries": (99, "hit"),
    "patience": (99, "hit"),
    "per_minute": (99, "hit"),
    "tokens_per_minute": (99, "hit"),
    "batch": (True, "hit"),
}
VARIABLES: dict[str, tuple[str, Verdict]] = {
    "OPENAI_BASE_URL": ("http://another:8000/v1", "miss"),
    "OPENAI_API_KEY": ("another-key", "hit"),
    "SEEDBED_BATCH_POLL": ("99", "hit"),
    "SEEDBED_BATCH_REQUESTS": ("99", "hit"),
    "SEEDBED_BUDGET_TOKENS": ("999999", "hit"),
    "SEEDBED_BUDGET_USD": ("99", "hit"),
    "SEEDBED_CONCURRENCY": ("99", "hit"),
    "SEEDBED_MAX_RETRIES": ("99", "hit"),
    "SEEDBED_MODE": ("batch", "hit"),
    "SEEDBED_PATIENCE": ("99", "hit"),
    "SEEDBED_PROMPTS_PER_REQUEST": ("20", "hit"),
    "SEEDBED_RAY": ("local", "hit"),  # the servers that are named are asked all the same
    "SEEDBED_REQUESTS_PER_MINUTE": ("99", "hit"),
    "SEEDBED_SHARDS": ("2", "hit"),
    "SEEDBED_STORE": ("another.sqlite", "hit"),  # the tests' store is given to the engine
    "SEEDBED_TIMEOUT": ("99", "hit"),
    "SEEDBED_TOKENS_PER_MINUTE": ("9999", "hit"),
}


def test_every_field_and_every_variable_has_been_decided_on() -> None:
    assert SAMPLINGS.keys() == Sampling.model_fields.keys()
    assert REQUESTS.keys() == {field.name for field in fields(Request)}
    assert LLMS.keys() == Llm.model_fields.keys()
    # The adapter is in the identity by its content, where there is one: see test_adapter.
    assert {*EMBEDDEDS, "adapter"} == Embedded.model_fields.keys()
    assert ENDPOINTS.keys() == {field.name for field in fields(Endpoint)}
    sources = [path.read_text() for path in (ROOT / "src").rglob("*.py")]
    named = re.findall(r"\b(?:SEEDBED|OPENAI)_[A-Z_]*[A-Z]\b", "\n".join(sources))
    assert VARIABLES.keys() == set(named)


@pytest.mark.parametrize("field", SAMPLINGS)
def test_sampling(asking: Asking, field: str) -> None:
    value, verdict = SAMPLINGS[field]
    asking(REQUEST)
    how = SAMPLING.model_copy(update={field: value})
    assert asking(replace(REQUEST, sampling=how))[0] == verdict
    assert asking(REQUEST)[0] == "hit"


@pytest.mark.parametrize("field", REQUESTS)
def test_request(asking: Asking, field: str) -> None:
    value, verdict = REQUESTS[field]
    asking(REQUEST)
    assert asking(replace(REQUEST, **{field: value}))[0] == verdict
    assert asking(REQUEST)[0] == "hit"


@pytest.mark.parametrize("field", LLMS)
def test_llm(asking: Asking, field: str) -> None:
    value, verdict = LLMS[field]
    asking(REQUEST, CHAT)
    assert asking(REQUEST, CHAT.model_copy(update={field: value}))[0] == verdict
    assert asking(REQUEST, CHAT)[0] == "hit"


@pytest.mark.parametrize("parameter", get_args(Parameter))
def test_a_parameter_left_out_is_another_request(asking: Asking, parameter: str) -> None:
    request = replace(REQUEST, sampling=SAMPLING.model_copy(update={"logprobs": 1}))
    asking(request)
    assert asking(request, LLM.model_copy(update={"leave_out": [parameter]}))[0] == "miss"


@pytest.mark.parametrize("field", ENDPOINTS)
def test_endpoint(asking: Asking, field: str) -> None:
    value, verdict = ENDPOINTS[field]
    asking(REQUEST)
    changes = {} if value is None else {field: value}
    assert asking(REQUEST, **changes)[0] == verdict


@pytest.mark.parametrize("name", VARIABLES)
def test_environment(asking: Asking, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    value, verdict = VARIABLES[name]
    asking(REQUEST)
    monkeypatch.setenv(name, value)
    assert asking(REQUEST)[0] == verdict


@pytest.mark.parametrize(
    ("url", "verdict"),
    [
        ("http://me:pw@server:8000/v1", "hit"),
        ("http://server:8000/v1/", "hit"),
        ("http://server:8000/v1?token=x", "hit"),
        ("https://server:8000/v1", "miss"),
        ("http://server:8001/v1", "miss"),
        ("http://server/v1", "miss"),
        ("http://server:8000/other/v1", "miss"),
    ],
)
def test_a_server_is_known_by_its_address_without_what_is_secret(
    asking: Asking, monkeypatch: pytest.MonkeyPatch, url: str, verdict: Verdict
) -> None:
    asking(REQUEST)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    assert asking(REQUEST)[0] == verdict


@dataclass
class Local:
    """A model file and its settings, asked through the tests' server."""

    asking: Asking
    folder: Path

    def __call__(self, name: str = "a.gguf", content: bytes = b"GGUF 1", **settings: int) -> str:
        path = self.folder / name
        path.write_bytes(content)
        llm = Llm(model=str(path), embedded=EMBEDDED.model_copy(update=settings))
        return self.asking(REQUEST, llm, embedded=False, one_slot=False)[0]


@pytest.fixture
def local(asking: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Local:
    monkeypatch.delenv("OPENAI_BASE_URL")
    local = Local(asking, tmp_path)
    assert (local(), local()) == ("miss", "hit")
    return local


@pytest.mark.parametrize("field", EMBEDDEDS)
def test_a_setting_of_the_embedded_server(local: Local, field: str) -> None:
    value, verdict = EMBEDDEDS[field]
    assert local(**{field: value}) == verdict


def test_a_model_file_is_known_by_its_content(local: Local) -> None:
    assert local("renamed.gguf") == "hit"
    assert local(content=b"GGUF 2") == "miss"


@pytest.mark.parametrize("name", ["x" * 5000 + ".gguf", "~nobody-of-this-name/a.gguf"])
def test_a_model_file_that_cannot_be_there_is_named(name: str) -> None:
    with pytest.raises(errors.BadModel, match=f"^llm.model: {name}: "):
        embedded.model_file(name)


def test_another_version_of_the_embedded_engine(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "version", lambda package: "9999.1")
    assert local() == "miss"


def test_every_part_of_the_embedded_identity_is_in_the_key() -> None:
    model = embedded.Model(Path("a.gguf"), "0" * 64, EMBEDDED)
    key = Canon(model.identity).of(REQUEST).key
    assert model.identity.keys() == {"engine", "asked", "sha256", *EMBEDDEDS}
    for name in model.identity:
        assert Canon(model.identity | {name: "another"}).of(REQUEST).key != key


@pytest.mark.parametrize(
    ("finish_reason", "first", "then", "verdict"),
    [
        ("stop", 50, 80, "hit"),  # it ended by itself: with more room it would have been the same
        ("stop", 50, 30, "miss"),
        ("length", 50, 80, "miss"),
        ("length", 50, 30, "miss"),
        ("content_filter", 50, 80, "miss"),
        (None, 50, 80, "miss"),
    ],
)
def test_another_length_needs_no_asking_if_the_answer_ended_by_itself(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    finish_reason: str,
    first: int,
    then: int,
    verdict: Verdict,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", ADDRESS)
    bodies = []

    def answer(body: dict, headers: Message) -> dict:
        bodies.append(body)
        return response_to(body, finish_reason=finish_reason)

    with serving(answer) as url:
        asking = Asking(tmp_path / "responses.sqlite", url, bodies)
        short, long = (requests_for(["p"], max_tokens=n)[0] for n in (first, then))
        before = asking(short)[1]
        found, after = asking(long)
        assert found == verdict
        assert asking(long)[0] == "hit"
        assert asking(long)[1] == after
    if verdict == "hit":
        assert after.text == before.text
        assert after.key != before.key, "a row names the key of what was asked"


# --- The canonical form

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SAMPLED = st.builds(
    Sampling,
    max_tokens=st.integers(1, 10**6),
    temperature=st.floats(0, 2),
    top_p=st.floats(0, 1),
    frequency_penalty=st.floats(-2, 2),
    presence_penalty=st.floats(-2, 2),
    logprobs=st.none() | st.integers(0, 5),
    stop=st.lists(TEXTS, max_size=3),
    top_k=st.none() | st.integers(1, 100),
    min_p=st.none() | st.floats(0, 1),
)


@settings(max_examples=tries(200), deadline=None)
@given(
    prompt=TEXTS,
    sampling=SAMPLED,
    seed=st.none() | st.integers(),
    sample=st.integers(0, 3),
    identity=st.dictionaries(TEXTS, TEXTS | st.integers(), max_size=3),
    chat=st.booleans(),
    system=st.none() | TEXTS,
    leave_out=st.sets(st.sampled_from(get_args(Parameter))),
    say_none=st.booleans(),
)
def test_the_form_is_what_its_description_says(
    prompt: str,
    sampling: Sampling,
    seed: int | None,
    sample: int,
    identity: dict,
    chat: bool,
    system: str | None,
    leave_out: set,
    say_none: bool,
) -> None:
    canon = Canon(identity, "chat" if chat else "completions", system, leave_out, say_none)
    described = {"form": 1, "model": identity, "prompt": prompt, "seed": seed}
    described |= {name: getattr(sampling, name) for name in Sampling.model_fields}
    described |= dict.fromkeys(leave_out)
    for name, none in (("top_k", -1), ("min_p", 0.0)):
        value = getattr(sampling, name)
        if name in leave_out or (value is None and not say_none):
            del described[name]
        elif value is None:
            described[name] = none
    described |= {"kind": "chat", "system": system} if chat else {"kind": "completion"}
    if sample:
        described["sample"] = sample

    def written(form: dict) -> str:
        return json.dumps(form, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    for _ in range(2):  # the second time from what was written the first time
        keyed = canon.of(Request(prompt, sampling, seed, sample))
        assert keyed.form == written(described)
        assert keyed.key == hashlib.sha256(keyed.form.encode()).hexdigest()
        in_base = written(described | {"max_tokens": 0})
        assert keyed.base == hashlib.sha256(in_base.encode()).hexdigest() == base_of(keyed.form)


def test_equal_samplings_give_equal_keys_however_many_there_are() -> None:
    canon = Canon({"server": ADDRESS})
    keys = defaultdict(set)
    for n in range(3000):  # more than are remembered
        how = SAMPLING.model_copy(update={"max_tokens": n % 7 + 1})
        keys[n % 7].add(canon.of(Request("p", how)).key)
    assert [len(each) for each in keys.values()] == [1] * 7
    assert len(set.union(*keys.values())) == 7


@pytest.mark.slow
def test_what_shares_a_key_is_sent_in_the_same_words() -> None:
    """Or an answer to one would be taken for an answer to the other."""
    names = ("temperature", "top_p", "top_k", "stop", "seed", "logprobs")
    subsets = [
        list(subset)
        for size in range(len(names) + 1)
        for subset in itertools.combinations(names, size)
    ]
    values: Callable[..., Any] = itertools.product
    bodies = defaultdict(set)
    ways = (("completions", None), ("chat", None), ("chat", "Be brief."))
    for (api, system), leave_out, say_none in values(ways, subsets, (True, False)):
        canon = Canon({"server": ADDRESS}, api, system, leave_out, say_none)
        for temperature, top_p, top_k, logprobs, stop, seed, sample in values(
            (0.0, 0.5), (0.0, 0.5), (None, 7), (None, 2), ([], ["x"]), (None, 1), (0, 1)
        ):
            how = SAMPLING.model_copy(
                update={
                    "temperature": temperature,
                    "top_p": top_p,
                    "top_k": top_k,
                    "logprobs": logprobs,
                    "stop": stop,
                }
            )
            request = Request("p", how, seed, sample)
            body = body_for(api, "m", system, ["p"], request, 100, 1, leave_out, say_none)
            bodies[canon.of(request).key].add(json.dumps(body, sort_keys=True))
    assert max(map(len, bodies.values())) == 1
    assert len(bodies) > 1000


def test_a_kept_completion_is_found_under_a_key_that_never_changes() -> None:
    """The key of one request, as it was when the first answers were kept: what has come since is
    in it only where it is sent."""
    identity = {"server": "http://localhost:8000/v1", "name": "m"}
    request = Request("p", SAMPLING, seed=1)
    form = (
        '{"form":1,"frequency_penalty":0.0,"kind":"completion","logprobs":null,"max_tokens":100,'
        '"model":{"name":"m","server":"http://localhost:8000/v1"},"presence_penalty":0.0,'
        '"prompt":"p","seed":1,"stop":["\\n"],"temperature":0.0,"top_p":1.0}'
    )
    assert Canon(identity, say_none=False).of(request).form == form
    assert Canon(identity, leave_out=["top_k", "min_p"]).of(request).form == form
    assert json.loads(Canon(identity).of(request).form) == json.loads(form) | {
        "top_k": -1,
        "min_p": 0.0,
    }


def test_openai_is_not_told_of_what_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    for url, said in (("", False), ("https://api.openai.com/v1", False), (ADDRESS, True)):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        with open_endpoint(LLM) as endpoint:
            assert endpoint.say_none == said

"""How many tokens a text has: the model's own tokenizer is asked, once, or words stand for it."""

import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.message import Message
from pathlib import Path

import pytest
from support.engines import LLM
from support.params import section
from support.server import Cut, Reply, serving
from support.stages import run_stage

from seedbed.auto_instruct import relabel_and_pick
from seedbed.auto_instruct.params import RelabelAndPick
from seedbed.auto_instruct.rows import LABELLED
from seedbed.llm import errors
from seedbed.llm.engine import Engine
from seedbed.llm.params import Llm
from seedbed.llm.serve import embedded
from seedbed.llm.serve.endpoint import Endpoint, open_endpoint
from seedbed.llm.store.store import Store

TEXTS = ["Sort the words.", "", "Nenne die größte Zahl: 12, 7 oder 99. 🙂", "Sort the words."]


def count(endpoint: Endpoint, path: Path, texts: list[str] = TEXTS) -> list[int] | None:
    store = Store(path)
    engine = Engine(endpoint, store, lambda tally: None)
    try:
        return engine.count_tokens(texts)
    finally:
        engine.close()
        store.close()


def counted(llm: Llm, path: Path, texts: list[str] = TEXTS) -> list[int] | None:
    with open_endpoint(llm) as endpoint:
        return count(endpoint, path, texts)


@contextmanager
def a_server(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[dict], dict]
) -> Iterator[list[dict]]:
    """A server that is asked for tokens; gives the bodies of its requests."""
    bodies: list[dict] = []

    def handle(body: dict, _: Message) -> dict:
        bodies.append(body)
        return answer(body)

    with serving(handle) as address:
        monkeypatch.setenv("OPENAI_BASE_URL", address)
        yield bodies


def letters(body: dict) -> dict:
    return {"tokens": list(range(len(body["prompt"])))}


def missing(_: dict) -> dict:
    raise Reply(404, '{"detail": "Not Found"}')


def test_the_embedded_model_counts_as_it_does_when_it_completes(
    model_server: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with open_endpoint(section(Llm, model=embedded.PACKAGED)) as endpoint:
        found = count(replace(endpoint, connect=lambda: model_server), tmp_path / "s.sqlite")
        # What was counted once is not asked for again: nobody is there.
        again = count(replace(endpoint, connect=lambda: 1 / 0), tmp_path / "s.sqlite")
    assert found is not None
    assert again == found
    base_url, key = model_server
    for text, number in zip(TEXTS, found, strict=True):
        if not text:
            assert number == 0
            continue
        request = urllib.request.Request(
            f"{base_url}/completions",
            json.dumps({"prompt": text, "max_tokens": 1}).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
        )
        with urllib.request.urlopen(request) as response:
            usage = json.load(response)["usage"]
        assert usage["prompt_tokens"] == 1 + number  # the one that begins every prompt


def test_each_text_is_asked_for_once_in_both_servers_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_server(monkeypatch, letters) as bodies:
        assert counted(LLM, tmp_path / "s.sqlite") == [len(text) for text in TEXTS]
        assert counted(LLM, tmp_path / "s.sqlite", TEXTS[:1]) == [len(TEXTS[0])]
    assert sorted(body["prompt"] for body in bodies) == sorted(set(TEXTS))
    for body in bodies:
        assert body["content"] == body["prompt"]
        assert body["add_special"] is body["add_special_tokens"] is False


@pytest.mark.parametrize(
    "answer",
    [
        missing,
        lambda _: (_ for _ in ()).throw(Reply(405, "no")),
        lambda _: {"object": "error"},
        lambda _: (_ for _ in ()).throw(Reply(200, "<html>")),
    ],
    ids=["404", "405", "no tokens", "no JSON"],
)
def test_a_server_that_does_not_tell_is_no_error(
    answer: Callable[[dict], dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_server(monkeypatch, answer):
        assert counted(LLM, tmp_path / "s.sqlite") is None


def test_a_server_that_fails_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEEDBED_MAX_RETRIES", "0")

    def cut(_: dict) -> dict:
        raise Cut

    with a_server(monkeypatch, cut), pytest.raises(errors.ServerFailed):
        counted(LLM, tmp_path / "s.sqlite")


def test_a_replay_counts_from_the_store_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay = LLM.model_copy(update={"replay": True})
    with a_server(monkeypatch, letters) as bodies:
        counted(LLM, tmp_path / "s.sqlite", TEXTS[:1])
        assert counted(replay, tmp_path / "s.sqlite", TEXTS[:1]) == [len(TEXTS[0])]
        with pytest.raises(errors.NotInStore):
            counted(replay, tmp_path / "s.sqlite")
        assert len(bodies) == 1


# --- relabel-and-pick


def relabel(tokenizer: str, most: int | None) -> dict:
    own = section(
        RelabelAndPick,
        sample_instructions=2,
        max_examples=None,
        pick_example_criteria="random",
        max_instruction_tokens=most,
        tokenizer=tokenizer,
        seen_dev_examples=0,
        seed=1,
    )
    run_stage(relabel_and_pick, relabel_and_pick.Params(llm=LLM, relabel_and_pick=own))
    return json.loads(Path("metrics/relabel_and_pick.json").read_text())


@pytest.fixture
def labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task's labels; its candidates have 5, 9 and 10 letters, and 1, 5 and 1 words."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEEDBED_STORE", str(tmp_path / "store.sqlite"))
    path = LABELLED / "task1.jsonl"
    path.parent.mkdir(parents=True)
    rows = [
        {"prompt": "p"},
        {"instructions": ["a" * 5, "a b c d e", "a" * 10]},
        {"demos": ""},
        {
            "id": "x",
            "input": "i",
            "target": "t",
            "instruction_idx": [0, 1, 2],
            "instruction_labels": [1, 0, 0],
            "instruction_outputs": ["", "", ""],
            "instruction_rouge": [1.0, 0.5, 0.0],
        },
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def drawn() -> list[int]:
    row = json.loads(Path("data/relabel_and_pick/train.jsonl").read_text())
    return row["instruction_idx"]


def test_the_models_tokens_decide_which_candidates_are_too_long(
    labels: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_server(monkeypatch, letters) as bodies:
        figures = relabel("model", 9)
        assert drawn() == [0, 1]
        assert figures["candidates_too_long"] == 1
        assert figures["tasks_measured_by_words"] == 0
        relabel("model", 10)
        assert len(bodies) == 3, "another limit asks for nothing"


def test_words_decide_where_the_server_does_not_tell_and_the_metrics_say_so(
    labels: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_server(monkeypatch, missing):
        figures = relabel("model", 6)
    assert drawn() == [0, 2]
    assert figures["tasks_measured_by_words"] == 1


def test_nobody_is_asked_where_words_decide_or_nothing_does(
    labels: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_server(monkeypatch, letters) as bodies:
        assert relabel("words", 6)["tasks_measured_by_words"] == 1
        assert drawn() == [0, 2]
        assert relabel("model", None)["tasks_measured_by_words"] == 0
    assert not bodies

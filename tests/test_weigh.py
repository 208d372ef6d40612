"""Weighing words after a prompt, and the states of prompts: the real model, and other servers."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.engines import LLM, engine_on, kept_in
from support.params import section
from support.ranking import Scoring, scoring

from seedbed.llm import errors
from seedbed.llm.params import Llm
from seedbed.llm.send.client import Client
from seedbed.llm.serve import embedded
from seedbed.llm.serve.endpoint import Endpoint, open_endpoint

PACKAGED = section(Llm, model=embedded.PACKAGED)
WORDS = (" yes", " no")


@pytest.fixture(scope="module")
def local(model_server: tuple[str, str]) -> Iterator[Endpoint]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OPENAI_BASE_URL", raising=False)
        with open_endpoint(PACKAGED) as endpoint:
            yield replace(endpoint, connect=lambda: model_server)


def questions() -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Several about each of two inputs, which their prompts share."""
    found = []
    for given in ("The soup was cold and the waiter rude.", "A lovely evening, we will be back!"):
        shared = f"Input: {given}\n\nInstruction:"
        for task in ("Say whether the writer is pleased.", "Translate it.", "Is it positive?"):
            found.append(
                (f"{shared} {task}\n\nDoes it lead to the right output?", WORDS, (shared,))
            )
    return found


@pytest.fixture
def posts(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """The completions that are asked for."""
    asked: list[dict] = []
    post = Client.post

    async def counted(self: Client, path: str, body: dict, *, at_root: bool = False) -> str:
        if "grammar" in body:
            asked.append(body)
        return await post(self, path, body, at_root=at_root)

    monkeypatch.setattr(Client, "post", counted)
    return asked


def test_one_request_weighs_all_words_and_the_bytes_do_not_depend_on_the_order(
    local: Endpoint, tmp_path: Path, posts: list[dict]
) -> None:
    asked = questions()
    with engine_on(local, tmp_path / "forwards.sqlite") as engine:
        forwards = list(engine.weigh(asked))
        assert engine.tally.sent == 12
    assert len(posts) == 6
    with engine_on(local, tmp_path / "backwards.sqlite") as engine:
        list(engine.score([("Something else", " here")]))
        backwards = list(engine.weigh(asked[::-1]))[::-1]
        assert list(engine.weigh(asked[:2])) == backwards[:2]
    assert backwards == forwards
    assert [score.tokens for score in forwards[0]] == [[" yes"], [" no"]]
    # What each is by itself, but for the rounding: see tests/test_score.py.
    with engine_on(local, tmp_path / "alone.sqlite") as engine:
        pairs = [(prompt, text) for prompt, texts, _ in asked for text in texts]
        alone = [score.total for score in engine.score(pairs)]
    together = [score.total for those in forwards for score in those]
    assert np.abs(np.subtract(together, alone)).max() < 1
    assert np.abs(np.subtract(together, np.roll(alone, 1))).max() > 2


def test_a_word_of_several_tokens_is_scored_by_itself(local: Endpoint, tmp_path: Path) -> None:
    with engine_on(local, tmp_path / "s.sqlite") as engine:
        ((yes, long),) = engine.weigh([("Is it?", (" yes", " no idea at all"), ())])
        ((alone,),) = [list(engine.score([("Is it?", " no idea at all")]))]
    assert len(yes.tokens) == 1
    assert long.tokens == alone.tokens
    assert long.logprobs == alone.logprobs


def test_on_another_server_words_are_scored_as_ever_and_share_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scoring() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        with open_endpoint(LLM) as endpoint, engine_on(endpoint, tmp_path / "s.sqlite") as engine:
            pairs = [(prompt, text) for prompt, texts, _ in questions() for text in texts]
            scores = list(engine.score(pairs))
            assert [one for those in engine.weigh(questions()) for one in those] == scores
            assert engine.tally.sent == engine.tally.reused == len(server.scored) == 12


def test_the_state_of_a_prompt_is_the_same_bytes_whatever_was_asked_before(
    local: Endpoint, tmp_path: Path
) -> None:
    prompts = [prompt for prompt, _, _ in questions()[:3]]
    found = []
    for name, order in (("forwards", prompts), ("backwards", prompts[::-1])):
        # Each time by a server that is new.
        with (
            open_endpoint(PACKAGED) as endpoint,
            engine_on(
                replace(local, connect_embedding=endpoint.connect_embedding),
                tmp_path / f"{name}.sqlite",
            ) as engine,
        ):
            found.append({state.key: state.data for state in engine.embed(order)})
            (again,) = engine.embed(prompts[:1])
            assert found[-1][again.key] == again.data
            assert engine.tally.sent == 3
    assert found[0] == found[1]
    states = [np.frombuffer(data, dtype="<f4") for data in found[0].values()]
    assert {len(state) for state in states} == {640}
    # It is not of unit length, and of another prompt it is another.
    assert min(np.linalg.norm(state) for state in states) > 10
    assert not np.allclose(states[0], states[1], atol=0.1)
    assert all(
        '"kind":"embedding"' in kept.request for kept in kept_in(tmp_path / "forwards.sqlite")
    )


def test_another_server_is_not_asked_for_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server: Scoring
    with scoring() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        with (
            open_endpoint(LLM) as endpoint,
            engine_on(endpoint, tmp_path / "s.sqlite") as engine,
            pytest.raises(errors.EmbeddingNotOffered, match="Leave `hidden` out"),
        ):
            list(engine.embed(["Say:"]))
        assert server.bodies == []

"""The doctor's questions: to servers that refuse this and that, and to the embedded one."""

import itertools
import json
import re
from contextlib import ExitStack
from email.message import Message

import pytest
from support.engines import LLM
from support.params import section
from support.project import Project
from support.refusals import nobody_there
from support.server import Reply, completion, serving
from support.snapshots import Snapshots

from seedbed.llm import errors
from seedbed.llm.params import Llm
from seedbed.llm.send import limits
from seedbed.llm.serve import embedded
from seedbed.views.doctor import LONG, TWICE, examine

OPTIONAL = ["temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty"]
OPTIONAL += ["logprobs", "stop", "seed"]
TAKEN = [*OPTIONAL, "stop of more than four", "several samples", "lists of prompts"]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-123456")
    monkeypatch.setenv("SEEDBED_CONCURRENCY", "4")
    monkeypatch.setattr(limits, "FIRST_PAUSE", 0.01)


class Server:
    """Answers what it is asked, but for what `refuses` names.

    refuses: a parameter (in whatever value), "five stops", "n" or "lists".
    """

    def __init__(self, *refuses: str, status: int = 400, ignores: tuple[str, ...] = ()):
        self.refuses, self.status, self.ignores = refuses, status, ignores
        self.bodies: list[dict] = []

    def __call__(self, body: dict, headers: Message) -> dict:
        self.bodies.append(body)
        found = {*body}
        found |= {"five stops"} if len(body.get("stop", ())) > 4 else set()
        found |= {"lists"} if isinstance(body.get("prompt"), list) else set()
        for name in self.refuses:
            if name in found:
                said = f"I take no {name}, and my key is {headers['Authorization']}"
                raise Reply(self.status, json.dumps({"error": {"message": said}}))
        asked = len(body["prompt"]) if isinstance(body.get("prompt"), list) else 1
        if "n" not in self.ignores:
            asked *= body.get("n", 1)
        choices = []
        for i in range(asked):
            choice = {"index": i, "text": " a", "finish_reason": "length", "logprobs": None}
            if "messages" in body:
                choice["message"] = {"role": "assistant", "content": " a"}
            if "logprobs" in body and "logprobs" not in self.ignores:
                choice["logprobs"] = {"tokens": [" a"], "token_logprobs": [-0.5]}
            choices.append(choice)
        usage = {"prompt_tokens": 5, "completion_tokens": asked * body["max_tokens"]}
        return {"choices": choices, "usage": usage}


def examined(
    monkeypatch: pytest.MonkeyPatch, server: Server, llm: Llm = LLM, **pages: object
) -> tuple[list[str], str]:
    """The doctor's lines, and the address. pages: what is found at paths."""
    with serving(server, pages={f"/{name}": page for name, page in pages.items()}) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        return list(examine(llm)), url


def test_a_server_that_takes_all_gets_no_advice(
    monkeypatch: pytest.MonkeyPatch, snapshot: Snapshots
) -> None:
    server = Server()
    lines, url = examined(monkeypatch, server)
    text = re.sub(r"\d+ (ms|tokens/s)", r"N \1", "\n".join(lines)).replace(url, "URL")
    snapshot("doctor", text + "\n")
    # A handful of requests, most of them for one token.
    lengths = [body["max_tokens"] for body in server.bodies]
    assert lengths == [1] * 15 + [LONG] * 5 + [TWICE] * 10


def test_each_parameter_is_tried_by_itself_and_none_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server()
    examined(monkeypatch, server)
    sent = [set(OPTIONAL) & body.keys() for body in server.bodies]
    tried = [set()] * 3 + [{name} for name in OPTIONAL] + [{"stop"}] + [set()] * 7
    assert sent == tried + [{"temperature"}] * 5 + [{"temperature", "seed"}] * 5


@pytest.mark.parametrize(
    ("name", "status"), [*((name, 400) for name in OPTIONAL), ("seed", 422), ("seed", 500)]
)
def test_a_parameter_that_is_refused_is_named_with_the_line_for_the_parameters(
    monkeypatch: pytest.MonkeyPatch, name: str, status: int
) -> None:
    lines, _ = examined(monkeypatch, Server(name, status=status))
    (refused,) = [line for line in lines if line.startswith("REFUSES")]
    assert refused == f"REFUSES   {name}: I take no {name}, and my key is Bearer [key]"
    taken = [line.removeprefix("takes     ") for line in lines if line.startswith("takes")]
    without = {name, "stop of more than four"} if name == "stop" else {name}
    assert taken == [other for other in TAKEN if other not in without]
    assert lines[-1] == f"advice    set llm.leave_out in params.yaml to [{name}]"
    # That line, as it stands, is what the parameters take.
    section(Llm, leave_out=[name])


def test_all_that_is_refused_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = ("presence_penalty", "logprobs", "seed")
    lines, _ = examined(monkeypatch, Server(*refused, "n"))
    assert lines[-1] == "advice    set llm.leave_out in params.yaml to [" + ", ".join(refused) + "]"


def test_what_is_left_out_already_needs_no_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    llm = LLM.model_copy(update={"leave_out": ["seed", "logprobs"]})
    lines, _ = examined(monkeypatch, Server("seed"), llm)
    assert lines[-1] == "advice    none: what it refuses is in llm.leave_out"
    lines, _ = examined(monkeypatch, Server("seed", "temperature"), llm)
    assert lines[-1] == "advice    set llm.leave_out in params.yaml to [temperature, seed]"


def test_log_probabilities_that_do_not_come_count_as_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines, _ = examined(monkeypatch, Server(ignores=("logprobs",)))
    assert "REFUSES   logprobs: it answers without them" in lines


@pytest.mark.parametrize(
    ("server", "name", "remedy"),
    [
        (Server("five stops"), "stop of more than four", "give four at most"),
        (Server("n"), "several samples", "each is asked by itself"),
        (Server(ignores=("n",)), "several samples", "each is asked by itself"),
        (Server("lists"), "lists of prompts", "leave SEEDBED_PROMPTS_PER_REQUEST at 1"),
    ],
)
def test_what_else_is_refused_comes_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, server: Server, name: str, remedy: str
) -> None:
    lines, _ = examined(monkeypatch, server)
    (at,) = [i for i, line in enumerate(lines) if line.startswith("REFUSES")]
    assert lines[at].startswith(f"REFUSES   {name}: ")
    assert remedy in lines[at + 1]
    assert lines[-1] == "advice    none: it takes all that the stages send"


def test_a_chat_is_asked_as_a_chat_and_has_no_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    llm = LLM.model_copy(update={"api": "chat", "system": "Be brief."})
    server = Server("seed")
    lines, _ = examined(monkeypatch, server, llm)
    assert not any("lists" in line for line in lines)
    assert lines[-1] == "advice    set llm.leave_out in params.yaml to [seed]"
    first = {"role": "system", "content": "Be brief."}
    assert all(body["messages"][0] == first for body in server.bodies)


def test_a_server_that_is_busy_for_a_moment_is_not_said_to_refuse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, turn = Server(), 0

    def every_other_time(body: dict, headers: Message) -> dict:
        nonlocal turn
        turn += 1
        if turn % 2:
            raise Reply(429, '{"error": {"message": "slow down"}}')
        return server(body, headers)

    monkeypatch.setenv("SEEDBED_CONCURRENCY", "1")
    lines, _ = examined(monkeypatch, every_other_time)  # type: ignore[arg-type]
    assert lines[-1] == "advice    none: it takes all that the stages send"


def always(status: int) -> Server:
    return Server("max_tokens", status=status)


@pytest.mark.parametrize(
    ("server", "error", "says"),
    [
        (always(401), errors.KeyRefused, "Set OPENAI_API_KEY"),
        (
            always(404),
            errors.ModelUnknown,
            "no completions API: [^\n]*\n  Does the address end in /v1",
        ),
        (always(429), errors.ServerFailed, "HTTP 429"),
        (always(500), errors.ServerFailed, "HTTP 500"),
        (always(400), errors.ParameterRefused, "max_tokens"),
        # Busy for good, and only then: nobody knows whether it takes the parameter.
        (Server("seed", status=429), errors.ServerFailed, "HTTP 429"),
    ],
)
def test_a_server_that_answers_nothing_is_named_as_by_a_stage(
    monkeypatch: pytest.MonkeyPatch, server: Server, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says) as failure:
        examined(monkeypatch, server)
    assert "sk-very-secret" not in str(failure.value)


def test_an_answer_that_is_no_completion_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def page(body: dict, headers: Message) -> dict:
        raise Reply(200, "<html>Welcome</html>")

    with pytest.raises(errors.BadAnswer, match=r"not JSON.*Welcome"):
        examined(monkeypatch, page)  # type: ignore[arg-type]


def test_a_server_that_is_not_there_is_told_in_one_message(project: Project) -> None:
    with serving(lambda body, headers: completion("x")) as url:
        pass
    project.set("llm.model", "served-model")
    done = project.stage("doctor", OPENAI_BASE_URL=url)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[:2] == [f"server    {url}", "models    it does not say"]
    assert lines[2].startswith(f"seedbed doctor: no answer from {url}: ")
    assert "OPENAI_BASE_URL" in lines[3]
    assert len(lines) == 4
    assert not (project.folder / ".seedbed").exists()


@pytest.mark.parametrize("how", ["greedy", "sampled with a seed"])
def test_texts_that_differ_are_told(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    class Unsteady(Server):
        def __call__(self, body: dict, headers: Message) -> dict:
            answer = super().__call__(body, headers)
            if body["max_tokens"] == TWICE and ("seed" in body) == (how != "greedy"):
                answer["choices"][0]["text"] = f" {len(self.bodies)}"
            return answer

    monkeypatch.setenv("SEEDBED_CONCURRENCY", "2")
    lines, _ = examined(monkeypatch, Unsteady())
    said = {line.rpartition(", ")[2]: line for line in lines if line.startswith("twice")}
    assert said.pop(how) == f"twice     3 DIFFERENT texts of 3, {how}"
    assert [line.partition(",")[0] for line in said.values()] == ["twice     the same text"]


def llama_cpp(**settings: object) -> dict[str, object]:
    own = {"temperature": 0.8, "top_k": 40, "min_p": 0.05, "top_p": 0.95, "repeat_penalty": 1.0}
    own |= {"repeat_last_n": 64, "xtc_probability": 0.0, "samplers": ["penalties", "top_k"]}
    return {"default_generation_settings": {"params": own | settings}}


def added(monkeypatch: pytest.MonkeyPatch, llm: Llm = LLM, **pages: object) -> list[str]:
    lines, _ = examined(monkeypatch, Server(), llm, **pages)
    return [line.removeprefix("adds      ") for line in lines if line.startswith("adds")]


def test_what_llama_cpp_adds_by_itself_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    overruled = "temperature 0.8, top_p 0.95, top_k 40, min_p 0.05"
    window = [
        "penalties count the last 64 tokens, the prompt's too; OpenAI and vLLM",
        "count what was generated: see docs/self-instruct.md",
    ]
    sampler = f"({overruled} would be its own, but each request says otherwise)"
    assert added(monkeypatch, props=llama_cpp()) == ["nothing", sampler, *window]
    props = llama_cpp(repeat_penalty=1.1, xtc_probability=0.5)
    own = "repeat_penalty 1.1, xtc_probability 0.5: no request says otherwise, start it without"
    assert added(monkeypatch, props=props) == [own, sampler, *window]
    without = LLM.model_copy(update={"leave_out": ["top_k", "presence_penalty"]})
    own = "top_k 40: no request says otherwise, start it without"
    sampler = sampler.replace("top_k 40, ", "")
    assert added(monkeypatch, without, props=llama_cpp()) == [own, sampler, *window]


def test_what_vllm_adds_by_itself_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    config = "repetition_penalty, if the model's generation config has them (vLLM's way)"
    remedy = "start it with --generation-config vllm"
    models = {"v1/models": {"object": "list", "data": [{"id": "m", "owned_by": "vllm"}]}}
    assert added(monkeypatch, **models) == [config, remedy]

    def started(**config: object) -> dict[str, object]:
        info = {"vllm_config": {"model_config": config}}
        return {"server_info?config_format=json": info, **models}

    assert added(monkeypatch, **started(generation_config="auto")) == [config, remedy]
    assert added(monkeypatch, **started(generation_config="vllm")) == ["nothing"]
    overridden = {"repetition_penalty": 1.05, "temperature": 0.6}
    said = started(generation_config="vllm", override_generation_config=overridden)
    own = "repetition_penalty 1.05: no request says otherwise, start it without"
    assert added(monkeypatch, **said) == [own]


@pytest.mark.parametrize(
    "page",
    [None, [], {"default_generation_settings": 5}, llama_cpp(samplers=None, top_k=10**4000)],
)
def test_what_makes_no_sense_is_not_an_error(monkeypatch: pytest.MonkeyPatch, page: object) -> None:
    assert added(monkeypatch, props=page)[0] in ("it does not say", "nothing")


POOL = LLM.model_copy(update={"server": "pool"})


def compared(
    monkeypatch: pytest.MonkeyPatch, *servers: Server, missing: str = "", about: str = "A"
) -> list[str]:
    """The doctor's lines about several servers, up to those about one; addresses are A, B, …"""
    with ExitStack() as stack:
        urls = [stack.enter_context(serving(server)) for server in servers]
        urls += [missing] * bool(missing)
        monkeypatch.setenv("OPENAI_BASE_URL", " ".join(urls))
        text = "\n".join(examine(POOL))
    for letter, url in zip("ABC", urls, strict=False):
        text = text.replace(url, letter)
    lines = text.splitlines()
    assert lines[-1].startswith("advice")
    return lines[: lines.index(f"below     {about}") + 1]


class Saying(Server):
    """Goes on with the same text after every prompt, or with another each time."""

    def __init__(self, *texts: str):
        super().__init__()
        self.texts = itertools.cycle(texts)

    def __call__(self, body: dict, headers: Message) -> dict:
        answer = super().__call__(body, headers)
        answer["choices"][0]["text"] = next(self.texts)
        return answer


def test_servers_that_answer_alike_are_said_to(
    monkeypatch: pytest.MonkeyPatch, snapshot: Snapshots
) -> None:
    lines = compared(monkeypatch, Saying(" a"), Saying(" a"))
    snapshot("doctor-servers", "\n".join(lines) + "\n")


def test_servers_that_answer_otherwise_are_told_with_what_they_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = compared(monkeypatch, Saying(" a"), Saying(" b"))
    told = lines.index("UNLIKE    B and A:")
    assert lines[told + 1] == "          after 'Once upon a time' ' b', the other ' a'"
    assert len(lines) == told + 5


def test_a_server_that_does_not_repeat_itself_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = compared(monkeypatch, Saying(" a"), Saying(" a", " b"))
    assert "repeats   A: 3 of 3 greedy texts came the same twice" in lines
    assert "REPEATS   B: 0 of 3 greedy texts came the same twice" in lines
    assert "alike     B and A: models and greedy texts" in lines


def test_a_server_that_is_not_there_is_told_among_those_that_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = compared(monkeypatch, Saying(" a"), missing=nobody_there())
    assert lines[:3] == ["server    A", "models    served-model", "server    B"]
    assert lines[3].startswith("          NOT THERE: ")
    assert lines[4:] == [
        "repeats   A: 3 of 3 greedy texts came the same twice",
        "below     A",
    ]


def test_servers_of_different_models_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    models = {"object": "list", "data": [{"id": "a-model", "object": "model"}]}
    with (
        serving(Saying(" a")) as first,
        serving(Saying(" a"), pages={"/v1/models": models}) as second,
    ):
        monkeypatch.setenv("OPENAI_BASE_URL", f"{first} {second}")
        lines = list(examine(POOL))
    told = lines.index(f"UNLIKE    {second} and {first}:")
    assert lines[told + 1] == "          it serves a-model, the other served-model"
    assert lines[-1].startswith("advice    let all servers be alike")
    missing = nobody_there()
    with serving(Saying(" a")) as first:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{first} {missing}")
        lines = list(examine(POOL))
    assert lines[-1] == f"advice    {missing}: a run does without it until it is there"


def test_a_server_that_does_not_know_the_model_is_told_among_those_that_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = compared(monkeypatch, always(404), Saying(" a"), about="B")
    assert lines[2] == "          HAS NOT THE MODEL served-model"
    assert lines[-2:] == ["repeats   B: 3 of 3 greedy texts came the same twice", "below     B"]


def test_several_servers_of_which_none_is_there_are_told_as_by_a_stage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = [nobody_there(), nobody_there()]
    monkeypatch.setenv("OPENAI_BASE_URL", " ".join(missing))
    with pytest.raises(errors.ServerNotThere, match=", ".join(missing)):
        list(examine(POOL))


@pytest.mark.slow
def test_the_embedded_server_takes_all_that_the_stages_send(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    lines = list(examine(section(Llm, model=embedded.PACKAGED)))
    assert lines[0] == f"server    the embedded server ({embedded.PACKAGED})"
    assert {f"takes     {name}" for name in TAKEN} - {*lines} == {"takes     several samples"}
    assert sum(line.startswith("speed") for line in lines) == 1
    assert {f"twice     the same text, {how}" for how in ("greedy", "sampled with a seed")} < {
        *lines
    }
    assert "adds      nothing" in lines
    assert lines[-1] == "advice    none: it takes all that the stages send"

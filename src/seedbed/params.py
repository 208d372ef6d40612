"""The parameters: params.yaml, checked before anything else happens.

A stage reads its sections through DVC, which hands out only what the stage declares in dvc.yaml:
a parameter that a stage reads without declaring it fails at once, instead of going stale.
"""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    model_validator,
)

from seedbed.errors import BadFile, BadParam, NoRepository
from seedbed.llm.request import Api, Parameter, Sampling
from seedbed.paths import PARAMS
from seedbed.tasks import check_name
from seedbed.text.instances import OutputWithoutLabel
from seedbed.text.matching import Metric


class Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Embedded(Section):
    """The embedded server. Each of these changes its arithmetic, and so its answers.

    context: tokens a slot holds, prompt and completion together.
    slots: requests evaluated together; with more than one the bytes differ from run to run.
    speculative: what guesses the next tokens, which the model then evaluates together: ngram_map_k
        goes on as the text did the last time that it came by the same words. null: nothing does.
    """

    context: int = Field(ge=256)
    slots: PositiveInt
    threads: PositiveInt
    speculative: Literal["ngram_map_k"] | None = None


class Price(Section):
    """US dollars per million tokens."""

    model: str = Field(min_length=1)
    input: float = Field(ge=0)
    output: float = Field(ge=0)


class Llm(Section):
    """The model and how it is asked.

    model: the packaged model, a GGUF file, or the name that the server knows it by.
    system: the system message of a chat; null for none.
    leave_out: parameters that are not sent, because the server refuses them.
    replay: answer from the store alone, without a connection.
    prices: for servers that cost something; used by `seedbed estimate` and the budget.
    """

    model: str = Field(min_length=1)
    api: Api = "completions"
    system: str | None = None
    leave_out: list[Parameter] = []
    embedded: Embedded
    replay: bool = False
    prices: list[Price] = []

    @model_validator(mode="after")
    def _fits(self) -> "Llm":
        if self.system is not None and self.api != "chat":
            raise ValueError("system is for a chat: set llm.api to chat, or system to null")
        return self


# These change no result, so no stage declares them: a stage does not run again because of them.
UNTRACKED = ("replay", "prices")


class Bootstrap(Section):
    num_instructions_to_generate: PositiveInt
    num_prompt_instructions: PositiveInt
    num_machine_prompt_instructions: int = Field(ge=0)
    use_clf_seed_tasks_only: bool
    request_batch_size: PositiveInt
    rouge_threshold: float = Field(ge=0, le=1)
    max_rounds_without_new: PositiveInt
    capitalize: bool
    min_words: int = Field(ge=0)
    max_words: PositiveInt
    refused_words: list[Annotated[str, Field(min_length=1)]]
    refused_prefixes: list[Annotated[str, Field(min_length=1)]]
    refuse_non_ascii: bool
    sampling: Sampling
    seed: int

    @model_validator(mode="after")
    def _bounds_fit(self) -> "Bootstrap":
        if self.num_machine_prompt_instructions > self.num_prompt_instructions:
            raise ValueError("num_machine_prompt_instructions exceeds num_prompt_instructions")
        if self.min_words > self.max_words:
            raise ValueError("min_words exceeds max_words")
        return self


class Clf(Section):
    sampling: Sampling


class Instances(Section):
    tasks: Literal["all", "generation", "classification"]
    num_instructions: PositiveInt | None
    max_instances_to_generate: PositiveInt
    classification_max_tokens: PositiveInt
    sampling: Sampling


class Prepare(Section):
    """What becomes of the completions.

    output_without_label: whether an example without any `Output:` is refused, or its whole text
        taken as the output.
    """

    num_instructions: PositiveInt | None
    max_instances_per_task: PositiveInt
    output_without_label: OutputWithoutLabel
    include_seed_tasks: bool
    seed: int


def _no_repeat(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("a name stands there twice")
    return names


class Niv2(Section):
    """The tasks in Natural Instructions form that instructions are found for.

    folder: where they are; see `seedbed tasks`.
    tasks: their names; null for all that are there.
    """

    folder: str = Field(min_length=1)
    tasks: (
        Annotated[
            list[Annotated[str, AfterValidator(check_name)]],
            Field(min_length=1),
            AfterValidator(_no_repeat),
        ]
        | None
    )


class Candidates(Section):
    """Instructions for the tasks of niv2.

    shots: whether the meta-prompts show a task's demos.
    samples: of each meta-prompt. max_resamples: times that each is sampled again if it says
        what is there already, or nothing.
    """

    shots: Literal["few", "zero"]
    samples: PositiveInt
    max_resamples: int = Field(ge=0)
    sampling: Sampling
    seed: int


class Label(Section):
    """How candidates are tried.

    max_examples: the first so many of each task; null for all.
    sample_instructions: so many of the candidates for each example, at random; null for all.
    one_from_each_group: of the candidates of one meta-prompt at most one for each example.
    metric: what makes an output right (the 0/1 label); ROUGE-L is always recorded.
    The others are the fields of `Sampling`.
    """

    shots: Literal["few", "zero"]
    max_examples: PositiveInt | None
    sample_instructions: PositiveInt | None
    one_from_each_group: bool
    metric: Metric
    max_tokens: PositiveInt
    temperature: float = Field(ge=0)
    top_p: float = Field(ge=0, le=1)
    frequency_penalty: float = Field(ge=-2, le=2)
    presence_penalty: float = Field(ge=-2, le=2)
    logprobs: int | None = Field(ge=0, le=5)
    stop: list[str]
    top_k: PositiveInt | None = None
    min_p: float | None = Field(default=None, ge=0, le=1)
    seed: int

    @property
    def sampling(self) -> Sampling:
        return Sampling.model_validate(
            {name: getattr(self, name) for name in Sampling.model_fields}
        )


class RelabelAndPick(Section):
    """The names of the authors' options, and what their merging of the tasks takes.

    sample_instructions: candidates drawn for each example.
    min_qualify_range: hundredths of ROUGE that the drawn scores must span; 0 for no limit.
    max_examples: a task's, at most; null for all.
    pick_example_criteria: how these are drawn where there are more.
    max_instruction_tokens: longer candidates are left out; null for no limit.
    tokenizer: what counts them: the model's own, if its server offers it, or their words.
    unseen_dev_tasks: all of their examples are for development, none for training.
    seen_dev_examples: of each other task so many, and never more than half, likewise.
    min_task_examples, max_task_examples: of a task's training examples in train.jsonl.
    """

    sample_instructions: int = Field(ge=2)
    min_qualify_range: float = Field(ge=0, le=100)
    max_examples: PositiveInt | None
    rank_criteria: Literal["norm_score_max", "relative_score_range"]
    pick_example_criteria: Literal["instruction_popularity", "random"]
    min_best_norm_score: float | None = Field(ge=0, le=1)
    max_instruction_tokens: PositiveInt | None
    tokenizer: Literal["model", "words"]
    unseen_dev_tasks: list[Annotated[str, Field(min_length=1)]]
    seen_dev_examples: int = Field(ge=0)
    min_task_examples: PositiveInt | None
    max_task_examples: PositiveInt | None
    seed: int

    @model_validator(mode="after")
    def _bounds_fit(self) -> "RelabelAndPick":
        least, most = self.min_task_examples, self.max_task_examples
        if least is not None and most is not None and least > most:
            raise ValueError("min_task_examples exceeds max_task_examples")
        return self


class Everything(Section):
    """The sections of params.yaml."""

    llm: Llm
    bootstrap: Bootstrap
    clf: Clf
    instances: Instances
    prepare: Prepare
    niv2: Niv2
    candidates: Candidates
    label: Label
    relabel_and_pick: RelabelAndPick


Declared = TypeVar("Declared", bound=Section)


def load(stage: str, sections: type[Declared]) -> Declared:
    """The sections that `stage` declares in dvc.yaml.

    All of params.yaml is checked, so that a mistake in a later stage's section is not found only
    after the stages before it were paid for.

    Raises:
        BadFile: params.yaml is missing or no YAML.
        BadParam: a parameter that is unknown, of the wrong type, out of range, or that YAML 1.1
            and YAML 1.2 read differently; names file, line and parameter.
    """
    everything, lines = _checked()
    import dvc.api
    from dvc.exceptions import DvcException

    try:
        declared = dvc.api.params_show(stages=stage)
    except DvcException as error:
        raise BadFile(PARAMS, str(error), "`dvc params diff` shows what DVC reads.") from None
    if "llm" in declared:
        declared["llm"] |= {
            name: value for name, value in everything["llm"].items() if name in UNTRACKED
        }
    try:
        return sections.model_validate(declared)
    except ValidationError as error:
        raise _explained(error, lines) from None


def everything() -> Everything:
    """All of params.yaml. Raises as `load`."""
    return Everything.model_validate(_checked()[0])


def _checked() -> tuple[dict[str, Any], "Lines"]:
    """What params.yaml says, once it is known to be sound, and where it says it."""
    try:
        text = PARAMS.read_text(encoding="utf-8")
        read_as_1_1 = yaml.safe_load(text)
    except FileNotFoundError:
        raise BadFile(PARAMS, "no such file", "Run Seedbed from the project's folder.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadFile(PARAMS, " ".join(str(error).split()), "Mend the YAML there.") from None
    if not isinstance(read_as_1_1, dict):
        needed = ", ".join(Everything.model_fields)
        raise BadFile(PARAMS, "holds no parameters", f"It has the sections {needed}.")
    lines = Lines(text)
    if twice := lines.twice():
        raise BadParam(PARAMS, *twice, "stands there twice", "Remove one of them.")
    for name, value in _leaves(read_as_1_1):
        if not isinstance(value, str | int | float | list | dict | None):
            raise BadParam(
                PARAMS,
                lines.of(name),
                ".".join(map(str, name)),
                f"YAML reads it as a {type(value).__name__}",
                "Write quotes around it if it is a text.",
            )
    # Imported here because it takes a third of a second, and reading the help should not.
    import dvc.api
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.scm import SCMError

    try:
        everything = dvc.api.params_show(str(PARAMS))
    except (NotDvcRepoError, SCMError):
        raise NoRepository(Path.cwd()) from None
    except DvcException as error:
        raise BadFile(PARAMS, str(error), "`dvc params diff` shows what DVC reads.") from None
    for name, value in _leaves(everything):
        other = _at(read_as_1_1, name)
        if repr(value) != repr(other):
            raise BadParam(
                PARAMS,
                lines.of(name),
                ".".join(map(str, name)),
                f"DVC (YAML 1.2) reads {value!r}, PyYAML (YAML 1.1) reads {other!r}",
                "Write it so that both agree: 0.000001 or 1.0e-6 for 1e-6, true for yes, "
                'quotes around a text such as "no".',
            )
    try:
        Everything.model_validate(everything)
    except ValidationError as error:
        raise _explained(error, lines) from None
    return everything, lines


def _explained(error: ValidationError, lines: "Lines") -> BadParam:
    errors = error.errors()
    # A name that is misspelt is also one that is missing: say the former.
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    name = tuple(first["loc"])
    if first["type"] == "extra_forbidden":
        model: Any = Everything
        for part in name[:-1]:
            model = model.model_fields[part].annotation
        return _unknown(lines, name, list(model.model_fields))
    expected = first["msg"][0].lower() + first["msg"][1:]
    value = first["input"]
    shown = "" if isinstance(value, dict) else f"found {value!r}: "
    return BadParam(
        PARAMS, lines.of(name), ".".join(map(str, name)), shown + expected, "Change it there."
    )


def _unknown(lines: "Lines", name: tuple[Any, ...], known: list[str]) -> BadParam:
    close = difflib.get_close_matches(str(name[-1]), known, n=1)
    remedy = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(known)}."
    return BadParam(
        PARAMS, lines.of(name), ".".join(map(str, name)), "there is no such parameter", remedy
    )


def _leaves(data: Any, name: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    items = (
        data.items()
        if isinstance(data, dict)
        else enumerate(data)
        if isinstance(data, list)
        else ()
    )
    empty = True
    for key, value in items:
        empty = False
        yield from _leaves(value, (*name, key))
    if empty:
        yield name, data


def _at(data: Any, name: tuple[Any, ...]) -> Any:
    try:
        for part in name:
            data = data[part]
    except (LookupError, TypeError):
        return None
    return data


class Lines:
    """Where in params.yaml a parameter stands."""

    def __init__(self, text: str):
        self._root = yaml.compose(text)

    def twice(self) -> tuple[int, str] | None:
        """Line and name of the first parameter whose name stands twice in its section."""
        todo: list[tuple[yaml.Node | None, str]] = [(self._root, "")]
        while todo:
            node, name = todo.pop()
            if isinstance(node, yaml.MappingNode):
                seen = set()
                for key, value in node.value:
                    full = f"{name}.{key.value}".lstrip(".")
                    if key.value in seen:
                        return key.start_mark.line + 1, full
                    seen.add(key.value)
                    todo.append((value, full))
        return None

    def of(self, name: tuple[Any, ...]) -> int:
        """The line of a parameter, counted from 1; of its section if it is missing."""
        node, line = self._root, 1
        for part in name:
            if isinstance(node, yaml.MappingNode):
                found = [(k, v) for k, v in node.value if k.value == str(part)]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
                found = [(v, v) for v in node.value[part : part + 1]]
            else:
                found = []
            if not found:
                break
            key, node = found[0]
            line = key.start_mark.line + 1
        return line

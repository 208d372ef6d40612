"""The parameters: params.yaml, checked before anything else happens.

A stage reads its sections through DVC, which hands out only what the stage declares in dvc.yaml:
a parameter that a stage reads without declaring it fails at once, instead of going stale.
"""

import difflib
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, Field, PositiveInt, ValidationError, model_validator

from seedbed.auto_instruct.matching import Metric
from seedbed.auto_instruct.niv2 import check_name
from seedbed.core.files import plainly, read_text
from seedbed.core.paths import PARAMS
from seedbed.core.plain_yaml import Name, Tree
from seedbed.core.section import Section, place
from seedbed.errors import BadFile, BadParam, NoRepository, shown
from seedbed.llm.contract.request import Sampling
from seedbed.llm.params import UNTRACKED, Llm
from seedbed.runs.pipeline import read_yaml
from seedbed.self_instruct.completions import OutputWithoutLabel


def _local_folder(text: str) -> str:
    """dvc.yaml has it as a dependency, and DVC takes some names for more than a name."""
    if "://" in text:
        raise ValueError("an address, not a folder: `dvc import` fetches what is elsewhere")
    path = PurePath(text)
    if path.suffix == ".dvc" or path.name in (".dvc", "dvc.yaml"):
        raise ValueError("what has this name is DVC's own")
    return text


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

    folder: Annotated[
        str, Field(min_length=1), AfterValidator(place), AfterValidator(_local_folder)
    ]
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
        BadFile, BadRow: params.yaml is missing, no text, or no YAML.
        BadParam: a parameter that is unknown, of the wrong type, out of range, or that YAML 1.1
            and YAML 1.2 read differently; names file, line and parameter.
        NoRepository: this is no clone of the project.
    """
    tree = _checked()
    # Imported here because it takes a third of a second, and reading the help should not.
    import dvc.api
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.scm import SCMError

    try:
        declared = dvc.api.params_show(stages=stage)
    except (NotDvcRepoError, SCMError):
        raise NoRepository(Path.cwd()) from None
    except DvcException as error:
        raise BadFile(PARAMS, str(error), "`dvc params diff` shows what DVC reads.") from None
    if "llm" in declared:
        declared["llm"] |= {
            name: value for name, value in tree.data["llm"].items() if name in UNTRACKED
        }
    try:
        return sections.model_validate(declared)
    except ValidationError as error:
        raise explained(error, tree) from None


def everything() -> Everything:
    """All of params.yaml. Raises as `load`."""
    return Everything.model_validate(_checked().data)


def _checked() -> Tree:
    """What params.yaml says, once it is known to be sound."""
    if not PARAMS.exists():
        raise BadFile(PARAMS, "no such file", "Run Seedbed from the project's folder.")
    tree = Tree(PARAMS, read_text(PARAMS))
    _check_that_dvc_reads_the_same(tree)
    try:
        Everything.model_validate(tree.data)
    except ValidationError as error:
        raise explained(error, tree) from None
    return tree


def _check_that_dvc_reads_the_same(tree: Tree) -> None:
    """DVC reads YAML 1.2, PyYAML and most editors 1.1."""
    try:
        read = read_yaml(tree.path)
    except BadFile:
        # It does not say what: a text such as -_, which looks to it like the beginning of a number.
        for name, value in _leaves(tree.data):
            if isinstance(value, str) and not _dvc_can_read(value):
                problem = f"DVC (YAML 1.2) cannot read {shown(value)}"
                raise tree.bad(name, problem, "Write quotes around it.") from None
        raise
    for name, value in _leaves(read):
        other = tree.at(name)
        # What is no number (.nan) is not equal to itself.
        if type(value) is not type(other) or (value != other and value == value):
            raise tree.bad(
                name,
                f"DVC (YAML 1.2) reads {shown(value)}, PyYAML (YAML 1.1) reads {shown(other)}",
                "Write it so that both agree: 0.000001 or 1.0e-6 for 1e-6, true for yes, "
                'quotes around a text such as "no".',
            )


def _dvc_can_read(text: str) -> bool:
    from dvc.utils.serialize import ParseError, parse_yaml

    try:
        parse_yaml(text, PARAMS)
    except ParseError:
        pass  # a text of several lines may be no YAML by itself
    except ValueError:
        return False
    return True


def explained(error: ValidationError, tree: Tree) -> BadParam:
    """The first thing that is wrong with parameters, where `tree` has it."""
    errors = error.errors()
    # A name that is misspelt is also one that is missing: say the former.
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    name = tuple(first["loc"])
    if first["type"] == "extra_forbidden":
        return _unknown(tree, name)
    expected = plainly(first["msg"])
    expected = expected[0].lower() + expected[1:]
    value = first["input"]
    found = "" if isinstance(value, dict) else f"found {shown(value)}: "
    return tree.bad(name, found + expected, "Change it there.")


def _unknown(tree: Tree, name: Name) -> BadParam:
    model: Any = Everything
    for part in name[:-1]:
        # A number is a place in a list.
        model = get_args(model)[0] if isinstance(part, int) else model.model_fields[part].annotation
    known = list(model.model_fields)
    close = difflib.get_close_matches(str(name[-1]), known, n=1)
    remedy = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(known)}."
    return tree.bad(name, "there is no such parameter", remedy)


def _leaves(data: Any, name: Name = ()) -> Iterator[tuple[Name, Any]]:
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

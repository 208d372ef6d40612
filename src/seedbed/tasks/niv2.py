"""Tasks in the form of Natural Instructions V2 (arXiv 2204.07705), whichever way they are kept.

Three ways are read into one record:

- `NAME.json`, new: `Definition` and every instance's `output` are lists of texts, and every
  instance has an `id`;
- `NAME.json`, old: either is one text, and there are no ids. The official files changed one field
  at a time, so each field has its own shape, the same throughout a file;
- `NAME/`, as the authors of Auto-Instruct (arXiv 2310.13127) keep them: `naive_instruction.txt`,
  `demo.jsonl` and `all_examples.jsonl`, with `task_metadata.json` for the category if it is there.
  Their templates are not read: how a prompt looks is the stage's affair.

Other fields and files are left alone. Everything is checked before anything is given back, also
what lies behind `max_examples`.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, ConfigDict, FailFast, Field, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from seedbed.core.files import problem_of, read_json, read_rows, read_text
from seedbed.core.records import Record
from seedbed.errors import BadFile, BadRow, SeedbedError
from seedbed.tasks.errors import BadTaskName
from seedbed.tasks.places import (
    DEMOS,
    EXAMPLES,
    INSTRUCTION,
    METADATA,
    NEEDED,
    check_name,
    task_name,
)

# When is a set of outputs closed? Few outputs, each met often; or more of them, met less often, if
# the task is by its category a classification (banking77, for one, has 77 intents).
_MOST_LABELS, _MEETINGS = 20, 5
_MOST_LABELS_IF_NAMED, _MEETINGS_IF_NAMED = 100, 2
_NAMED = re.compile(
    "classification|categorization|sentiment analysis|entailment|verification", re.IGNORECASE
)


class Demo(Record):
    """A worked example that a prompt may show."""

    input: str
    output: str
    explanation: str = ""


class Example(Record):
    """An input and its right outputs, all of them equally right."""

    id: str
    input: str
    targets: list[str] = Field(min_length=1)


class Task(Record):
    """A task: what is asked, by which demos it is explained, and on what a model is tried.

    instruction: the human-written one, the seed of all others.
    labels: the closed set of outputs if it is a classification task, sorted; else empty.
    """

    name: str
    instruction: str
    demos: list[Demo]
    examples: list[Example]
    is_classification: bool
    labels: list[str]
    categories: list[str]


def read_task(path: Path, max_examples: int | None = None) -> Task:
    """One task, from its file or folder.

    Args:
        max_examples: how many to keep, the first ones; None for all. All of them decide all the
            same whether it is a classification, and its labels: neither changes with this number.

    Raises:
        BadFile, BadRow: not UTF-8, not JSON, a field or file that is missing or of another shape,
            two examples with one id.
        BadTaskName: its name cannot name a task.
    """
    name = task_name(path)
    try:
        check_name(name)
    except ValueError as error:
        raise BadTaskName(path, str(error)) from None
    if path.is_dir():
        instruction, demos, categories, every = _read_folder(path)
    else:
        instruction, demos, categories, every = _read_file(path)
    examples: list[Example] = []
    outputs: set[str] = {demo.output.strip() for demo in demos}
    met = len(demos)
    for example in every:
        met += 1
        if len(outputs) <= _MOST_LABELS_IF_NAMED:  # beyond that no set is closed
            outputs.update(target.strip() for target in example.targets)
        if max_examples is None or len(examples) < max_examples:
            examples.append(example)
    closed = _is_closed(len(outputs), met, categories)
    return Task(
        name=name,
        instruction=instruction,
        demos=demos,
        examples=examples,
        is_classification=closed,
        labels=sorted(outputs) if closed else [],
        categories=categories,
    )


def _is_closed(outputs: int, met: int, categories: list[str]) -> bool:
    """Whether `outputs` different ones, over `met` examples and demos, are a closed set.

    >>> _is_closed(2, 10, ["Question Answering"]), _is_closed(3, 10, ["Question Answering"])
    (True, False)
    >>> _is_closed(3, 10, ["Text Categorization"])
    True
    """
    if outputs < 2:  # what is always the same tells nothing apart
        return False
    if outputs <= _MOST_LABELS and met >= _MEETINGS * outputs:
        return True
    named = any(_NAMED.search(category) for category in categories)
    return named and outputs <= _MOST_LABELS_IF_NAMED and met >= _MEETINGS_IF_NAMED * outputs


# --- what is in them

_Read = tuple[str, list[Demo], list[str], Iterator[Example]]


def _is_text_or_texts(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(text, str) for text in value):
        return value
    raise PydanticCustomError(
        "texts",
        "expected a text or a list of texts, found {found}",
        {"found": json.dumps(value, ensure_ascii=False)[:60]},
    )


Form = TypeVar("Form", bound=Record)
_Texts = Annotated[Any, AfterValidator(_is_text_or_texts)]
_Id = Annotated[str, Field(min_length=1)]


# No Record: a file of 105 MB with 350,000 of them takes 160 MB so, and 310 MB as records.
@dataclass(config=ConfigDict(strict=True), slots=True)
class _Instance:
    input: str
    output: _Texts
    id: _Id | None = None


class _File(Record):
    """What is read of a file in the official form."""

    definition: _Texts = Field(alias="Definition")
    demos: list[Demo] = Field(alias="Positive Examples", min_length=1)
    # Were every output of 100 MB wrong, the first is enough for a message.
    instances: Annotated[list[_Instance], FailFast()] = Field(alias="Instances", min_length=1)
    categories: _Texts = Field(alias="Categories", default="")


class _Row(Record):
    """A line of all_examples.jsonl."""

    id: _Id
    input: str
    target: _Texts


class _DemoRow(Record):
    """A line of demo.jsonl."""

    input: str
    target: str


class _Metadata(Record):
    """What is read of task_metadata.json."""

    category: _Texts = ""


def _read_file(path: Path) -> _Read:
    file = _parsed(path, _File)
    instruction = " ".join(_listed(file.definition)).strip()
    if not instruction:
        raise BadFile(path, "field Definition: blank", "It says what the task is.")

    def wrong(number: int, field: str, problem: str) -> SeedbedError:
        return BadFile(path, f"field Instances.{number}.{field}: {problem}", "Change it there.")

    raw = ((instance.id, instance.input, instance.output) for instance in file.instances)
    return instruction, file.demos, _categories(file.categories), _examples(raw, wrong)


def _read_folder(folder: Path) -> _Read:
    if missing := [name for name in NEEDED if not (folder / name).is_file()]:
        raise BadFile(
            folder,
            f"has no {' and no '.join(missing)}",
            f"A task's folder has {', '.join(NEEDED)}.",
        )
    instruction = read_text(folder / INSTRUCTION).strip()
    if not instruction:
        raise BadFile(folder / INSTRUCTION, "blank", "It says what the task is.")
    demos = [Demo(input=d.input, output=d.target) for d in read_rows(folder / DEMOS, _DemoRow)]
    category: _Texts = ""
    if (folder / METADATA).exists():
        category = _parsed(folder / METADATA, _Metadata).category
    path = folder / EXAMPLES

    def wrong(number: int, field: str, problem: str) -> SeedbedError:
        field = "target" if field == "output" else field
        return BadRow(path, number + 1, f"field {field}: {problem}", "Change it there.")

    raw = ((row.id, row.input, row.target) for row in read_rows(path, _Row))
    return instruction, demos, _categories(category), _examples(raw, wrong)


def _parsed(path: Path, form: type[Form]) -> Form:
    """A file that is one JSON object."""
    fields = ", ".join(field.alias or name for name, field in form.model_fields.items())
    shape = f"Of its fields these are read: {fields}."
    try:
        return read_json(path, form.model_validate_json, shape)
    except ValidationError as error:
        field, message = problem_of(error)
        where = f"field {field}: " if field else ""
        raise BadFile(path, where + message, shape) from None


def _examples(
    raw: Iterable[tuple[str | None, str, str | list[str]]],
    wrong: Callable[[int, str, str], SeedbedError],
) -> Iterator[Example]:
    """Checked against each other: one shape for all, and no id twice.

    An example without an id gets one from what it says, so that it keeps it when others come and
    go; exact repeats are counted.

    Args:
        wrong: the error for number, field and problem of an example; numbers count from 0.
    """
    number_of: dict[str, int] = {}
    repeats: dict[str, int] = {}
    shape: tuple[bool, bool] | None = None
    for number, (id_, text, output) in enumerate(raw):
        kind = (isinstance(output, str), id_ is None)
        shape = shape or kind
        if kind[0] != shape[0]:
            kinds = ("a text", "a list") if kind[0] else ("a list", "a text")
            raise wrong(number, "output", f"{kinds[0]}, but that of the first is {kinds[1]}")
        if kind[1] != shape[1]:
            kinds = ("none", "has one") if kind[1] else ("there is one", "has none")
            raise wrong(number, "id", f"{kinds[0]}, but the first {kinds[1]}")
        targets = _listed(output)
        if id_ is None:
            content = json.dumps([text, targets], ensure_ascii=False).encode()
            digest = hashlib.sha256(content).hexdigest()[:32]
            repeats[digest] = repeats.get(digest, 0) + 1
            id_ = digest if repeats[digest] == 1 else f"{digest}-{repeats[digest]}"
        elif number_of.setdefault(id_, number) != number:
            raise wrong(number, "id", f"{id_!r} is also that of example {number_of[id_] + 1}")
        yield Example.model_construct(id=id_, input=text, targets=targets)  # all checked above


def _listed(texts: str | list[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else texts


def _categories(texts: str | list[str]) -> list[str]:
    return [text for text in _listed(texts) if text.strip()]

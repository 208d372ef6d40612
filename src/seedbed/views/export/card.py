"""The data card: README.md in the hub's form, YAML on top and Markdown below.

Whatever a model or a user wrote stands in a fenced block, which it cannot end, or in the YAML,
which PyYAML writes: so text stays text.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from seedbed.llm.serve.embedded import PACKAGED
from seedbed.runs.forms import Export, Form
from seedbed.runs.outline import printable
from seedbed.runs.pipeline import leaves
from seedbed.views.export.card_columns import section
from seedbed.views.export.columns import Columns
from seedbed.views.export.parquet import Measured

NAME = "Instruction data grown with Seedbed"
# The hub's categories, by the number of rows that each begins with.
SIZES = {
    0: "n<1K",
    1_000: "1K<n<10K",
    10_000: "10K<n<100K",
    100_000: "100K<n<1M",
    1_000_000: "1M<n<10M",
    10_000_000: "10M<n<100M",
    100_000_000: "100M<n<1B",
}
# The column that names the answer a row was made of, where a form does not say otherwise.
KEY = "key"
# The field with the licence of a text that somebody else wrote.
LICENSE = "license"
GEMMA_TERMS = "https://ai.google.dev/gemma/terms"
GEMMA_USES = "https://ai.google.dev/gemma/prohibited_use_policy"


@dataclass(frozen=True)
class Table:
    """A split as it was written. `path` is that of its Parquet file, in the exported folder.

    export: of the method that made it.
    licenses: of its form, how many rows have a text of others under each; None: it is not known.
    columns: those that its rows have besides their own; None of a form that gets none.
    """

    export: Export
    form: Form
    split: str
    path: str
    measured: Measured
    licenses: Mapping[str | None, int] = field(default_factory=dict)
    columns: Columns | None = None


@dataclass(frozen=True)
class Made:
    """A stage that the data came through: what it does, and the parameters that it ran with.

    wrote: whether text of it is in the data, and not only what it found of others'.
    """

    stage: str
    description: str
    parameters: Mapping[str, Any]
    wrote: bool = True

    @property
    def model(self) -> str | None:
        """The model that wrote text of it; None if none did."""
        if not self.wrote:
            return None
        named = dict(leaves(self.parameters))
        return shown(named["llm.model"]) if "llm.model" in named else None


def card(tables: Sequence[Table], made: Sequence[Made], license: str | None, language: str) -> str:
    """The text of README.md.

    Args:
        license: an id of the hub's; None if none was named.
        language: its ISO 639 code.
    """
    data = front_matter(tables, made, license, language)
    # width: a long text must not be folded at a place that another PyYAML would not choose.
    top = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=10_000)
    methods = [
        f"[{export.name}]({export.source})" if export.source else export.name
        for export in _exports(tables)
    ]
    people = ", and some that people did" if any(table.licenses for table in tables) else ""
    parts = [
        f"---\n{top}---",
        f"# {NAME}",
        f"Text that a language model wrote{people}, made by {' and '.join(methods)} pipelines that "
        "can be run again.",
        *_contents(tables),
        *section([(table.export, table.form, table.columns) for table in tables if table.columns]),
        *_model(made, license, tables),
        *_licenses(tables),
        *_limits(made, tables),
        *_making(made),
    ]
    return "\n\n".join(parts) + "\n"


def front_matter(
    tables: Sequence[Table], made: Sequence[Made], license: str | None, language: str
) -> dict[str, Any]:
    """The card's YAML: https://huggingface.co/docs/hub/datasets-cards."""
    forms = list(dict.fromkeys(table.form.name for table in tables))
    exports = _exports(tables)
    # The forms of one stage have the same rows.
    counts = {(table.form.stage, table.split): table.measured.rows for table in tables}
    return {
        "pretty_name": NAME,
        "language": [language],
        **_license(made, license),
        "task_categories": list(dict.fromkeys(export.category for export in exports)),
        "size_categories": [size_category(sum(counts.values()))],
        "tags": [
            "synthetic",
            "instruction-tuning",
            *(export.name.lower() for export in exports),
        ],
        "configs": [
            {"config_name": name}
            | ({"default": True} if name == forms[0] else {})
            | {
                "data_files": [
                    {"split": table.split, "path": table.path}
                    for table in tables
                    if table.form.name == name
                ]
            }
            for name in forms
        ],
    }


def _exports(tables: Sequence[Table]) -> list[Export]:
    """Those of the methods that made the tables, each once."""
    return list({table.export.name: table.export for table in tables}.values())


def size_category(rows: int) -> str:
    """The hub's category for a number of rows.

    >>> size_category(999), size_category(1000), size_category(52_000)
    ('n<1K', '1K<n<10K', '10K<n<100K')
    """
    return SIZES[max(least for least in SIZES if least <= rows)]


def _license(made: Sequence[Made], license: str | None) -> dict[str, str]:
    """Never a guess: what was named, else the terms of the packaged model, else `unknown`."""
    if PACKAGED in _models(made) and license in (None, "other"):
        return {
            "license": "other",
            "license_name": "gemma-terms-of-use",
            "license_link": GEMMA_TERMS,
        }
    return {"license": license or "unknown"}


def _contents(tables: Sequence[Table]) -> Iterable[str]:
    yield "## What is in it"
    forms = {table.form.name: table.form for table in tables}
    yield "\n".join(f"- `{form.name}` has {form.about}." for form in forms.values())
    others = ", ".join(
        f"in `{form.name}`: `{form.key}`" for form in forms.values() if form.key != KEY
    )
    yield (
        "Each split is there as Parquet, which `load_dataset` reads, and as JSON Lines. "
        f"`{KEY}`{others and f' ({others})'} names the model's answer that "
        "a row was cut from, under which the pipeline's response store has the request and the "
        "raw answer; it is null for a hand-written row, and for one of an answer that the pipeline "
        "did not ask for. `sha256sum -c SHA256SUMS` checks the files."
    )
    yield "\n".join(
        [
            "| configuration | split | rows |",
            "|---|---|---:|",
            *(
                f"| {table.form.name} | {table.split} | {table.measured.rows:,} |"
                for table in tables
            ),
        ]
    )
    yield "Lengths in words, of the texts that are not empty:"
    yield "\n".join(
        [
            "| configuration | split | column | texts | mean | shortest | longest |",
            "|---|---|---|---:|---:|---:|---:|",
            *(
                f"| {table.form.name} | {table.split} | {column} | {words.texts:,} | "
                f"{words.mean:.1f} | {words.least:,} | {words.most:,} |"
                for table in tables
                for column, words in table.measured.words.items()
            ),
        ]
    )
    # The row with the most parts that are named and measured is the easiest to read.
    best = max(tables, key=lambda table: len(table.form.measured))
    yield f"The first row of `{best.form.name}`:"
    yield fenced(json.dumps(best.measured.first, ensure_ascii=False, indent=2), "json")


def _model(made: Sequence[Made], license: str | None, tables: Sequence[Table]) -> Iterable[str]:
    yield "## The model and its terms"
    models = _models(made)
    yield "The text was written by"
    yield fenced("\n".join(models))
    if PACKAGED in models:
        yield (
            f"`{PACKAGED}` is Google's Gemma 3 270M (the base model, Q4_K_M). Gemma is provided "
            f"under and subject to the [Gemma Terms of Use]({GEMMA_TERMS}), its [Prohibited Use "
            f"Policy]({GEMMA_USES}) included. A model that is trained on these rows to perform "
            "like Gemma can be a Model Derivative under them, and what derives from Gemma may fall "
            "under them: read them before you train on this data or hand it on."
        )
    if license is not None:
        yield (
            f"Who exported this data named the licence `{license}`. It takes nothing away from the "
            "terms of the model."
        )
    elif PACKAGED not in models:
        yield (
            "No licence was named when this data was exported, and none is guessed here: see the "
            "terms of the model."
        )
    yield from (export.terms for export in _exports(tables) if export.terms)


def _licenses(tables: Sequence[Table]) -> Iterable[str]:
    """Whose texts are in it: an own licence, whoever hands them on, goes with each."""
    # The forms of one stage have the same rows.
    of_stage = {table.form.stage: table for table in tables if table.licenses}
    names = dict.fromkeys(table.form.name for table in tables if table.licenses)
    if not of_stage:
        return
    counted = sum((Counter(table.licenses) for table in of_stage.values()), Counter[str | None]())
    rows = {(t.form.stage, t.split): t.measured.rows for t in tables if t.form.stage in of_stage}
    others = sum(rows.values()) - counted.total()
    yield "## Texts of others"
    named = ", ".join(f"`{name}`" for name in names)
    yield (
        f"In {named} there are texts that somebody else wrote, word for word. Each stays under the "
        f"licence of its document, which stands in `{LICENSE}`, as where it came from does in "
        "`url`. Rows by licence:"
    )
    lines = sorted(((n, name or "not known") for name, n in counted.items()), reverse=True)
    width = len(f"{lines[0][0]:,}")
    yield fenced("\n".join(f"{count:{width},}  {name}" for count, name in lines))
    if others:
        yield f"{others:,} more rows there have no such text, and so no licence of their own."


def _limits(made: Sequence[Made], tables: Sequence[Table]) -> Iterable[str]:
    yield "## Known limits"
    limits = [limit for export in _exports(tables) for limit in export.limits]
    if PACKAGED in _models(made):
        limits.append(
            "The model is small (270 million parameters) and was never tuned to follow "
            "instructions: expect more faults than the authors', and simple, repetitive tasks."
        )
    limits += [
        "It is not filtered for safety, bias, truth or personal data; what is filtered is form "
        "(empty, cut, repeated, too like another).",
        "Seed tasks and prompts are what the pipeline was given; the ones that come with it are "
        "in English, and so is what grows out of them.",
    ]
    yield "\n".join(f"- {limit}" for limit in limits)


def _making(made: Sequence[Made]) -> Iterable[str]:
    yield "## How it was made"
    yield "By these stages, in this order:"
    width = max(len(entry.stage) for entry in made)
    lines = (f"{entry.stage:{width}}  {entry.description}".rstrip() for entry in made)
    yield fenced("\n".join(lines))
    yield "The parameters that they ran with (`dvc.lock`):"
    yield fenced("\n".join(_parameters(made)), "yaml")


def _parameters(made: Sequence[Made]) -> Iterable[str]:
    """A line a parameter; of one that not all stages ran with alike, a line a value."""
    stages_of: dict[str, dict[str, list[str]]] = {}
    for entry in made:
        for name, value in leaves(entry.parameters):
            value = shown(value) if name in ("llm.model", "niv2.folder") else value
            line = json.dumps(value, ensure_ascii=False)
            stages_of.setdefault(name, {}).setdefault(line, []).append(entry.stage)
    for name, lines in stages_of.items():
        for line, stages in lines.items():
            yield f"{name}: {line}" + (f"  # {', '.join(stages)}" if len(lines) > 1 else "")


def _models(made: Sequence[Made]) -> list[str]:
    return list(dict.fromkeys(entry.model for entry in made if entry.model is not None))


def shown(name: str) -> str:
    """The name of a model or a folder without the path on the machine that it was made on.

    >>> shown("/home/me/models/my.gguf"), shown("org/model")
    ('my.gguf', 'org/model')
    """
    is_path = name.endswith(".gguf") or name.startswith(("/", "~"))
    return Path(name).name if is_path else name


def fenced(text: str, language: str = "") -> str:
    """A block in which the text stays what it is, whatever it is.

    >>> print(fenced("a\\n```\\n<b>"))
    ````
    a
    ```
    <b>
    ````
    """
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{language}", *map(printable, text.split("\n")), fence])

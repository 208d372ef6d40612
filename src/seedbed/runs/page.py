"""What a method adds to the report's page: `part()` of its report.py gives a `Part`.

Two files beside report.py get into the page if they are there: report.css, and report.js, which
tells where the method's rows came from (how, stands at the top of views/report/page.js).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple


class Row(NamedTuple):
    """A row of the page's table.

    line: in the file of its kind.
    instruction: a text; or what report.js finds the text by, so that it is in the page once.
    reason: why it was refused; None if it was not.
    key: of the answer that it was made of; None if it has none.
    origin: what report.js tells its way back by.
    score: how good it was found; None if it was not. The table can be sorted by it, kind by kind.
    rating: what people say of it, question by question, such as `yyn`, as `tasks.ratings` asks
        them; None of a row that they did not say everything of.
    """

    line: int
    instruction: Any
    input: str = ""
    output: str = ""
    reason: str | None = None
    key: str | None = None
    origin: Any = None
    score: float | None = None
    rating: str | None = None


@dataclass(frozen=True)
class Kind:
    """Rows that the page's table shows, counts and finds.

    name, plural: what the page calls one of them, and many.
    file: where they are, as the page and `seedbed trace` name it.
    """

    name: str
    plural: str
    file: Path
    rows: Sequence[Row]


@dataclass(frozen=True)
class Section:
    """A section of its own, below the rows.

    id: its anchor in the page. link: its name in the list of sections. title: its heading.
    template: a Jinja2 file beside report.py, in which every value is text unless it is markup.
    values: what the template is filled with.
    """

    id: str
    link: str
    title: str
    template: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """What a method adds; of a run that made nothing of it, as much as there is.

    made_of: the files and folders that it was read from, each an output of a stage. The page
        names the ones that are missing, and each file that is not what its stage wrote.
    counts: for the top of the page, each with what was counted.
    notices: what else is amiss; `what stands in backticks` is set as code.
    keys: for stages that ask, the keys of answers that tell which model was asked.
    origins: what report.js tells the way back of rows by, besides what is in the rows; JSON.
    """

    made_of: Sequence[Path]
    counts: Sequence[tuple[int, str]] = ()
    notices: Sequence[str] = ()
    kinds: Sequence[Kind] = ()
    sections: Sequence[Section] = ()
    keys: Mapping[str, Collection[str]] = field(default_factory=dict)
    origins: Any = None

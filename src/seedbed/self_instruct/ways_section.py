"""What the report's page has of the comparison with alpaca: what a row takes, by either way."""

from pydantic import ValidationError

from seedbed.core.files import problem_of, read_text
from seedbed.core.paths import METRICS
from seedbed.core.records import Record
from seedbed.errors import BadFile
from seedbed.runs.page import Section

WAYS = METRICS / "describe_ways.json"


class Way(Record):
    """A line of describe-ways' table. Of a way that finished no row nothing is a row's."""

    name: str
    rows: int
    requests: int
    prompt_tokens: int
    completion_tokens: int
    requests_a_row: float | None = None
    prompt_tokens_a_row: float | None = None
    completion_tokens_a_row: float | None = None


class Ways(Record):
    """What is read of metrics/describe_ways.json."""

    way: list[Way]


def ways() -> list[Section]:
    """The comparison with alpaca, if it was made. Raises BadFile: it is not as it was written."""
    if not WAYS.exists():
        return []
    try:
        found = Ways.model_validate_json(read_text(WAYS))
    except ValidationError as error:
        place, problem = problem_of(error)
        remedy = "`dvc repro pipelines/alpaca/dvc.yaml:describe-ways` writes it."
        raise BadFile(WAYS, f"{place}: {problem}", remedy) from None
    return [
        Section(
            id="ways",
            link="What a row takes",
            title="What a row takes, by either way",
            template="ways.html",
            values={"ways": found.way},
        )
    ]

"""What people say of rows, by the rows' ids."""

from collections.abc import Mapping
from pathlib import Path

from seedbed.core.files import read_rows
from seedbed.tasks.ratings import OF_A_ROW, About, Opinions, digest, everyone, id_of, settled
from seedbed.views.export.columns import Known
from seedbed.views.review.items import AlpacaRow


def rated(source: Path, people: Mapping[str, Opinions] | None = None) -> Known:
    """What most people say of the rows of a file, as they are now; see `settled`.

    people: `everyone()` if None.

    Raises:
        BadFile, BadRow: as `read_rows`.
    """
    people = everyone() if people is None else people
    file = source.as_posix()
    said: dict[str, dict[str, bool]] = {}
    if any(about.file == file for of_one in people.values() for about in of_one):
        for row in read_rows(source, AlpacaRow):
            text = digest(row.instruction, row.input, row.output)
            about = About(file, id_of(row.id, text), None, text)
            said[about.id] = settled(people, about)

    def look_up(id_: str, key: str | None, output: str) -> dict[str, bool | None]:
        of_row = said.get(id_, {})
        return {f"rated_{question}": of_row.get(question) for question in OF_A_ROW}

    return look_up

"""What stages said of rows that other stages made, by the rows' ids."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from seedbed.core.files import read_rows
from seedbed.errors import BadFile
from seedbed.runs.errors import NotOneRun
from seedbed.runs.forms import Scores
from seedbed.runs.pipeline import Pipeline


@dataclass
class Looked:
    """The scores of a stage, looked up by the rows that they are of.

    Only where key and output are still the same: what is in a folder has no digest of its own in
    dvc.lock, so that a row may be another than the one that was scored.
    """

    scores: Scores
    _of: dict[str, tuple[bytes, float | None]]
    _found: set[str] = field(default_factory=set)

    def __call__(self, id_: str, key: str | None, output: str) -> dict[str, float | None]:
        digest, value = self._of.get(id_, (None, None))
        if digest != _digest(key, output):
            return {}
        self._found.add(id_)
        return {self.scores.column: value}

    def left_out(self) -> Iterator[str]:
        """A line, if there are scores of rows that were not asked for."""
        if gone := len(self._of) - len(self._found):
            yield (
                f"left out: {gone:,} of {len(self._of):,} scores of {self.scores.path}, of rows "
                f"that are others by now ({_remedy(self.scores)})"
            )


def look_up(
    scores: Scores, pipeline: Pipeline, files: Collection[Path]
) -> tuple[Looked | None, list[str]]:
    """The scores of rows of certain files, and a line if they are left out.

    None where the stage did not run, or on other files, or on rows that were made anew since.

    Raises:
        BadFile, BadRow: as `read_rows`.
    """
    stage = scores.stage
    if not pipeline.recorded(stage):
        return None, []
    if not scores.path.exists():
        return None, [f"left out: {scores.column}: {scores.path} is not there ({_remedy(scores)})"]
    try:
        pipeline.check_written(stage, scores.path)
        of = {
            row.id: (_digest(row.row_key, row.output), scores.value(row))  # type: ignore[attr-defined]
            for row in read_rows(scores.path, scores.record)
            if Path(row.source) in files  # type: ignore[attr-defined]
        }
        if of:
            pipeline.made_of([stage])
    except (BadFile, NotOneRun) as error:
        why = str(error).split("\n", 1)[0]
        return None, [f"left out: {scores.column}: {why} ({_remedy(scores)})"]
    return (Looked(scores, of), []) if of else (None, [])


def _digest(key: str | None, output: str) -> bytes:
    text = f"{key or ''}\n{output.strip()}"
    return blake2b(text.encode(), digest_size=16).digest()


def _remedy(scores: Scores) -> str:
    return f"`dvc repro {scores.stage}` scores what there is"

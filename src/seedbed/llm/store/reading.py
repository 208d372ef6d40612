"""Looking into a store without writing anything, not even an empty one."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from seedbed.llm.store.database import answers_in, connected_to_read, failures_named
from seedbed.llm.store.rows import Kept


def read_only(path: Path, key: str) -> Kept | None:
    """What the store at `path` has under a key; nothing is written, not even an empty store.

    Raises:
        StoreFailed: it cannot be read, or the answer is not what was kept.
    """
    return next(_reading(path, [key]), None)


def requests_of(path: Path, keys: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Key, model and request of those answers that the store at `path` has; nothing is written.

    Raises:
        StoreFailed: it cannot be read, or an answer is not what was kept.
    """
    return ((kept.key, kept.model, kept.request) for kept in _reading(path, keys))


def tokens_of(path: Path, keys: Iterable[str]) -> Iterator[tuple[str, tuple[float, float]]]:
    """Key, and prompt and completion tokens, of those answers whose server counted them.

    Of answers that came in one request each has its share. Nothing is written.

    Raises:
        StoreFailed: it cannot be read, or an answer is not what was kept.
    """
    for kept in _reading(path, keys):
        if kept.prompt_tokens is not None and kept.completion_tokens is not None:
            yield kept.key, (kept.prompt_tokens, kept.completion_tokens)


def _reading(path: Path, keys: Iterable[str]) -> Iterator[Kept]:
    if not path.exists():
        return
    with failures_named(path), closing(connected_to_read(path)) as db:
        yield from answers_in(path, db, "key IN ({})", keys)

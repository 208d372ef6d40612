"""Memory and room on disk, asked for before a training begins."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from seedbed.training.base import Base
from seedbed.training.errors import NotEnoughMemory, NotEnoughRoom
from seedbed.training.plan import Step

# Bytes: what an adapter and a checkpoint take at most; what Python, torch and the logits of a chunk
# take in memory.
ROOM, AROUND = 200e6, 1.2e9
# What the layers keep of a token for the way back, in parts of the weights.
A_TOKEN = 1 / 800
# The weights in float32, in parts of a quantised file (of Q4_K_M), and what it takes in memory to
# make them: they are there three times, and more for a moment.
GROWTH, DEQUANTISING = 4.5, 4


def check_room(steps: Sequence[Step], base: Base) -> None:
    """Whether there is enough of both.

    Raises:
        NotEnoughMemory, NotEnoughRoom
    """
    from seedbed.llm.store.place import default_path

    made = base.made or base.gguf is None
    weights = (
        sum(path.stat().st_size for path in base.folder.glob("*.safetensors"))
        if made or base.gguf is None
        else GROWTH * base.gguf.stat().st_size
    )
    tokens = max(sum(len(row.ids) for row in step.rows) for step in steps)
    needed = AROUND + weights * (1 + tokens * A_TOKEN)
    _check_memory(needed if made else max(needed, DEQUANTISING * weights))
    _check_disk(Path(), ROOM)
    _check_disk(default_path().parent, ROOM)
    if not made:
        _check_disk(base.folder.parent, weights)


def _check_memory(needed: float) -> None:
    import psutil

    available = psutil.virtual_memory().available
    if available < needed:
        raise NotEnoughMemory(needed, available)


def _check_disk(folder: Path, needed: float) -> None:
    """folder: it may have to be made."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise NotEnoughRoom(folder, needed, free)

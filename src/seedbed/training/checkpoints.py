"""Where a training that is stopped goes on from.

DVC deletes a stage's outputs before it runs, so checkpoints lie beside the response store, each
training's in a file that is named after everything that it depends on: nothing stale is resumed.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seedbed.core.files import beside
from seedbed.errors import WriteFailed

# Steps. A checkpoint is 23 MB at rank 8 and takes a tenth of a second, a step some.
EVERY = 5


@dataclass(frozen=True)
class Checkpoint:
    """The state after a step.

    matrices: tensors by name; optimizer: its state, as torch has it.
    done: step, loss and learning rate of every step so far.
    """

    matrices: Mapping[str, Any]
    optimizer: dict[str, Any]
    done: list[tuple[int, float, float]]


class Checkpoints:
    """The last checkpoint of one training."""

    def __init__(self, identity: Mapping[str, Any]):
        """identity: all that the training's bytes depend on, as JSON can hold it.

        Raises:
            NoRepository: this is no clone of the project.
        """
        # Where it lies shapes nothing, so that it is no dependency of the stage.
        from seedbed.llm.store.place import default_path

        text = json.dumps(identity, sort_keys=True, ensure_ascii=False)
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        self.path = default_path().parent / "finetune" / f"{digest}.pt"

    def due(self, steps: int) -> bool:
        return steps % EVERY == 0

    def load(self) -> Checkpoint | None:
        """The last one; None if there is none, or it cannot be read: then it starts over."""
        import torch

        try:
            # Tensors, numbers and texts alone: nothing in the file is executed.
            state = torch.load(self.path, weights_only=True)
            return Checkpoint(state["matrices"], state["optimizer"], state["done"])
        except Exception:
            return None

    def save(self, checkpoint: Checkpoint) -> None:
        """Put it in the place of the one before. Raises WriteFailed."""
        import torch

        with beside([self.path]) as partials:
            try:
                with partials[self.path].open("wb") as file:
                    torch.save(vars(checkpoint), file)
                    file.flush()
                    os.fsync(file.fileno())
                partials[self.path].replace(self.path)
            except OSError as error:
                raise WriteFailed(self.path, error) from None

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

"""Adapters for the packaged model that nobody trained: matrices drawn at random."""

from pathlib import Path

import numpy as np

from seedbed.llm.serve.embedded import PACKAGED, model_file
from seedbed.training.adapter_file import PREFIX, to_gguf

# Of Gemma 3 270M: inputs and outputs of the layers that are touched.
LAYERS, SHAPES = 18, {"self_attn.q_proj": (640, 1024), "mlp.down_proj": (2048, 640)}


def matrices(seed: int, rank: int = 4, layers: int = LAYERS) -> dict[str, np.ndarray]:
    """Both matrices of every layer, under peft's names; no two seeds have the same."""
    random = np.random.default_rng(seed)
    drawn = {}
    for layer in range(layers):
        for name, (inputs, outputs) in SHAPES.items():
            place = f"{PREFIX}model.layers.{layer}.{name}"
            for letter, shape in (("A", (rank, inputs)), ("B", (outputs, rank))):
                drawn[f"{place}.lora_{letter}.weight"] = random.normal(0, 0.05, shape).astype("f4")
    return drawn


def adapter(path: Path, seed: int) -> Path:
    """A file that the packaged model takes, and that makes it say something else."""
    path.write_bytes(to_gguf(matrices(seed), 8.0, model_file(PACKAGED)[1]))
    return path

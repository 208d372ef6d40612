"""A trained adapter as files: for llama.cpp a GGUF, for others peft's folder.

llama.cpp's own converter (convert_lora_to_gguf.py) is a script of its source tree; what it writes
for an architecture whose rows are not turned round is this.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seedbed.training.base import ARCHITECTURE, Base
from seedbed.training.params import Finetune

# What peft puts before and after the name of the layer that a matrix stands beside.
PREFIX = "base_model.model."
SUFFIXES = {".lora_A.weight": ".lora_a", ".lora_B.weight": ".lora_b"}


def gguf_names(names: list[str]) -> dict[str, str]:
    """Each of peft's names as llama.cpp calls the same matrix.

    Raises:
        KeyError: it has no such layer.
    """
    import gguf

    layers = 1 + max(int(name.partition(".layers.")[2].partition(".")[0]) for name in names)
    known = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GEMMA3, layers)
    found = {}
    for name in names:
        suffix = next(suffix for suffix in SUFFIXES if name.endswith(suffix))
        layer = name.removeprefix(PREFIX).removesuffix(suffix)
        tensor = known.get_name(layer)
        if tensor is None:
            raise KeyError(name)
        found[name] = f"{tensor}.weight{SUFFIXES[suffix]}"
    return found


def to_gguf(matrices: Mapping[str, Any], alpha: float, base_sha256: str | None) -> bytes:
    """A GGUF file of an adapter.

    Args:
        matrices: float32 arrays under peft's names: A of rank × inputs, B of outputs × rank.
        alpha: of their product, alpha / rank is added to the layer.
        base_sha256: of the GGUF file that it was trained on, which the embedded server then asks
            for; None if it was none.
    """
    import gguf

    from seedbed.llm.serve.gguf_header import BASE_SHA256

    # The package writes to a path alone.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "adapter.gguf"
        writer = gguf.GGUFWriter(path, ARCHITECTURE)
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
        if base_sha256 is not None:
            writer.add_string(BASE_SHA256, base_sha256)
        for name, tensor in sorted(gguf_names(list(matrices)).items()):
            writer.add_tensor(tensor, matrices[name])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.read_bytes()


def to_peft(matrices: Mapping[str, Any], params: Finetune, base: Base) -> dict[str, bytes]:
    """The files of peft's folder: what `PeftModel.from_pretrained` reads, by name."""
    from safetensors.numpy import save

    config = {
        "base_model_name_or_path": base.name,
        "bias": "none",
        "inference_mode": True,
        "lora_alpha": params.alpha,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": params.rank,
        "target_modules": sorted(params.targets),
        "task_type": "CAUSAL_LM",
    }
    return {
        "adapter_config.json": (json.dumps(config, indent=2) + "\n").encode(),
        "adapter_model.safetensors": save(dict(matrices), {"format": "pt"}),
    }

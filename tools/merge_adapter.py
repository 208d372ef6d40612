"""Write a base model and an adapter as one GGUF file, for programs that take no adapter.

The layers that the adapter stands beside are dequantised, the product of its two matrices is
added, and they are written as F16; all else goes over byte for byte. The embedded server runs the
file as any other: `llm.model: merged.gguf`.

    PYTHONPATH=src python tools/merge_adapter.py merged.gguf

It needs the package `gguf`, which `make train` installs.
"""

import argparse
import sys
from pathlib import Path

import gguf
import numpy as np

from seedbed.core.files import beside
from seedbed.errors import SeedbedError
from seedbed.llm.serve.embedded import PACKAGED, adapter_file, model_file


def products(adapter: gguf.GGUFReader) -> dict[str, np.ndarray]:
    """What an adapter adds to each tensor, by the tensor's name."""
    matrices = {tensor.name: tensor.data.astype(np.float32) for tensor in adapter.tensors}
    alpha = adapter.get_field(gguf.Keys.Adapter.LORA_ALPHA).contents()
    added = {}
    for name, first in matrices.items():
        if name.endswith(".lora_a"):
            second = matrices[name.removesuffix("a") + "b"]
            added[name.removesuffix(".lora_a")] = alpha / len(first) * (second @ first)
    return added


def merge(base: Path, adapter: Path, merged: Path) -> int:
    """Write the merged file; gives how many tensors the adapter changed."""
    model = gguf.GGUFReader(base)
    added = products(gguf.GGUFReader(adapter))
    writer = gguf.GGUFWriter(merged, model.get_field("general.architecture").contents())
    for field in model.fields.values():
        # The header's own, and what the writer has put there.
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        kind, inner = field.types[0], field.types[-1]
        inner = inner if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=inner)
    for tensor in model.tensors:
        if tensor.name in added:
            whole = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            writer.add_tensor(tensor.name, (whole + added[tensor.name]).astype(np.float16))
        else:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return len(added)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("merged", type=Path, help="the GGUF file to write")
    parser.add_argument("--base", default=PACKAGED, help="the packaged model, or a GGUF file")
    parser.add_argument("--adapter", default="data/finetune/adapter.gguf", help="a GGUF file")
    told = parser.parse_args()
    try:
        base, sha256 = model_file(told.base)
        adapter = adapter_file(told.adapter, base, sha256)
    except SeedbedError as error:
        sys.exit(str(error))
    with beside([told.merged]) as partials:
        changed = merge(base, adapter.path, partials[told.merged])
        partials[told.merged].replace(told.merged)
    print(f"{told.merged}: {told.merged.stat().st_size / 1e6:.0f} MB, {changed} tensors changed")


if __name__ == "__main__":
    main()

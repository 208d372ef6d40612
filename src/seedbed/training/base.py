"""The model that is trained on: the packaged one, a GGUF file, or a folder in Hugging Face's form.

A GGUF file's weights are dequantised to float32 once, which takes a minute, and kept in the user's
cache beside the packaged model, under its digest and the version of what did it.
"""

import hashlib
import json
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

from seedbed.core.files import beside, exists
from seedbed.errors import WriteFailed
from seedbed.training.errors import BadBase, OtherArchitecture

# As GGUF calls it and as transformers does: a text-only Gemma 3. llama.cpp turns the rows of other
# architectures round (Llama's queries and keys), so an adapter for them would have to be too.
ARCHITECTURE, MODEL_TYPE = "gemma3", "gemma3_text"


@dataclass(frozen=True)
class Base:
    """A model to train on.

    name: as finetune.base has it.
    sha256: of the GGUF file, or of the names and contents of a folder's weights.
    gguf: None for a folder in Hugging Face's form.
    folder: with config.json and float32 weights; of a GGUF file it may have to be made: `weights`.
    end: the token that ends a text.
    """

    name: str
    sha256: str
    gguf: Path | None
    folder: Path
    end: int

    @property
    def made(self) -> bool:
        """Whether the folder is there, and whole."""
        return (self.folder / "config.json").is_file()


def find_base(name: str) -> Base:
    """The base that `finetune.base` names.

    Raises:
        BadBase, BadFile: there is none, or it cannot be read.
        OtherArchitecture
        WriteFailed: no room for the packaged model's file.
    """
    if exists(Path(name)) and Path(name).is_dir():
        return _folder(name)
    from seedbed.llm.errors import BadModel
    from seedbed.llm.serve.embedded import cache, model_file
    from seedbed.llm.serve.gguf_header import header

    wanted = ("general.architecture", "tokenizer.ggml.eos_token_id")
    try:
        path, sha256 = model_file(name)
        told = header(path, wanted)
    except BadModel as error:
        raise BadBase(name, error.problem, error.remedy) from None
    except ValueError as error:
        raise BadBase(name, str(error), "Convert it anew with llama.cpp's tools.") from None
    architecture, end = (told.get(key) for key in wanted)
    if architecture != ARCHITECTURE:
        raise OtherArchitecture(name, str(architecture), ARCHITECTURE)
    if not isinstance(end, int):
        raise BadBase(name, "no token ends a text", "Convert it anew with llama.cpp's tools.")
    by = f"transformers-{version('transformers')}"
    return Base(name, sha256, path, cache() / f"{path.stem}-{sha256[:16]}-float32-{by}", end)


def _folder(name: str) -> Base:
    folder = Path(name)
    need = "It takes config.json and *.safetensors, as `save_pretrained` writes them."
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if config["model_type"] != MODEL_TYPE:
            raise OtherArchitecture(name, str(config["model_type"]), ARCHITECTURE)
        end = config["eos_token_id"]
        end = end[0] if isinstance(end, list) else end
        weights = sorted(folder.glob("*.safetensors"))
        if not weights or not isinstance(end, int):
            raise BadBase(name, "no weights, or no token that ends a text", need)
        whole = hashlib.sha256()
        for path in (folder / "config.json", *weights):
            with path.open("rb") as file:
                whole.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BadBase(name, str(error) or "no config.json that can be read", need) from None
    return Base(name, whole.hexdigest(), None, folder, end)


def weights(base: Base, doing: Callable[[str], None]) -> Path:
    """The folder with the base's float32 weights, made if it is not there.

    doing: told what takes long.

    Raises:
        WriteFailed: no room, or no permission.
    """
    if base.made or base.gguf is None:
        return base.folder
    doing("dequantising the model, once")
    # Two processes may come here at once: the second finds the first one's folder in its place.
    try:
        with beside([base.folder]) as partials:
            partials[base.folder].mkdir()
            _dequantise(base.gguf, partials[base.folder])
            if not base.made:
                partials[base.folder].replace(base.folder)
    except OSError as error:
        raise WriteFailed(base.folder, error) from None
    return base.folder


def _dequantise(gguf: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    with redirect_stderr(StringIO()):  # a progress bar that cannot be switched off
        net = load(gguf.parent, gguf_file=gguf.name)
    # What is loaded so counts as quantised, and is not saved; another with the same weights is.
    config = net.config
    del config.quantization_config
    config._name_or_path = ""  # it would be written, with a path of this machine
    plain = AutoModelForCausalLM.from_config(config)
    plain.load_state_dict(net.state_dict())
    plain.save_pretrained(folder)


def load(folder: Path, **how: Any) -> Any:
    """The model in a folder, in float32."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, **how
    )

"""A model whose logit of " yes" is a score: an encoder-decoder, or a decoder."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedbed.ranker.errors import BadModelToTune, NotOneToken, NoTorch

YES = " yes"
# What is scored at once where nothing is trained.
TEXTS = 32


@dataclass(frozen=True)
class Yes:
    """A model with its tokenizer. token: that of " yes"."""

    net: Any
    tokenizer: Any
    token: int

    def scores(self, texts: Sequence[str]) -> Any:
        """The logit of " yes" after each question: a tensor of shape (len(texts),)."""
        import torch

        device = next(self.net.parameters()).device
        given = self.tokenizer(list(texts), padding=True, return_tensors="pt").to(device)
        given.pop("token_type_ids", None)
        if self.net.config.is_encoder_decoder:
            start = self.net.config.decoder_start_token_id
            first = torch.full((len(texts), 1), start, dtype=torch.long, device=device)
            return self.net(**given, decoder_input_ids=first).logits[:, 0, self.token]
        # Of all places and words one logit is wanted: the others would take gigabytes.
        last = given["attention_mask"].sum(dim=1) - 1
        states = self.net.base_model(**given).last_hidden_state
        row = self.net.get_output_embeddings().weight[self.token]
        return states[torch.arange(len(texts), device=device), last] @ row

    def score_all(self, texts: Sequence[str]) -> list[float]:
        """The same without training, some texts at a time."""
        import torch

        found: list[float] = []
        self.net.eval()
        with torch.no_grad():
            for start in range(0, len(texts), TEXTS):
                found += self.scores(texts[start : start + TEXTS]).float().tolist()
        return found

    def count(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each text."""
        return [len(self.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]


def load(base: str, threads: int, seed: int) -> Yes:
    """A model from a folder, or by name.

    Raises:
        NoTorch, BadModelToTune, NotOneToken
    """
    # What torch wants on a GPU to compute the same twice.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        import torch
        import transformers
    except ModuleNotFoundError as error:
        raise NoTorch(error.name) from None
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    # Nothing here reads memory that nothing was written to.
    torch.utils.deterministic.fill_uninitialized_memory = False
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    local = Path(base).is_dir()
    need = "It takes a folder as `save_pretrained` writes it, with a tokenizer, or a model's name."
    try:
        config = transformers.AutoConfig.from_pretrained(base, local_files_only=local)
        kind = (
            transformers.AutoModelForSeq2SeqLM
            if config.is_encoder_decoder
            else transformers.AutoModelForCausalLM
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(base, local_files_only=local)
        net = kind.from_pretrained(base, local_files_only=local, dtype=torch.float32)
    # Whatever else is in the folder, each library complains of it in its own way.
    except Exception as error:
        said = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise BadModelToTune(base, said, need) from None
    tokens = tokenizer(YES, add_special_tokens=False)["input_ids"]
    if len(tokens) != 1 or tokens[0] == tokenizer.unk_token_id:
        raise NotOneToken(base, tokenizer.convert_ids_to_tokens(tokens))
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return Yes(net.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer, tokens[0])

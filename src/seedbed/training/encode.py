"""Texts → tokens, and which of them the loss is on.

The tokens are those that the embedded server would make of the same texts, because it is asked:
a prompt as it is completed, a completion as plain text. The two are tokenized apart, as it is when
a model goes on from a prompt.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Literal
from urllib.parse import urlsplit

from seedbed.llm.params import Embedded
from seedbed.training.base import Base
from seedbed.training.sources import Example

Reason = Literal["empty", "duplicate", "too_long"]
REASONS: tuple[Reason, ...] = ("empty", "duplicate", "too_long")


@dataclass(frozen=True)
class Tokens:
    """How a base cuts texts.

    prompts: texts → tokens, with whatever begins a text.
    completions: texts → tokens; a special token's name in one is plain text.
    end: the token that ends a text.
    """

    prompts: Callable[[list[str]], list[list[int]]]
    completions: Callable[[list[str]], list[list[int]]]
    end: int


@dataclass(frozen=True)
class Encoded:
    """An example in tokens. learned: of `ids`, how many at the end the loss is on."""

    example: Example
    ids: list[int]
    learned: int

    @property
    def positions(self) -> range:
        """Where the model is at the token before one that is learned."""
        return range(len(self.ids) - self.learned - 1, len(self.ids) - 1)

    @property
    def targets(self) -> list[int]:
        """The tokens that are learned, the one that ends the text last."""
        return self.ids[len(self.ids) - self.learned :]


def encode(examples: Iterable[Example], tokens: Tokens) -> list[Encoded]:
    """The examples in tokens, in order."""
    examples = list(examples)
    prompts = tokens.prompts([example.prompt for example in examples])
    completions = tokens.completions([example.completion for example in examples])
    return [
        Encoded(example, [*prompt, *completion, tokens.end], len(completion) + 1)
        for example, prompt, completion in zip(examples, prompts, completions, strict=True)
    ]


def judge(row: Encoded, seen: set[str], max_tokens: int) -> Reason | None:
    """Why a row is left out; None if it is not. seen: ids of rows; its own is added."""
    if not row.example.completion.strip():
        return "empty"
    if row.example.id in seen:
        return "duplicate"
    seen.add(row.example.id)
    return "too_long" if len(row.ids) > max_tokens else None


@contextmanager
def tokens_of(base: Base) -> Iterator[Tokens]:
    """How a base cuts texts, as long as the context lasts.

    Raises:
        BadModel: llama.cpp cannot load the base.
    """
    if base.gguf is None:
        yield _of_folder(base)
        return
    from seedbed.llm.serve.embedded import Model, serve

    small = Embedded(context=256, slots=1, threads=1)
    with serve(Model(base.gguf, base.sha256, small)) as (address, key):
        connection = HTTPConnection(urlsplit(address).netloc)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

        def cut(texts: list[str], whole: bool) -> Iterator[list[int]]:
            for text in texts:
                body = {"content": text, "add_special": whole, "parse_special": whole}
                connection.request("POST", "/tokenize", json.dumps(body), headers)
                yield json.loads(connection.getresponse().read())["tokens"]

        yield Tokens(
            prompts=lambda texts: list(cut(texts, True)),
            completions=lambda texts: list(cut(texts, False)),
            end=base.end,
        )
        connection.close()


def _of_folder(base: Base) -> Tokens:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base.folder, local_files_only=True)
    begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]

    def cut(texts: list[str], plain: bool) -> list[list[int]]:
        how = {"add_special_tokens": False, "split_special_tokens": plain}
        return [tokenizer(text, **how)["input_ids"] for text in texts]

    return Tokens(
        prompts=lambda texts: [begin + ids for ids in cut(texts, False)],
        completions=lambda texts: cut(texts, True),
        end=base.end,
    )

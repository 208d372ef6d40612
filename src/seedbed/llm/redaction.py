"""Takes keys, logins and prompts out of what a server sent, before anybody sees or keeps it."""

import html
import itertools
import json
import os
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple
from urllib.parse import parse_qsl, quote_plus, unquote

from seedbed.llm.addresses import addresses
from seedbed.llm.store.rows import Kept

# What JSON, addresses and HTML write for a character, also if it was escaped several times over.
# Each way begins with a character of its own, so that a text without them is passed over quickly;
# of several backslashes the first alone is looked at, or a million would take for ever.
ESCAPE = re.compile(
    r"\\(?<!\\\\)\\*+(?:u00([0-9a-fA-F]{2})|([^\w\"\\]))"
    r"|%[0-9a-fA-F]{2}(?:%[0-9a-fA-F]{2})*+"
    r"|&#?\w{1,31};"
)
# So many of these may lie one above the other.
LAYERS = 4
# What providers want in the query of an address: an answer may well have the same words in it.
NO_SECRET = ("api-version", "version", "deployment", "model", "region")
JSON_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


class _Secret(NamedTuple):
    """What nobody may read; forms: what it looks like in a text without escapes."""

    plain: str
    forms: tuple[str, ...]


def _secrets(least: int) -> list[_Secret]:
    """Longest first: the key, and of each address the login and what its query has."""
    key, url = os.environ.get("OPENAI_API_KEY", ""), os.environ.get("OPENAI_BASE_URL", "")
    return [secret for secret in _secrets_of(key, url) if len(secret.plain) >= least]


@lru_cache(maxsize=8)
def _secrets_of(key: str, urls: str) -> list[_Secret]:
    secrets = {key, key.strip()}
    for url in addresses(urls):
        place, _, query = url.partition("#")[0].partition("?")
        login = place.partition("://")[2].partition("/")[0].rpartition("@")[0]
        secrets |= {login, login.partition(":")[2]}
        secrets |= {value for name, value in parse_qsl(query) if name not in NO_SECRET}
    secrets |= {unquote(secret) for secret in secrets}
    return [
        _Secret(secret, _forms_of(secret))
        for secret in sorted(secrets - {""}, key=lambda secret: (-len(secret), secret))
    ]


def _forms_of(secret: str) -> tuple[str, ...]:
    forms = [secret, json.dumps(secret)[1:-1], quote_plus(secret, errors="surrogateescape")]
    if len(secret) >= 8:  # of a shorter one hardly more than a syllable is left there
        forms += _in_base64(secret)
    return tuple(dict.fromkeys(forms))


def _in_base64(secret: str) -> Iterator[str]:
    """In either alphabet, and wherever it stands in what was encoded."""
    data = secret.encode(errors="surrogateescape")
    for before in range(3):
        code = b64encode(bytes(before) + data).decode()
        # Without the characters that hold bits of what stands around.
        code = code[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        yield code
        yield code.replace("+", "-").replace("/", "_")


def _without(secrets: Sequence[_Secret], text: str) -> str:
    """A text without the secrets. Its escapes are undone if one was hidden behind them."""
    layer = text
    for _ in range(LAYERS):
        clean = layer
        for secret in secrets:
            for form in secret.forms:
                clean = clean.replace(form, "[key]")
        if clean != layer:
            text = layer = clean
        undone = ESCAPE.sub(_undone, layer)
        if undone == layer:
            break
        layer = undone
    return text


def _undone(escape: re.Match[str]) -> str:
    code, character = escape.groups()
    if code or character:
        return chr(int(code, 16)) if code else str(character)
    return unquote(escape[0]) if escape[0].startswith("%") else html.unescape(escape[0])


def without_key(rows: Iterable[Kept]) -> list[Kept]:
    """Take the API key out of the rows' responses, in case a server sent it back.

    A key that is a word ("password", for a server that wants any) is not looked for: taking it
    out would change what models say. Nor is one that stands in the request: we sent it ourselves.
    """
    secrets = [secret for secret in _secrets(8) if not secret.plain.isalpha()]
    return [_without_secrets(row, secrets) for row in rows] if secrets else list(rows)


def _without_secrets(row: Kept, secrets: Sequence[_Secret]) -> Kept:
    secrets = [secret for secret in secrets if secret.plain not in row.request]
    if _without(secrets, row.response) == row.response:
        return row

    def clean(string: re.Match[str]) -> str:
        text = json.loads(string[0], strict=False)
        cleaned = _without(secrets, text)
        return string[0] if cleaned == text else json.dumps(cleaned)

    # String by string, so that what is left is still JSON.
    return row._replace(response=JSON_STRING.sub(clean, row.response))


def redact(text: str) -> str:
    """Take the API key, and whatever else looks like one, out of a text that a server sent."""
    text = _without(_secrets(4), text)
    text = re.sub(r"(?i)\bBearer\s+\S+", "Bearer [key]", text)
    return re.sub(r"\bsk-[\w*.-]+", "[key]", text)


def quoted(text: str, most: int) -> str:
    """The beginning of a text that a server sent, without the key, be it cut in two there."""
    seen = redact(text[: 100 * most])
    if len(text) > 100 * most:
        # What is left of a key that was cut is shorter than its longest spelling.
        longest = max((len(secret.plain) for secret in _secrets(4)), default=0)
        seen = seen[: -16 * longest or None]
    return seen[:most]


def without_prompt(text: str, prompts: Iterable[str]) -> str:
    """Take out of a text what it repeats of the prompts.

    >>> without_prompt("bad input: 'Sort the list of words.'", ["Sort the list of words.", "Hi"])
    'bad input: [prompt]'
    """
    repeated = [False] * len(text)
    for prompt in prompts:
        least = min(len(prompt), 16)
        if least < 8:
            continue
        forms = {" ".join(prompt.split()), repr(prompt), json.dumps(prompt)}
        forms.add(json.dumps(prompt, ensure_ascii=False))
        for i in range(len(text) - least + 1):
            if any(text[i : i + least] in form for form in forms):
                repeated[i : i + least] = [True] * least
    pieces = []
    for is_prompt, group in itertools.groupby(zip(repeated, text, strict=True), itemgetter(0)):
        pieces.append("[prompt]" if is_prompt else "".join(character for _, character in group))
    return "".join(pieces)

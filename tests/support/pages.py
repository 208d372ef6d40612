"""The data of a report's page, put together again as page.js does it."""

import gzip
import json
import re
from base64 import b85decode
from typing import Any

_DATA = re.compile(r'<script type="application/octet-stream" id="data">([^<]*)</script>')


def data_of(page: str) -> dict[str, Any]:
    """Kinds, origins, and rows: [place of the kind, then the fields of Row in runs/page.py]."""
    found = _DATA.search(page)
    assert found
    data = unpacked(found[1])
    return {**data, "rows": rows_of(data)}


def unpacked(packed: str) -> Any:
    filled, rest = int(packed[0]), packed[1:].replace(",", "<")
    data = b85decode(rest)
    planes = gzip.decompress(data[: len(data) - filled])
    half = len(planes) // 2
    units = bytearray(len(planes))
    units[::2], units[1::2] = planes[:half], planes[half:]
    return json.loads(units.decode("utf-16-le"))


def rows_of(data: dict[str, Any]) -> list[list[Any]]:
    columns = data["rows"]
    kinds = [place for place, kind in enumerate(data["kinds"]) for _ in range(kind["count"])]
    known = [
        key[1:] if key[0] == " " else bytes(ord(one) - 0x100 for one in key).hex()
        for key in columns["keys"]
    ]
    keys = [None if key is None else known[key] for key in _counted(columns["key"])]

    def plain(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        words = columns["words"]
        return re.sub("[\ue000-\uf8ff]", lambda one: words[ord(one[0]) - 0xE000], value)[1:]

    def texts(name: str) -> list[str]:
        own = columns[name]
        return [plain(own[value] if isinstance(value, int) else value) for value in own]

    return [
        list(row)
        for row in zip(
            kinds,
            _counted(columns["line"]),
            map(plain, _counted(columns["instruction"])),
            texts("input"),
            texts("output"),
            columns["reason"],
            keys,
            columns["origin"],
            columns["score"] or [None] * len(kinds),
            columns["rating"] or [None] * len(kinds),
            strict=True,
        )
    ]


def _counted(values: list[Any]) -> list[Any]:
    last, found = 0, []
    for value in values:
        if isinstance(value, int):
            last += value
        found.append(last if isinstance(value, int) else value)
    return found

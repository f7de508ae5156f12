"""A webhook's request, taken apart: what of it signatures and mappings may look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl, unquote

import msgspec

from ingest.sources.segment import BOM, whole_characters
from ingest.webhooks.expressions import Scope

BodyKind = Literal["json", "form"]

FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = 10_000
DEEPEST = 10
# Elements of lists in a payload, all together; each may cost some fifty microseconds to map. No order has so many.
MOST_ELEMENTS = 20_000


class Payload(NamedTuple):
    """A request. Header names are in lower case; of repeated headers and parameters the first counts.

    `urls` are the ways in which the sender may have written our address; `body` is None when it could not be read.
    """

    method: str
    urls: tuple[str, ...]
    headers: Mapping[str, str]
    query: Mapping[str, str]
    raw: bytes
    body: Any = None
    readable: bool = True

    def scope(self, source: str) -> Scope:
        """What expressions are asked of, under its names."""
        return {
            "item": self.body,
            "body": self.body,
            "header": dict(self.headers),
            "query": dict(self.query),
            "method": self.method,
            "source": source,
        }


def read(payload: Payload, kind: BodyKind | None) -> Payload:
    """The payload with its body decoded: of the kind that is known, else of the one that Content-Type names.

    A form where JSON is expected is decoded too, for handshakes, but counts as unreadable.
    """
    is_form = payload.headers.get("content-type", "").lower().startswith(FORM)
    if kind == "form" or (kind is None and is_form):
        return payload._replace(body=form(payload.raw), readable=True)
    body, readable = _json(payload.raw)
    return payload._replace(body=form(payload.raw) if is_form and not readable else body, readable=readable)


def _json(raw: bytes) -> tuple[Any, bool]:
    try:
        raw.decode()
        body = msgspec.json.decode(whole_characters(raw.removeprefix(BOM)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, False
    if raw.count(b",") > MOST_ELEMENTS and _elements_in(body) > MOST_ELEMENTS:
        return None, False
    return body, True


def _elements_in(value: Any) -> int:
    """How many elements the lists in a value have, all together."""
    count, level = 0, [value]
    while level := [inner for inner in level if isinstance(inner, list | dict)]:
        count += sum(len(inner) for inner in level if isinstance(inner, list))
        level = [each for inner in level for each in (inner.values() if isinstance(inner, dict) else inner)]
    return count


def parameters(text: bytes) -> dict[str, str]:
    """A query string → the first value of each parameter."""
    found: dict[str, str] = {}
    for name, value in _pairs(text):
        found.setdefault(name, value)
    return found


def form(raw: bytes) -> dict[str, Any]:
    """A form → an object; `data[merges][EMAIL]=…` nests. A name that contradicts an earlier one is left out."""
    fields: dict[str, Any] = {}
    for name, value in _pairs(raw):
        _put(fields, _steps(name), value)
    return fields


def signed_form(raw: bytes) -> str:
    """A form as Mandrill signs it: names and values in the order of the names, with nothing between."""
    return "".join(name + value for name, value in sorted(dict(_pairs(raw)).items()))


def addresses(*urls: str) -> tuple[str, ...]:
    """The ways in which a sender may have written our address: with the TLS that ended before us, and unescaped."""
    secure = [f"https://{url.partition('://')[2]}" for url in urls]
    return tuple(dict.fromkeys(form for url in (*urls, *secure) for form in (url, unquote(url))))


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(raw.decode(errors="replace"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        return []


def _steps(name: str) -> list[str]:
    head, bracket, rest = name.partition("[")
    if not bracket or not rest.endswith("]"):
        return [name]
    steps = rest[:-1].split("][")
    return [head, *steps] if len(steps) < DEEPEST else [name]


def _put(fields: dict[str, Any], steps: list[str], value: str) -> None:
    for step in steps[:-1]:
        inner = fields.setdefault(step or str(len(fields)), {})
        if not isinstance(inner, dict):
            return
        fields = inner
    fields.setdefault(steps[-1] or str(len(fields)), value)

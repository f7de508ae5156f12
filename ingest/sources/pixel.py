"""Image requests → events: everything stands in the query string, as in RudderStack's `/pixel/v1/{track,page}`.

For places where no script runs: e-mails, AMP, `<noscript>`.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import msgspec

# What `<img>` gets: one transparent point.
GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
CREDENTIALS = ("writeKey",)
MOST_PARAMETERS = 200


def event_of(query: bytes) -> bytes:
    """The event that a query string describes, as JSON: `event=Opened&properties.campaign=tet` nests at its dots.

    Of equal names the first counts; a name that contradicts an earlier one is left out.
    """
    event: dict[str, Any] = {"channel": "web"}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True)[:MOST_PARAMETERS]:
        if name not in CREDENTIALS:
            _put(event, name.split("."), value)
    return msgspec.json.encode(event)


def _put(event: dict[str, Any], path: list[str], value: str) -> None:
    for step in path[:-1]:
        inner = event.setdefault(step, {})
        if not isinstance(inner, dict):
            return
        event = inner
    event.setdefault(path[-1], value)

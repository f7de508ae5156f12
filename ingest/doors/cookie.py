"""The id of a browser, kept in a cookie: `GET` reads it or makes one, `POST` may bring the id that the page knows.

Answers `{"success": true, "anonymousId", "known"}`. The id that the cookie holds wins over the one that is brought,
because it has lived longer; with `renew` the one that is brought takes its place (somebody signed out).
"""

from __future__ import annotations

from typing import Any

import msgspec

from cdp.errors import InvalidError
from cdp.records import encode
from ingest.answers import EXPOSED, JSON, Answer, refused
from ingest.browser.id_cookie import believed, known_id, new_id, set_cookie
from ingest.doors.door import Hall, Request
from ingest.keys import WriteKeyError

PRIVATE = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-site"),
]


class CookieDoor:
    """Keeps the ids of browsers, for sources that want that."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall

    async def answer(self, request: Request) -> Answer:
        """The id, and the cookie with it. Raises `WriteKeyError`, `InvalidError`."""
        source = self._hall.sources.of(request.parameter("writeKey"))
        cookie = source.body.id_cookie
        if cookie is None:
            return refused(404, "no_id_cookie", f"The source {source.key!r} has no `id_cookie`.")
        brings = request.scope["method"] == "POST"
        _check_page(source.allowed_origins, request, named=brings)
        brought = _brought(await request.body(self._hall)) if brings else {}
        known = known_id(request.header(b"cookie"), source.key)
        own = believed(brought.get("anonymousId"))
        value = (own if brought.get("renew") is True else known or own) or new_id()
        return Answer(
            200,
            encode({"success": True, "anonymousId": value, "known": value == known}),
            [JSON, EXPOSED, *PRIVATE, (b"set-cookie", set_cookie(cookie, source.key, value).encode())],
        )


def _check_page(allowed: Any, request: Request, *, named: bool) -> None:
    """Only pages that the source names learn the id, or bring one: a page elsewhere could give its visitors its own."""
    origin = request.header(b"origin")
    if (origin or named) and (origin == "null" or origin not in allowed):
        raise WriteKeyError(
            f"The id is only told to pages that the source's `allowed_origins` name, and {origin[:200]!r} is none.",
            code="origin_not_allowed",
        )


def _brought(body: bytes) -> dict[str, Any]:
    try:
        decoded = msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidError(f"The body is not JSON: {error}.", code="invalid_json") from None
    if not isinstance(decoded, dict):
        raise InvalidError("The body must be an object.", code="invalid_json")
    return decoded

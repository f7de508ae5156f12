"""What the collector answers: JSON, and on every answer the headers that let a web page of any origin read it.

Segment's SDKs decide what to do next by these answers, so their shape is fixed: success is exactly 200 with a JSON
object; an error has `code`, `message` and `success: false`, because some SDKs repeat a batch whose answer lacks one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cdp.errors import CdpError, ForbiddenError, InvalidError, TransientError
from cdp.records import encode
from cdp.service import Send
from ingest.bodies import SlowError
from ingest.limits import RateLimitedError, Standing

Headers = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
# Without it a web page cannot read Retry-After and comes back too soon.
EXPOSED = (
    b"access-control-expose-headers",
    b"Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset",
)
# What SDKs send, besides what a preflight asks for: Segment, RudderStack, Jitsu, and tracing libraries in pages.
ALLOWED = (
    "authorization, content-type, content-encoding, x-retry-count, anonymousid, sentat, x-write-key, "
    "x-identity-proof, traceparent"
)
HEADER_NAMES = re.compile(rb"[A-Za-z0-9-]+( *, *[A-Za-z0-9-]+)*")
PREFLIGHT: Headers = [
    (b"access-control-allow-methods", b"GET, POST, OPTIONS, HEAD"),
    (b"access-control-max-age", b"7200"),
]
ANYBODY: Headers = [(b"access-control-allow-origin", b"*")]
LONGEST_REQUEST_HEADERS = 1_000
LONGEST_RETRY = 300


class Answer(NamedTuple):
    """An answer without its CORS headers."""

    status: int
    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = (JSON,)


def succeeded(trace_id: str, results: Sequence[dict[str, Any]], standing: Standing | None = None) -> Answer:
    """Everything is durable. `results` tells which events went to quarantine, and why; `standing` what is left."""
    headers = (JSON,) if standing is None else [JSON, EXPOSED, *_limits(standing)]
    if not results:
        return Answer(200, b'{"success":true,"trace_id":"%s"}' % trace_id.encode(), headers)
    return Answer(200, encode({"success": True, "trace_id": trace_id, "results": results}), headers)


def refused(status: int, code: str, message: str, *, path: str = "", more: Headers | None = None) -> Answer:
    """Nothing was stored."""
    body = {"success": False, "code": code, "message": message} | ({"path": path} if path else {})
    return Answer(status, encode(body), [JSON, EXPOSED, *(more or ())])


def failed(error: CdpError) -> Answer:
    """The answer to an error.

    400 is what no SDK repeats; 408, 429 and 503 are repeated by all. 401 is the unknown write key, 403 the wrong web
    page. 429 is one write key's limit, 503 the trouble of this service.
    """
    if isinstance(error, TransientError):
        seconds = min(max(1, math.ceil(error.retry_after)), LONGEST_RETRY)
        later = (b"retry-after", str(seconds).encode())
        if isinstance(error, RateLimitedError):
            standing = error.standing._replace(reset=seconds)
            return refused(429, error.code, error.message, more=[later, *_limits(standing)])
        return refused(503, error.code, error.message, more=[later])
    if isinstance(error, SlowError):
        return refused(408, error.code, error.message, more=[(b"connection", b"close")])
    if isinstance(error, ForbiddenError):
        return refused(403 if error.code == "origin_not_allowed" else 401, error.code, error.message)
    if isinstance(error, InvalidError):
        return refused(400, error.code, error.message, path=error.path)
    return refused(500, "internal", "Something unexpected happened: nothing was stored. Try again.")


def _limits(standing: Standing) -> Headers:
    """Segment's headers: analytics.js waits for the seconds in `X-RateLimit-Reset`."""
    return [(b"x-ratelimit-%s" % name.encode(), str(value).encode()) for name, value in standing._asdict().items()]


def preflight(headers: Mapping[bytes, bytes]) -> Answer:
    """A browser asks whether a page may send: it may, with whatever headers its SDK uses."""
    asked = headers.get(b"access-control-request-headers", b"")[:LONGEST_REQUEST_HEADERS]
    allowed = ALLOWED.encode()
    if HEADER_NAMES.fullmatch(asked):
        known = set(ALLOWED.split(", "))
        more = [name for name in (one.strip().lower() for one in asked.decode().split(",")) if name not in known]
        allowed = ", ".join([ALLOWED, *more]).encode()
    return Answer(204, b"", [*PREFLIGHT, (b"access-control-allow-headers", allowed)])


def cors(origin: bytes) -> Headers:
    """Any page may read the answer. With credentials too, because beacons carry cookies: no cookie is read here."""
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"vary", b"Origin"),
    ]


async def give(send: Send, answer: Answer, origin: bytes | None) -> None:
    """Send the answer."""
    length = (b"content-length", str(len(answer.body)).encode())
    headers = [*answer.headers, *(ANYBODY if origin is None else cors(origin))]
    if answer.status != 204:
        headers.append(length)
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})

"""Serves `cdp.js`."""

from __future__ import annotations

import gzip
import hashlib
from importlib.resources import files

from ingest.answers import Answer
from ingest.doors.door import Hall, Request

SCRIPT = files("ingest.browser").joinpath("cdp.js").read_bytes()
ZIPPED = gzip.compress(SCRIPT, mtime=0)
TAG = b'"%s"' % hashlib.sha256(SCRIPT).hexdigest()[:20].encode()
HEADERS = [
    (b"content-type", b"text/javascript; charset=utf-8"),
    (b"cache-control", b"public, max-age=3600, stale-while-revalidate=86400"),
    (b"etag", TAG),
    (b"vary", b"Accept-Encoding"),
    (b"cross-origin-resource-policy", b"cross-origin"),
]


class ScriptDoor:
    """Gives the script."""

    def __init__(self, hall: Hall) -> None:
        pass

    async def answer(self, request: Request) -> Answer:
        """The script, zipped for who can read that; nothing for who has it."""
        if TAG in request.headers.get(b"if-none-match", b""):
            return Answer(304, b"", HEADERS)
        if b"gzip" in request.headers.get(b"accept-encoding", b""):
            return Answer(200, ZIPPED, [*HEADERS, (b"content-encoding", b"gzip")])
        return Answer(200, SCRIPT, HEADERS)

"""Serves the script for web pages: the newest build at `/cdp.js`, each build for ever at `/cdp/<hash>.js`."""

from __future__ import annotations

from ingest.answers import Answer, Headers, refused
from ingest.browser.builds import BUILDS, CURRENT, Build
from ingest.doors.door import Hall, Request

NEWEST = b"public, max-age=3600, stale-while-revalidate=86400"
FOR_EVER = b"public, max-age=31536000, immutable"


class ScriptDoor:
    """Gives the script."""

    def __init__(self, hall: Hall) -> None:
        pass

    async def answer(self, request: Request) -> Answer:
        """The script, zipped for who can read that; nothing for who has it. 404 for a build that never was."""
        asked = request.route.argument
        build = BUILDS.get(asked) if asked else CURRENT
        if build is None:
            return refused(404, "no_such_build", "There is no such build: take the source's snippet anew.")
        headers = _headers(build, FOR_EVER if asked else NEWEST)
        if build.hash.encode() in request.headers.get(b"if-none-match", b""):
            return Answer(304, b"", headers)
        if b"gzip" in request.headers.get(b"accept-encoding", b""):
            return Answer(200, build.zipped, [*headers, (b"content-encoding", b"gzip")])
        return Answer(200, build.plain, headers)


def _headers(build: Build, caching: bytes) -> Headers:
    return [
        (b"content-type", b"text/javascript; charset=utf-8"),
        (b"cache-control", caching),
        (b"etag", b'"%s"' % build.hash.encode()),
        (b"vary", b"Accept-Encoding"),
        (b"cross-origin-resource-policy", b"cross-origin"),
        (b"x-content-type-options", b"nosniff"),
    ]

"""The tracking API: Segment's HTTP API and its neighbours, one event or a batch in JSON."""

from __future__ import annotations

from cdp.errors import InvalidError
from ingest.answers import Answer, succeeded
from ingest.bodies import read
from ingest.doors.door import Hall, Request, admitted
from ingest.identities import HEADER, presented
from ingest.keys import WriteKeyError
from ingest.paths import Route
from ingest.source import Source
from ingest.sources.segment import Opened, Refusal


class TrackingDoor:
    """Takes events. The hot path of the product."""

    def __init__(self, hall: Hall) -> None:
        self._deadlines, self._most_bytes = hall.deadlines, hall.most_bytes
        self._sources = hall.sources
        self._intake = hall.intake
        self._clock = hall.platform.clock

    async def answer(self, request: Request) -> Answer:
        """Take one request's events.

        1. who sends: a bad key in the header is refused before the body is read
        2. read and unzip the body, within limits
        3. open it: the key may stand inside
        4. hand it to the intake, and wait until it is durable
        """
        write_key = self._sources.basic(request.headers.get(b"authorization", b""))
        source = self._sources.of(write_key) if write_key else None
        body = await read(request.receive, request.headers, self._deadlines, limit=self._most_bytes)
        opened = self._opened(request.route, body)
        source = admitted(self._source(source, opened, request), request)
        if source.body.identity.mode != "off":
            opened = presented(opened, request.header(HEADER))
        receipt = request.receipt(source, self._clock.now())
        taken = await self._intake.take(source, opened, receipt)
        return succeeded(receipt.trace_id, taken.results, taken.standing)

    def _opened(self, route: Route, body: bytes) -> Opened:
        kind, reader = route.kind, self._intake.reader
        opened = reader.open_batch(body) if kind is None else reader.open_single(body, kind)
        if isinstance(opened, Refusal):
            raise InvalidError(opened.message, path=opened.path, code=opened.code)
        return opened

    def _source(self, source: Source | None, opened: Opened, request: Request) -> Source:
        """Who sends, by the first write key in the order of trust: Basic, body, query, X-Write-Key, Bearer."""
        inner = opened.write_key
        if source is None:
            given = inner or request.parameter("writeKey") or request.header(b"x-write-key") or _bearer(request)
            if not given:
                raise WriteKeyError("No write key: send it as Basic authorization or `writeKey`.", code="no_write_key")
            return self._sources.of(given.partition(":")[0])  # Jitsu's SDKs put a secret behind it
        if inner and (not self._sources.knows(inner) or self._sources.of(inner).key != source.key):
            raise WriteKeyError("The header and the body name write keys of two sources.", code="write_key_mismatch")
        return source


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get(b"authorization", b"").partition(b" ")
    return token.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""

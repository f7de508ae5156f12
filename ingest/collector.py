"""The collector: takes events over HTTP, and answers 200 once the log has them durably.

    request ─► route ─► write key ─► body ─► slices ─► judged events ─┬─► events.raw ─────────┐
                                                                      └─► events.quarantined ─┴─► 200

It is an ASGI app of its own, in front of FastAPI, because FastAPI alone costs several times its work. One append takes
the accepted events and those kept aside, so both are durable or the sender is told to come again.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import time
from collections.abc import Mapping
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, unquote

import structlog

from cdp.errors import CdpError, InvalidError, TransientError
from cdp.http import trace_of
from cdp.records import encode
from cdp.service import Health, Platform, Receive, Scope, Send
from cdp.streams.base import Draft
from cdp.topics import EVENTS_QUARANTINED, EVENTS_RAW
from ingest import bodies, sdk_settings
from ingest.answers import JSON, Answer, failed, give, preflight, refused, succeeded
from ingest.bodies import GoneError
from ingest.envelopes import Partitions, Receipt, quarantine_drafts, quarantined, raw_drafts, results
from ingest.keys import Source, Sources, WriteKeyError
from ingest.metrics import FIGURES
from ingest.paths import Route, is_ours, route_of
from ingest.sources import pixel
from ingest.sources.segment import Limits, Opened, Refusal, SegmentReader

log = structlog.get_logger(__name__)

# Seconds after which those who are sent away may come back, and that stopping waits for requests under way.
RETRY_AFTER = 1.0
FINISH = 10.0
GONE = 499

SCRIPT = files("ingest.browser").joinpath("cdp.js").read_bytes()
SCRIPT_ZIPPED = gzip.compress(SCRIPT, mtime=0)
SCRIPT_TAG = b'"%s"' % hashlib.sha256(SCRIPT).hexdigest()[:20].encode()


class Collector:
    """The gateway."""

    name = "collector"

    def __init__(self, platform: Platform) -> None:
        self._settings = platform.settings
        self._limits = platform.settings.collector
        self._clock = platform.clock
        self._log = platform.log
        self._sources = Sources(platform.registry, platform.clock)
        self._reader = SegmentReader(Limits.of(self._limits))
        self._partitions = Partitions(platform.log.partitions(EVENTS_RAW), platform.log.partitions(EVENTS_QUARANTINED))
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False
        self._trouble = ""

    def claims(self, path: str) -> bool:
        """Whether the path is one of the collector's."""
        return is_ours(path)

    async def start(self) -> None:
        """Take requests."""
        self._stopping = False
        FIGURES.in_flight = lambda: self._in_flight

    async def stop(self) -> None:
        """Send new requests away, and wait for those under way."""
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), FINISH)

    def health(self) -> Health:
        """Red from the moment the log refused an append until it takes one again."""
        return Health(not self._trouble, self._trouble, {"in_flight": self._in_flight})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = dict(scope["headers"])
        route = route_of(scope["path"])
        name = route.name if route else "none"
        try:
            answer = await self._answered(route, scope, headers, receive)
        except GoneError:
            FIGURES.requests[name, GONE] += 1
            return
        FIGURES.requests[name, answer.status] += 1
        await give(send, answer, headers.get(b"origin"))

    async def _answered(
        self, route: Route | None, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive
    ) -> Answer:
        if route is None:
            return refused(404, "not_found", f"Nothing is at {scope['path'][:200]}.")
        method = scope["method"]
        if method == "OPTIONS":
            return preflight(headers)
        if method != route.method and not (method == "HEAD" and route.method == "GET"):
            allow = [(b"allow", b"POST, OPTIONS" if route.method == "POST" else b"GET, HEAD, OPTIONS")]
            return refused(405, "method_not_allowed", f"Use {route.method} here.", more=allow)
        try:
            if route.work in ("events", "pixel"):
                answer = await self._take(route, scope, headers, receive)
            else:
                answer = self._told(route, scope, headers)
        except GoneError:
            raise
        except CdpError as error:
            FIGURES.refused[error.code] += 1
            answer = failed(error)
        except Exception as error:
            log.exception("collector.failed", route=route.name)
            answer = failed(CdpError(str(error)))
        return answer._replace(body=pixel.GIF, headers=(GIF,)) if route.work == "pixel" else answer

    # --- events ---------------------------------------------------------------------------------------

    async def _take(self, route: Route, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> Answer:
        """Take one request's events.

        1. who sends: a bad key in the header is refused before the body is read
        2. read and unzip the body, within limits
        3. open it: the key may stand inside
        4. judge each event alone
        5. append all of them at once, and wait until they are durable
        """
        self._admit()
        try:
            write_key = self._sources.basic(headers.get(b"authorization", b""))
            source = self._sources.of(write_key) if write_key else None
            opened = self._opened(route, await self._body(route, scope, headers, receive))
            source = self._source(source, opened, scope, headers)
            reading = self._reader.read(opened)
            client = scope.get("client")
            address = client[0] if client else None
            receipt = Receipt(source.key, trace_of(scope["headers"]), self._clock.now(), address)
            drafts = list(raw_drafts(reading.accepted, opened, receipt, self._partitions))
            aside = quarantined(reading.faults, opened, receipt) if reading.faults else []
            if aside:
                keys = [fault.key for fault in reading.faults]
                drafts += quarantine_drafts(aside, keys, self._partitions.quarantined)
            if drafts:
                await self._append(drafts)
            FIGURES.events[source.key, "accepted"] += len(reading.accepted)
            FIGURES.events[source.key, "quarantined"] += len(aside)
            return succeeded(receipt.trace_id, results(aside, reading.faults) if aside else [])
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    def _admit(self) -> None:
        if self._stopping or self._in_flight >= self._limits.max_in_flight:
            reason = "The collector is stopping." if self._stopping else "Too many requests at once."
            raise TransientError(reason, retry_after=RETRY_AFTER, code="overloaded")
        self._in_flight += 1
        self._idle.clear()

    async def _body(self, route: Route, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        if route.work == "pixel":
            return pixel.event_of(scope["query_string"])
        limits = self._limits
        return await bodies.read(receive, headers, limit=limits.max_body_bytes, seconds=limits.body_timeout_seconds)

    def _opened(self, route: Route, body: bytes) -> Opened:
        kind = route.kind
        opened = self._reader.open_batch(body) if kind is None else self._reader.open_single(body, kind)
        if isinstance(opened, Refusal):
            raise InvalidError(opened.message, path=opened.path, code=opened.code)
        return opened

    def _source(self, source: Source | None, opened: Opened, scope: Scope, headers: Mapping[bytes, bytes]) -> Source:
        """Who sends, by the first write key in the order of trust: Basic, body, query, X-Write-Key, Bearer."""
        inner = opened.write_key
        if source is None:
            given = inner or _query_key(scope) or headers.get(b"x-write-key", b"").decode("latin-1") or _bearer(headers)
            if not given:
                raise WriteKeyError("No write key: send it as Basic authorization or `writeKey`.", code="no_write_key")
            source = self._sources.of(given)
        elif inner and (not self._sources.knows(inner) or self._sources.of(inner).key != source.key):
            raise WriteKeyError("The header and the body name write keys of two sources.", code="write_key_mismatch")
        origin = headers.get(b"origin")
        if source.allowed_origins and origin and origin.decode("latin-1") not in source.allowed_origins:
            raise WriteKeyError("This source takes no events from this web page.", code="origin_not_allowed")
        return source

    async def _append(self, drafts: list[Draft]) -> None:
        start = time.perf_counter()
        try:
            await self._log.append(drafts)
        except CdpError as error:
            self._trouble = error.message
            log.warning("collector.not_durable", reason=error.message)
            raise
        self._trouble = ""
        FIGURES.appended(time.perf_counter() - start)

    # --- what SDKs fetch ------------------------------------------------------------------------------

    def _told(self, route: Route, scope: Scope, headers: Mapping[bytes, bytes]) -> Answer:
        if route.work == "series":  # counts of Segment's SDK about itself: taken so that it is content, kept nowhere
            return Answer(200, b'{"success":true}')
        if route.work == "script":
            return _script(headers)
        if route.work == "settings":
            return self._sdk_settings(route.write_key, scope, headers)
        return self._source_config(scope, headers)

    def _sdk_settings(self, write_key: str, scope: Scope, headers: Mapping[bytes, bytes]) -> Answer:
        write_key = unquote(write_key)
        try:
            self._sources.of(write_key)
        except WriteKeyError as error:
            return refused(404, error.code, error.message)
        address = self._settings.http.public_url or _address(scope, headers)
        return Answer(200, encode(sdk_settings.settings(write_key, address)), [JSON, BRIEFLY])

    def _source_config(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Answer:
        write_key = self._sources.basic(headers.get(b"authorization", b"")) or _query_key(scope)
        source = self._sources.of(write_key)
        return Answer(200, encode(sdk_settings.source_config(source, write_key, self._clock.now())), [JSON, BRIEFLY])


GIF = (b"content-type", b"image/gif")
BRIEFLY = (b"cache-control", b"public, max-age=60")
SCRIPT_HEADERS = [
    (b"content-type", b"text/javascript; charset=utf-8"),
    (b"cache-control", b"public, max-age=3600, stale-while-revalidate=86400"),
    (b"etag", SCRIPT_TAG),
    (b"vary", b"Accept-Encoding"),
    (b"cross-origin-resource-policy", b"cross-origin"),
]


def _script(headers: Mapping[bytes, bytes]) -> Answer:
    if SCRIPT_TAG in headers.get(b"if-none-match", b""):
        return Answer(304, b"", SCRIPT_HEADERS)
    if b"gzip" in headers.get(b"accept-encoding", b""):
        return Answer(200, SCRIPT_ZIPPED, [*SCRIPT_HEADERS, (b"content-encoding", b"gzip")])
    return Answer(200, SCRIPT, SCRIPT_HEADERS)


def _query_key(scope: Scope) -> str:
    query: bytes = scope["query_string"]
    if b"writeKey=" not in query:
        return ""
    return parse_qs(query.decode("latin-1")).get("writeKey", [""])[0]


def _bearer(headers: Mapping[bytes, bytes]) -> str:
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    return token.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""


def _address(scope: Scope, headers: Mapping[bytes, bytes]) -> str:
    host = headers.get(b"host", b"").decode("latin-1")
    if not host:
        server: Any = scope.get("server") or ("127.0.0.1", 8000)
        host = f"{server[0]}:{server[1]}"
    return f"{scope.get('scheme', 'http')}://{host}"

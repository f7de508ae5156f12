"""What every door is, and what it is given: a request, and the hall behind all doors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qs

from msgspec import Struct

from cdp.http import trace_of
from cdp.records import new_trace_id
from cdp.service import Platform, Receive, Scope
from ingest import bodies
from ingest.answers import Answer
from ingest.envelopes import Receipt
from ingest.intake import Intake
from ingest.keys import Sources, WriteKeyError
from ingest.paths import Route
from ingest.source import Source


class Hall(NamedTuple):
    """What all doors lead to: the opened parts, the sources by write key, and the intake."""

    platform: Platform
    sources: Sources
    intake: Intake
    deadlines: bodies.Deadlines
    most_bytes: int


class Request(Struct, frozen=True, gc=False):
    """A request at a door. Header names are in lower case."""

    route: Route
    scope: Scope
    headers: Mapping[bytes, bytes]
    receive: Receive

    @property
    def trace_id(self) -> str:
        """The sender's trace, or a fresh one."""
        given = self.headers.get(b"traceparent")
        return new_trace_id() if given is None else trace_of([(b"traceparent", given)])

    @property
    def address(self) -> str | None:
        """The sender's address, a trusted proxy's word for it included."""
        client = self.scope.get("client")
        return client[0] if client else None

    @property
    def url(self) -> str:
        """This service's address, as the sender reached it: scheme and host."""
        host = self.headers.get(b"host", b"").decode("latin-1")
        if not host:
            server: Any = self.scope.get("server") or ("127.0.0.1", 8000)
            host = f"{server[0]}:{server[1]}"
        return f"{self.scope.get('scheme', 'http')}://{host}"

    def header(self, name: bytes) -> str:
        """A header's value; empty without it."""
        return self.headers.get(name, b"").decode("latin-1")

    def parameter(self, name: str) -> str:
        """The first value of a query parameter; empty without it."""
        query: bytes = self.scope["query_string"]
        if name.encode() not in query:
            return ""
        return parse_qs(query.decode("latin-1")).get(name, [""])[0]

    def receipt(self, source: Source, now: int) -> Receipt:
        """What is noted of the request. `now` in milliseconds."""
        return Receipt(source.key, self.trace_id, now, self.address)

    async def body(self, hall: Hall) -> bytes:
        """The body, within the limits. Raises `InvalidError`, `SlowError`, `GoneError`."""
        return await bodies.read(self.receive, self.headers, hall.deadlines, limit=hall.most_bytes)


class Door(Protocol):
    """Answers the requests of some routes."""

    async def answer(self, request: Request) -> Answer:
        """The answer. A `CdpError` that is raised becomes the answer that `answers.failed` gives it."""
        ...


def admitted(source: Source, request: Request) -> Source:
    """The source, if it takes events from the web page that sends. Raises `WriteKeyError`."""
    if source.allowed_origins and (origin := request.header(b"origin")) and origin not in source.allowed_origins:
        raise WriteKeyError(
            f"The source {source.key!r} takes no events from pages at {origin[:200]}: "
            "its `allowed_origins` name others.",
            code="origin_not_allowed",
        )
    return source

"""The contract between the ground and its wings: what a wing offers, and what it is given.

A wing's `service.py` holds one `WING`, found through the entry points `cdp.wings`. It names the wing's roles
(long-running workers and gateways, each can run alone) and its router. A gateway is an ASGI app that answers its own
paths before FastAPI is asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Literal, NamedTuple, Protocol

from fastapi import APIRouter
from redis.asyncio import Redis
from typer import Typer

from cdp.clock import Clock
from cdp.registry import Registry
from cdp.settings import Settings
from cdp.streams.base import Log
from cdp.topics import Topic
from cdp.warehouse.base import Warehouse

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Health(NamedTuple):
    """How a role is. `detail` says in words what is wrong and what to do; numbers go in `figures`."""

    ok: bool
    detail: str = ""
    figures: Mapping[str, float] = {}


class Role(Protocol):
    """A long-running worker of a wing."""

    name: str

    async def start(self) -> None:
        """Begin to work; returns once it is ready."""
        ...

    async def stop(self) -> None:
        """Finish what is under way, commit it, and end."""
        ...

    def health(self) -> Health:
        """How it is now; cheap, never waits."""
        ...


class Gateway(Protocol):
    """An ASGI app that answers its own paths without FastAPI's per-request cost."""

    name: str

    def claims(self, path: str, query: bytes = b"") -> bool:
        """Whether this gateway answers the path, asked with this query."""
        ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        ...

    async def start(self) -> None:
        """Make ready to answer."""
        ...

    async def stop(self) -> None:
        """Refuse new requests, finish those under way."""
        ...

    def health(self) -> Health:
        """How it is now; cheap, never waits."""
        ...


@dataclass(frozen=True)
class Platform:
    """The opened parts that a role works with. A part that the role did not ask for is missing and raises when used."""

    settings: Settings
    clock: Clock
    log: Log
    registry: Registry
    _state: Redis | None = None
    _warehouse: Warehouse | None = None
    roles: list[Role | Gateway] = field(default_factory=list)
    enrichers: list[Enricher] = field(default_factory=list)
    _lent_state: Redis | None = None

    @property
    def parts(self) -> frozenset[str]:
        """Which parts beside the log are open."""
        held = {"state": self._state, "warehouse": self._warehouse}
        return frozenset(name for name, part in held.items() if part is not None)

    @property
    def state(self) -> Redis:
        """The Valkey or Redis client (bytes in, bytes out)."""
        assert self._state is not None, "this role did not ask for the state"
        return self._state

    @property
    def lent_state(self) -> Redis | None:
        """The state for what can do without: None where this process has none, and it may be away at any moment."""
        return self._lent_state if self._state is None else self._state

    @property
    def warehouse(self) -> Warehouse:
        """The warehouse."""
        assert self._warehouse is not None, "this role did not ask for the warehouse"
        return self._warehouse


class Enricher(Protocol):
    """Adds to events, on their way into the warehouse, what can be told from them. Pure: replays give the same."""

    name: str

    def enrich(self, source: str, kind: str, context: bytes, properties: bytes) -> tuple[bytes, bytes]:
        """The context and the properties (JSON objects) of an event of a source and a type → both, enriched.

        It changes no identity: whose the event is has been decided. An exception leaves the event as it was.
        """
        ...


class Offer(NamedTuple):
    """How to build a role or a gateway, which parts beside the log it needs, and which topics its consumer group reads.

    The group is called like the role. `reads` lets any process tell how far the role is behind. What a role `borrows`
    it can do without: `Platform.lent_state` is there if the process has a state anyway, or the state is a server.
    A role `beside` another is no process of its own: it runs wherever that one does.
    """

    build: Callable[[Platform], Role | Gateway]
    needs: frozenset[str] = frozenset()
    reads: tuple[Topic, ...] = ()
    borrows: frozenset[Literal["state"]] = frozenset()
    beside: str = ""


class Wing(NamedTuple):
    """What a wing offers: roles by the name that `cdp run` takes, the routes it adds to the API, and an enricher.

    Its `commands` join the group of `cdp` that is called like the wing: those that need no running service.
    """

    name: str
    roles: Mapping[str, Offer] = {}
    router: APIRouter | None = None
    enricher: Callable[[Platform], Enricher] | None = None
    commands: Typer | None = None


def wing(name: str) -> Wing | None:
    """The installed wing of that name, without loading the others."""
    return next((point.load() for point in entry_points(group="cdp.wings", name=name)), None)


def wings() -> list[Wing]:
    """Every installed wing, in the order in which an event meets them."""
    order = ["ingest", "identity", "segments", "activation"]
    found = [point.load() for point in entry_points(group="cdp.wings")]
    return sorted(found, key=lambda wing: order.index(wing.name) if wing.name in order else 99)

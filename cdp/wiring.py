"""Opens the parts, builds the roles, starts and stops them: what stands between the command line and the product.

    folder, lock ─► state ─► warehouse ─► log ─► registry ─► roles        (and back again to stop)

Roles come from the wings; `loader` and `api` are the ground's own. Which parts are opened follows from what the chosen
roles need. With an embedded state or warehouse one process owns the data folder: the lock says so, and it dies with the
process however that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple, Protocol, TypeGuard, TypeVar

import structlog
from fastapi import APIRouter, FastAPI
from redis.asyncio import Redis

from cdp import bootstrap, credentials
from cdp.api import GROUND, create_app
from cdp.clock import Clock, SystemClock
from cdp.credentials import Credentials
from cdp.errors import ConflictError, MisconfiguredError, TransientError
from cdp.http import Front, HttpServer
from cdp.registry import Registry
from cdp.service import Gateway, Offer, Platform, Role, Wing, wings
from cdp.settings import Settings
from cdp.state import State
from cdp.status import Readers
from cdp.streams import open_log
from cdp.streams.base import Log
from cdp.warehouse.base import Warehouse
from cdp.warehouse.loader import LOADER

log = structlog.get_logger(__name__)

T = TypeVar("T")
Say = Callable[[str], None]

SYSTEM_CLOCK = SystemClock()
API = "api"
API_NEEDS = frozenset({"state", "warehouse"})
# The order in which an event meets the roles; they start in the opposite one.
WALK = ("collector", "resolver", "loader", "segmenter", "dispatcher")

# Seconds that a server which is not up yet (Kafka, Redis, ClickHouse) is waited for at start.
PATIENCE = 60.0
# Seconds for a part that did not open to let go.
CLOSING = 2.0


class LockedError(ConflictError):
    """Another process works in this data folder."""

    code = "locked"


class Closable(Protocol):
    """A part that has been opened."""

    async def close(self) -> None:
        """Let go."""
        ...


def offers(found: Iterable[Wing]) -> dict[str, Offer]:
    """Every role beside `api`, by name, in the order of the walk."""
    known = {name: offer for wing in found for name, offer in wing.roles.items()} | {"loader": LOADER}
    return dict(sorted(known.items(), key=lambda item: WALK.index(item[0]) if item[0] in WALK else len(WALK)))


def role_names() -> list[str]:
    """What `cdp run` takes."""
    return [*(name for name, offer in offers(wings()).items() if not offer.beside), API]


def accompanied(names: Sequence[str], known: Mapping[str, Offer]) -> list[str]:
    """These roles, and those that run beside them."""
    return [*names, *(name for name, offer in known.items() if offer.beside in names and name not in names)]


def needs(names: Sequence[str], known: Mapping[str, Offer]) -> frozenset[str]:
    """The parts, beside the log, that these roles work with. Raises `MisconfiguredError` for an unknown role."""
    wanted = API_NEEDS if API in names else frozenset[str]()
    for name in names:
        if name not in known and name != API:
            raise MisconfiguredError(f"There is no role {name!r}; choose among {', '.join([*known, API])}.")
        wanted |= known[name].needs if name in known else frozenset()
    return wanted


def borrows_state(names: Sequence[str], known: Mapping[str, Offer], settings: Settings) -> bool:
    """Whether a role here is to be lent a state that none needs. One of our own is not started for that."""
    borrowed = any("state" in known[name].borrows for name in names if name in known)
    return borrowed and "state" not in needs(names, known) and not settings.state.url.startswith("embedded:")


def needs_lock(settings: Settings, wanted: frozenset[str]) -> bool:
    """Whether one process must own the data folder."""
    state = "state" in wanted and settings.state.url.startswith("embedded:")
    return state or ("warehouse" in wanted and settings.warehouse.dsn.startswith("chdb:"))


def prepare_folder(folder: Path) -> None:
    """Make the data folder, for its owner alone. Raises `MisconfiguredError` when that cannot be."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise MisconfiguredError(f"CDP_DATA_DIR {folder} cannot be made: {error.strerror}.") from error
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise MisconfiguredError(f"CDP_DATA_DIR {folder} cannot be written to by this user.")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Own the folder. Raises `LockedError` when another process does."""
    with (folder / "lock").open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise LockedError(
                f"Another cdp (process {file.read().strip() or 'unknown'}) works in {folder} already. "
                "Stop it first, or choose another folder with CDP_DATA_DIR."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@asynccontextmanager
async def opened(
    settings: Settings,
    wanted: frozenset[str],
    *,
    lends_state: bool = False,
    clock: Clock = SYSTEM_CLOCK,
    say: Say = print,
    patience: float = PATIENCE,
) -> AsyncIterator[Platform]:
    """The parts, open for as long as the block runs; closed in the order registry, log, warehouse, state.

    A server that is not up yet is waited for up to `patience` seconds, and `say` is told so in a line. A state that
    is only lent (`lends_state`) is not waited for: it is connected when somebody asks it, again and again.
    Raises `LockedError`, `MisconfiguredError`, or `TransientError` when the patience is over.
    """
    prepare_folder(settings.data_dir)
    async with AsyncExitStack() as parts:
        if needs_lock(settings, wanted):
            parts.enter_context(locked(settings.data_dir))

        async def arrive(name: str, part: Callable[[], tuple[Closable, Awaitable[T]]]) -> T:
            opening, answer = await patiently(name, part, say=say, patience=patience)
            parts.push_async_callback(opening.close)
            return answer

        state = await arrive("state", lambda: _state(settings)) if "state" in wanted else None
        lent = State(settings).connect() if lends_state else None
        if lent is not None:
            parts.push_async_callback(lent.aclose)
        warehouse = await arrive("warehouse", lambda: _warehouse(settings)) if "warehouse" in wanted else None
        stream = await arrive("log", lambda: _log(settings, clock))
        registry = await arrive("registry", lambda: _registry(stream, clock))
        yield Platform(settings, clock, stream, registry, state, warehouse, _lent_state=lent)


async def patiently(
    name: str, part: Callable[[], tuple[Closable, Awaitable[T]]], *, say: Say, patience: float
) -> tuple[Closable, T]:
    """Open a part, again and again while it is away; what failed to open is closed before the next try."""
    deadline = asyncio.get_running_loop().time() + patience
    while True:
        opening, answer = part()
        try:
            return opening, await answer
        except BaseException as error:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CLOSING):
                    await opening.close()
            if not isinstance(error, TransientError):
                raise
            if asyncio.get_running_loop().time() + error.retry_after > deadline:
                raise
            say(f"Waiting for the {name}: {error.message}")
            await asyncio.sleep(error.retry_after)


def _state(settings: Settings) -> tuple[Closable, Awaitable[Redis]]:
    state = State(settings)
    return state, state.open()


def _warehouse(settings: Settings) -> tuple[Closable, Awaitable[Warehouse]]:
    warehouse = Warehouse(settings)
    return warehouse, _then(warehouse.open(), warehouse)


def _log(settings: Settings, clock: Clock) -> tuple[Closable, Awaitable[Log]]:
    stream = open_log(settings, clock)
    return stream, _then(stream.start(), stream)


def _registry(stream: Log, clock: Clock) -> tuple[Closable, Awaitable[Registry]]:
    registry = Registry(stream, clock)
    return registry, _then(registry.start(), registry)


async def _then(opening: Awaitable[None], part: T) -> T:
    await opening
    return part


def is_gateway(role: Role | Gateway) -> TypeGuard[Gateway]:
    """Whether the role answers requests."""
    return hasattr(role, "claims")


class Crew:
    """The roles of one process. They are built into `platform.roles`, in the order of the walk."""

    def __init__(self, platform: Platform, names: Sequence[str], known: Mapping[str, Offer]) -> None:
        self._platform = platform
        for name, offer in known.items():
            if name in names:
                platform.roles.append(offer.build(platform))

    @property
    def gateways(self) -> list[Gateway]:
        """The roles that answer requests."""
        return [role for role in self._platform.roles if is_gateway(role)]

    async def start(self) -> None:
        """Start them, the last of the walk first, so that what one sends finds the next one ready."""
        for role in reversed(self._platform.roles):
            await role.start()
            log.info("role.started", role=role.name)

    async def stop(self) -> None:
        """Refuse what is new, then let each role finish its turn; what waits on the log is there at the next start."""
        await asyncio.gather(*(_stop(gateway) for gateway in self.gateways))
        await asyncio.gather(*(_stop(role) for role in self._platform.roles if not is_gateway(role)))


async def _stop(role: Role | Gateway) -> None:
    """Stop it; one that fails to stop keeps no other from it."""
    try:
        await role.stop()
        log.info("role.stopped", role=role.name)
    except Exception:
        log.exception("role.stop_failed", role=role.name)


@asynccontextmanager
async def running(settings: Settings, names: Sequence[str], *, say: Say = print) -> AsyncIterator[Service]:
    """These roles, at work for as long as the block runs; then they stop in order: requests, roles, parts.

    `say` is told in a line what is waited for. Raises `MisconfiguredError`, `LockedError` or `TransientError` when it
    cannot start.
    """
    found = wings()
    known = offers(found)
    names = accompanied(names, known)
    lends_state = borrows_state(names, known, settings)
    opening = opened(settings, needs(names, known), lends_state=lends_state, say=say)
    async with opening as platform, AsyncExitStack() as stack:
        platform.enrichers.extend(wing.enricher(platform) for wing in found if wing.enricher is not None)
        crew = Crew(platform, names, known)
        server = _server(settings, served=API in names or bool(crew.gateways))
        if server is not None:
            stack.callback(server.release)
        begin = await _credentials(crew, platform, names, url=server.url if server else "")
        app = create_app(platform, *_shown(names, found, known))
        stack.push_async_callback(crew.stop)
        await crew.start()
        if server is not None:
            await server.start(Front(app, crew.gateways))
            stack.push_async_callback(server.stop)
            stack.push_async_callback(app.state.tail.close)
        log.info("service.ready", roles=",".join(names), url=begin.url)
        yield Service(platform, app, begin)


class Service(NamedTuple):
    """What runs. `credentials` are what somebody needs to begin; `url` in them is empty where no HTTP is served."""

    platform: Platform
    app: FastAPI
    credentials: Credentials


def _server(settings: Settings, *, served: bool) -> HttpServer | None:
    if served:
        return HttpServer(settings.http)
    if settings.telemetry.port is not None:
        return HttpServer(settings.http, port=settings.telemetry.port)
    return None


def _shown(names: Sequence[str], found: Sequence[Wing], known: Mapping[str, Offer]) -> tuple[Readers, list[APIRouter]]:
    """What the HTTP application tells about, and its routes: all with the role `api`, else this process alone."""
    readers = {name: offer.reads for name, offer in known.items() if API in names or name in names}
    routers = [wing.router for wing in found if wing.router is not None]
    return readers, [*routers, *GROUND] if API in names else []


async def _credentials(crew: Crew, platform: Platform, names: Sequence[str], *, url: str) -> Credentials:
    """A gateway makes sure of what the settings give; what they do not give is made by the API alone."""
    settings = platform.settings
    if API not in names:
        if crew.gateways:
            await bootstrap.given(platform.registry, settings.bootstrap, platform.clock)
        return Credentials(url=url)
    kept = credentials.read(settings.data_dir)
    made = await bootstrap.ensure(platform.registry, settings.bootstrap, platform.clock, kept)
    made.url = url
    credentials.write(settings.data_dir, made)
    return made

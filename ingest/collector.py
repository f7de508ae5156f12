"""The collector: takes events over HTTP, and answers 200 once the log has them durably.

    request ─► route ─► door ─► intake ─► log ─► 200

It is an ASGI app of its own, in front of FastAPI, because FastAPI alone costs several times its work.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from cdp.errors import CdpError, TransientError
from cdp.service import Health, Platform, Receive, Scope, Send
from cdp.vault import open_vault
from ingest.answers import Answer, failed, give, preflight, refused
from ingest.bodies import Deadlines, GoneError
from ingest.doors.click import ClickDoor
from ingest.doors.cookie import CookieDoor
from ingest.doors.door import Door, Hall, Request
from ingest.doors.pixel import PixelDoor
from ingest.doors.script import ScriptDoor
from ingest.doors.sdk_settings import SeriesDoor, SettingsDoor, SourceConfigDoor
from ingest.doors.tracking import TrackingDoor
from ingest.doors.webhook import WebhookDoor
from ingest.intake import Intake
from ingest.keys import Sources
from ingest.limits import Rates, default_limit
from ingest.metrics import FIGURES
from ingest.paths import Work, is_file, is_ours, route_of

log = structlog.get_logger(__name__)

# Seconds after which those who are sent away may come back, and that stopping waits for requests under way.
RETRY_AFTER = 1.0
FINISH = 10.0
GONE = 499
# What a page needs before it can send, answered from memory: without it, an SDK that meets an overload never starts.
ALWAYS: frozenset[Work] = frozenset({"settings", "source_config", "script"})

DOORS: dict[Work, Callable[[Hall], Door]] = {
    "events": TrackingDoor,
    "pixel": PixelDoor,
    "click": ClickDoor,
    "series": SeriesDoor,
    "settings": SettingsDoor,
    "source_config": SourceConfigDoor,
    "script": ScriptDoor,
    "cookie": CookieDoor,
    "webhook": WebhookDoor,
}


class Collector:
    """The gateway."""

    name = "collector"

    def __init__(self, platform: Platform) -> None:
        self._most = platform.settings.collector.max_in_flight
        self._rates = Rates(platform.lent_state, platform.clock, platform.settings.state.prefix)
        self._intake = Intake(platform, rates=self._rates)
        limit = default_limit(platform.settings.collector)
        sources = Sources(platform.registry, platform.clock, lambda: open_vault(platform.settings), limit=limit)
        deadlines = Deadlines(platform.settings.collector.body_timeout_seconds)
        hall = Hall(platform, sources, self._intake, deadlines, platform.settings.collector.max_body_bytes)
        self._doors = {work: door(hall) for work, door in DOORS.items()}
        self._in_flight = 0
        self._idle: asyncio.Event | None = None  # made when somebody waits for it
        self._stopping = False

    def claims(self, path: str, query: bytes = b"") -> bool:
        """Whether the path is one of the collector's."""
        return is_ours(path) and not is_file(path, query)

    async def start(self) -> None:
        """Take requests."""
        self._stopping = False
        FIGURES.in_flight = lambda: self._in_flight

    async def stop(self) -> None:
        """Send new requests away, and wait for those under way."""
        self._stopping = True
        if self._in_flight:
            self._idle = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FINISH):
                    await self._idle.wait()
        await self._rates.stop()

    def health(self) -> Health:
        """Red from the moment the log refused an append until it takes one again."""
        trouble = self._intake.trouble
        return Health(not trouble, trouble, {"in_flight": self._in_flight})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = dict(scope["headers"])
        route = route_of(scope["path"])
        if route is None:
            answer, name = refused(404, "not_found", f"Nothing is at {scope['path'][:200]}."), "none"
        else:
            name = route.name
            request = Request(route, scope, headers, receive)
            try:
                answer = self._refusal(request, scope["method"]) or await self._answered(request)
            except GoneError:
                FIGURES.requests[name, GONE] += 1
                return
        FIGURES.requests[name, answer.status] += 1
        await give(send, answer, headers.get(b"origin"))

    def _refusal(self, request: Request, method: str) -> Answer | None:
        """The answer to what no door needs to see; None for a request to be let in."""
        route = request.route
        if method not in route.methods:
            if method == "OPTIONS":
                return preflight(request.headers)
            allow = ", ".join([*route.methods, "OPTIONS"]).encode()
            return refused(405, "method_not_allowed", f"Use {route.methods[0]} here.", more=[(b"allow", allow)])
        if self._stopping or (self._in_flight >= self._most and route.work not in ALWAYS):
            if isinstance(door := self._doors[route.work], ClickDoor):  # a person waits, and has somewhere to go
                return door.turned_away(request)
            reason = "The collector is stopping." if self._stopping else "Too many requests at once."
            return failed(TransientError(reason, retry_after=RETRY_AFTER, code="overloaded"))
        return None

    async def _answered(self, request: Request) -> Answer:
        self._in_flight += 1
        try:
            return await self._doors[request.route.work].answer(request)
        except GoneError:
            raise
        except CdpError as error:
            FIGURES.refused[error.code] += 1
            return failed(error)
        except Exception as error:
            log.exception("collector.failed", route=request.route.name)
            return failed(CdpError(str(error)))
        finally:
            self._in_flight -= 1
            if self._idle is not None and not self._in_flight:
                self._idle.set()

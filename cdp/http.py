"""One HTTP front: a path that a gateway claims goes straight to it, everything else to FastAPI.

FastAPI costs several times as much per request as the collector's own work (docs/reference/benchmarks.md), so the hot
paths never meet it.

    socket ─► uvicorn ─► Front ─┬─► gateway (collector)
                                └─► Traced ─► Limited ─► FastAPI
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import structlog
import uvicorn
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from cdp.errors import MisconfiguredError
from cdp.records import encode, new_trace_id
from cdp.service import Gateway, Receive, Scope, Send
from cdp.settings import HttpSettings

log = structlog.get_logger(__name__)

# Seconds that requests under way have when the service stops.
GRACE = 8
TRACEPARENT = re.compile(rb"^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
NO_TRACE = b"0" * 32
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what to call ourselves, not where to listen


class Front:
    """Gives each request to the gateway that claims its path, else to the app."""

    def __init__(self, app: ASGIApp, gateways: Sequence[Gateway] = ()) -> None:
        self._app = app
        self._gateways = list(gateways)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            path = scope["path"]
            for gateway in self._gateways:
                if gateway.claims(path, scope.get("query_string", b"")):
                    await gateway(scope, receive, send)
                    return
        await self._app(scope, receive, send)


class Traced:
    """Gives each request its trace id, answers with it, and turns what nobody expected into a 500 that names it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace_id = trace_of(scope["headers"])
        scope.setdefault("state", {})["trace_id"] = trace_id
        started = False

        async def named(message: Any) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", trace_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, named)
        except Exception:
            log.exception("http.failed", method=scope["method"], path=scope["path"], trace_id=trace_id)
            if started:
                raise
            for message in _failure(trace_id):
                await named(message)


# In a request's state: how many bytes its body may have. A route that streams what it takes may raise it.
MOST_BYTES = "most_bytes"


class Limited:
    """Refuses bodies above a size while they arrive: FastAPI reads them before it looks at the token."""

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        arrived = 0
        state = scope.setdefault("state", {})
        state[MOST_BYTES] = self._most

        async def counted() -> Any:
            nonlocal arrived
            message = await receive()
            arrived += len(message.get("body", b""))
            if arrived > state[MOST_BYTES]:
                raise HTTPException(413, f"The body may have {state[MOST_BYTES]} bytes.")
            return message

        await self._app(scope, counted, send)


def trace_of(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """The trace id that a `traceparent` header brings (W3C Trace Context), else a fresh one."""
    for name, value in headers:
        if name == b"traceparent" and (found := TRACEPARENT.match(value)) and found[1] != NO_TRACE:
            return found[1].decode()
    return new_trace_id()


def _failure(trace_id: str) -> Iterator[dict[str, Any]]:
    message = f"Something unexpected happened; the service's log tells more under trace id {trace_id}."
    body = encode({"error": {"code": "internal", "message": message, "trace_id": trace_id}})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    yield {"type": "http.response.start", "status": 500, "headers": headers}
    yield {"type": "http.response.body", "body": body}


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signal handlers: the process stops its parts in an order of its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Listens, and serves an app with uvicorn in this event loop."""

    def __init__(self, settings: HttpSettings, *, port: int | None = None) -> None:
        """Takes the address, so that a port in use is told before anything slow. Raises `MisconfiguredError`."""
        self._settings = settings
        self._socket = bound(settings.host, settings.port if port is None else port)
        self._server: _Uvicorn | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port it really has."""
        return int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        """An address by which this machine reaches it."""
        host = ANY_ADDRESS.get(self._settings.host, self._settings.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    async def start(self, app: ASGIApp) -> None:
        """Begin to answer."""
        proxies = list(self._settings.trusted_proxies)
        config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(proxies),
            forwarded_allow_ips=proxies,
            timeout_graceful_shutdown=GRACE,
        )
        self._server = _Uvicorn(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="http")
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise MisconfiguredError(f"The HTTP server on {self.url} ended before it began.")
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Take no more connections, finish the requests under way, and end."""
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task

    def release(self) -> None:
        """Give the address back."""
        self._socket.close()


def bound(host: str, port: int) -> socket.socket:
    """A socket that holds the address but does not listen yet. Raises `MisconfiguredError` when it is taken."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        taken = socket.socket(family, kind, protocol)
    except OSError as error:
        raise MisconfiguredError(f"CDP_HTTP__HOST {host!r} is no address of this machine: {error.strerror}.") from error
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
        taken.setblocking(False)
    except OSError as error:
        taken.close()
        raise MisconfiguredError(
            f"Port {port} on {host} cannot be used: {error.strerror}. Choose another with CDP_HTTP__PORT (0 picks one)."
        ) from error
    return taken

"""HTTP with a guard: no private address, no redirect, no proxy, bounded in time and size.

The guard sits where connections are made: it resolves the name, judges the addresses, and connects to one it has
judged, while TLS still checks the certificate against the name. One transport serves one destination, so a dead one
fills no pool but its own.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import httpcore
import httpx
from pydantic import SecretStr

from activation.addresses import Resolver, resolve, system_resolver
from activation.requests import HttpRequest, Reply
from cdp import __version__
from cdp.clock import Clock
from cdp.errors import MisconfiguredError, PermanentError, TransientError
from cdp.settings import ActivationSettings

# Of a longer answer only this much is read.
LARGEST_REPLY = 1_000_000
CONNECTIONS = 32
HEADERS = {"user-agent": f"streamcdp/{__version__}", "accept-encoding": "identity"}


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to judged addresses only."""

    def __init__(self, settings: ActivationSettings, resolver: Resolver) -> None:
        self._settings = settings
        self._resolver = resolver
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first judged address that answers. Raises as `resolve` does, or httpcore errors."""
        free = self._settings.allow_private_addresses
        if not free and port not in self._settings.ports:
            raise MisconfiguredError(f"port {port} is not among CDP_ACTIVATION__PORTS", code="address_refused")
        failure: Exception = httpcore.ConnectError("no address")
        for address in await resolve(host, port, resolver=self._resolver, allow_private=free):
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(self, *arguments: Any, **named: Any) -> httpcore.AsyncNetworkStream:
        """Never: a destination is not on this machine."""
        raise MisconfiguredError("a unix socket is no destination", code="address_refused")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


class GuardedConnections(httpx.AsyncBaseTransport):
    """httpx's way down to a connection pool that stands on the guarded network."""

    def __init__(self, network: httpcore.AsyncNetworkBackend) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(), network_backend=network, max_connections=CONNECTIONS
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request. Raises `httpcore` errors, and what the network raises."""
        answer = await self._pool.handle_async_request(
            httpcore.Request(
                request.method,
                httpcore.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer.stream))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


class HttpTransport:
    """Sends the HTTP requests of one destination."""

    def __init__(self, settings: ActivationSettings, clock: Clock, *, resolver: Resolver = system_resolver) -> None:
        self._settings = settings
        self._clock = clock
        self._client = httpx.AsyncClient(
            transport=GuardedConnections(GuardedNetwork(settings, resolver)),
            headers=HEADERS,
            follow_redirects=False,
            trust_env=False,
            timeout=settings.timeout_seconds,
        )

    async def send(self, request: HttpRequest) -> Reply:
        """Carry out one request; see `Transport`."""
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                return await self._exchange(checked(request.url), request)
        except (TimeoutError, httpcore.TimeoutException):
            raise TransientError(f"no answer within {self._settings.timeout_seconds:g} s") from None
        except httpcore.ConnectError as error:
            why = "its certificate is not valid" if isinstance(error.__cause__, ssl.SSLError) else "it does not answer"
            raise TransientError(f"the host cannot be reached: {why}") from None
        except (httpx.InvalidURL, httpcore.LocalProtocolError, UnicodeError, ValueError) as error:
            raise PermanentError(f"no such request can be sent: {type(error).__name__}") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpx.HTTPError, OSError) as error:
            raise TransientError(f"the connection broke: {type(error).__name__}") from None

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def _exchange(self, url: httpx.URL, request: HttpRequest) -> Reply:
        headers = {name: revealed(value) for name, value in request.headers.items()}
        self._client.cookies.clear()
        async with self._client.stream(request.method, url, headers=headers, content=request.body) as answer:
            body = await _read(answer)
        return Reply(answer.status_code, self._clock.now(), _lowered(answer.headers), body)


def checked(url: str | SecretStr) -> httpx.URL:
    """The parsed URL. Raises `MisconfiguredError` unless it is http(s)://host[:port]/… without a user in it."""
    try:
        parsed = httpx.URL(revealed(url))
    except httpx.InvalidURL:
        raise MisconfiguredError("the address is no URL", code="address_refused") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise MisconfiguredError("the address must begin with https:// or http:// and a host", code="address_refused")
    if parsed.userinfo:
        raise MisconfiguredError("the address must not hold a user or a password", code="address_refused")
    return parsed


def revealed(value: str | SecretStr) -> str:
    """The text, secret or not."""
    return value.get_secret_value() if isinstance(value, SecretStr) else value


async def _read(answer: httpx.Response) -> bytes:
    body = bytearray()
    async for part in answer.aiter_raw():
        body += part
        if len(body) >= LARGEST_REPLY:
            break
    return bytes(body[:LARGEST_REPLY])


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}

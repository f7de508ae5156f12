"""Tests of the HTTP front: who answers a path, what becomes of the unexpected, and how the server starts and stops."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import httpx
import pytest

from cdp.errors import MisconfiguredError
from cdp.http import Front, HttpServer, Traced, bound, trace_of
from cdp.service import Health, Receive, Scope, Send
from cdp.settings import HttpSettings

HERE = HttpSettings(port=0)


def answering(text: str) -> Any:
    """An app that answers everything with the text."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": text.encode()})

    return app


class Doorman:
    """A gateway for /v1."""

    name = "doorman"

    def claims(self, path: str, query: bytes = b"") -> bool:
        """Whether the path is below /v1."""
        return path.startswith("/v1/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        await answering("gateway")(scope, receive, send)

    async def start(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        """Nothing to do."""

    def health(self) -> Health:
        """Well."""
        return Health(True)


def client(app: Any, **options: Any) -> httpx.AsyncClient:
    """A client of the app, without a socket."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, **options), base_url="http://cdp")


async def test_claimed_paths_go_to_their_gateway() -> None:
    """A gateway answers the paths it claims, the app all others."""
    async with client(Front(answering("app"), [Doorman()])) as http:
        assert (await http.get("/v1/track")).text == "gateway"
        assert (await http.get("/api/v1/status")).text == "app"


async def test_the_unexpected_is_a_500_that_names_its_trace() -> None:
    """An exception becomes the one shape of errors, with the trace id that the header names too."""

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("secret details")

    async with client(Traced(broken)) as http:
        answer = await http.get("/x")

    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    assert answer.json()["error"]["trace_id"] == answer.headers["x-request-id"]
    assert "secret" not in answer.text


async def test_a_request_keeps_the_trace_it_came_with() -> None:
    """`traceparent` is honoured; what is no trace is replaced."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with client(Traced(answering("x"))) as http:
        given = await http.get("/", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
        wrong = await http.get("/", headers={"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"})

    assert given.headers["x-request-id"] == trace
    assert wrong.headers["x-request-id"] != "0" * 32
    assert len(trace_of([(b"traceparent", b"nonsense")])) == 32


async def test_port_0_is_a_real_port_and_stopping_finishes_requests() -> None:
    """The server tells the port it got; a request under way when it stops is answered."""
    arrived, go = asyncio.Event(), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        arrived.set()
        await go.wait()
        await answering("finished")(scope, receive, send)

    server = HttpServer(HERE)
    await server.start(slow)
    assert server.port != 0
    async with httpx.AsyncClient() as http:
        request = asyncio.create_task(http.get(server.url))
        await arrived.wait()
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0.05)
        go.set()
        assert (await request).text == "finished"
    await stopping
    server.release()


def test_a_taken_port_is_told_before_anything_else() -> None:
    """The sentence names the port and the setting."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(MisconfiguredError, match=rf"{port}.*CDP_HTTP__PORT"):
            bound("127.0.0.1", port)


def test_an_unknown_host_is_told() -> None:
    """A host that is none of this machine's is a setting to change."""
    with pytest.raises(MisconfiguredError, match="CDP_HTTP__HOST"):
        bound("no-such-host.invalid", 0)

"""The HTTP transport, against a destination on loopback that behaves badly."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from activation.requests import HttpRequest
from activation.testing import DRIP, HANG, RESET, Answer, FakeDestination, ScriptedTransport
from activation.transports.base import Transport
from activation.transports.http import LARGEST_REPLY, HttpTransport
from cdp.errors import MisconfiguredError, PermanentError, TransientError
from cdp.settings import ActivationSettings
from cdp.testing import FrozenClock

OPEN = ActivationSettings(allow_private_addresses=True, timeout_seconds=0.5)


@pytest.fixture
async def http() -> AsyncIterator[HttpTransport]:
    """A transport that may reach loopback."""
    transport = HttpTransport(OPEN, FrozenClock())
    yield transport
    await transport.close()


def post(url: str, **fields: Any) -> HttpRequest:
    """A request."""
    return HttpRequest(**({"members": (0,), "method": "POST", "url": url, "body": b"{}"} | fields))


class TransportContract:
    """What every transport does; the fake that tests use in its place does it too."""

    async def replies(self, *answers: Answer) -> list[object]:
        """What `send` returned or raised for each answer of the script."""
        raise NotImplementedError

    async def test_whatever_is_answered_comes_back(self) -> None:
        """A status is no error: it is the connector's to interpret."""
        found = await self.replies(Answer(200, body=b"yes"), Answer(429, {"retry-after": "7"}), Answer(500))

        assert [(reply.status, reply.body) for reply in found] == [(200, b"yes"), (429, b""), (500, b"")]  # type: ignore[attr-defined]
        assert found[1].headers["retry-after"] == "7"  # type: ignore[attr-defined]

    async def test_what_is_not_answered_is_transient(self) -> None:
        """A reset and a hang end in time, as trouble that may pass."""
        found = await self.replies(RESET, HANG, Answer(200))

        assert isinstance(found[0], TransientError) and isinstance(found[1], TransientError)
        assert found[2].status == 200  # type: ignore[attr-defined]


class TestHttpTransport(TransportContract):
    """The real one."""

    async def replies(self, *answers: Answer) -> list[object]:
        transport = HttpTransport(OPEN, FrozenClock())
        async with FakeDestination(*answers) as destination:
            found = [await outcome(transport, post(destination.url)) for _ in answers]
            await transport.close()
        return found


class TestScriptedTransport(TransportContract):
    """The fake."""

    async def replies(self, *answers: Answer) -> list[object]:
        transport = ScriptedTransport(*answers)
        return [await outcome(transport, post("http://acme.example/")) for _ in answers]


async def outcome(transport: Transport[Any], request: HttpRequest) -> object:
    """What `send` returns, or the error it raises."""
    try:
        return await transport.send(request)
    except Exception as error:
        return error


async def test_the_request_arrives_as_it_was_built(http: HttpTransport) -> None:
    """Method, path, query, headers and the exact body; secrets are revealed on the wire alone."""
    async with FakeDestination() as destination:
        request = post(
            destination.url + "?a=1", headers={"authorization": SecretStr("Bearer s3cret")}, body=b'{"a":"\xc3\xa9"}'
        )
        reply = await http.send(request)

    [received] = destination.received
    assert (received.method, received.target, received.body) == ("POST", "/hook?a=1", b'{"a":"\xc3\xa9"}')
    assert received.headers["authorization"] == "Bearer s3cret"
    assert received.headers["user-agent"].startswith("streamcdp/")
    assert "s3cret" not in repr(request)
    assert reply.at == FrozenClock().now()


async def test_a_redirect_is_not_followed(http: HttpTransport) -> None:
    """A redirect comes back as it is: it could lead anywhere."""
    async with FakeDestination() as trap, FakeDestination(Answer(307, {"location": trap.url})) as destination:
        reply = await http.send(post(destination.url))

    assert reply.status == 307
    assert trap.received == []


async def test_a_long_answer_is_cut(http: HttpTransport) -> None:
    """Nobody fills our memory with an answer."""
    async with FakeDestination(Answer(200, body=b"x" * (LARGEST_REPLY + 500_000))) as destination:
        reply = await http.send(post(destination.url))

    assert len(reply.body) == LARGEST_REPLY


async def test_a_compressed_answer_is_not_unpacked(http: HttpTransport) -> None:
    """A bomb stays packed."""
    import gzip

    packed = gzip.compress(b"x" * 50_000_000)
    async with FakeDestination(Answer(200, {"content-encoding": "gzip"}, packed)) as destination:
        reply = await http.send(post(destination.url))

    assert reply.body == packed
    assert destination.received[0].headers["accept-encoding"] == "identity"


async def test_a_dripping_answer_ends_in_time(http: HttpTransport) -> None:
    """The time-out is for the whole exchange, not for each byte."""
    async with FakeDestination(DRIP) as destination:
        with pytest.raises(TransientError, match=r"within 0\.5 s"):
            await asyncio.wait_for(http.send(post(destination.url)), 5)


async def test_nobody_there_is_transient(http: HttpTransport) -> None:
    """A refused connection and an unknown name may pass."""
    for url in ("http://127.0.0.1:1/", "http://no-such-host.invalid/"):
        with pytest.raises(TransientError):
            await http.send(post(url))


async def test_proxies_of_the_environment_are_not_used(http: HttpTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment cannot send requests elsewhere."""
    async with FakeDestination() as destination:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        fresh = HttpTransport(OPEN, FrozenClock())
        assert (await fresh.send(post(destination.url))).status == 200
        await fresh.close()


async def test_cookies_are_not_kept(http: HttpTransport) -> None:
    """Requests do not depend on each other."""
    async with FakeDestination(Answer(200, {"set-cookie": "a=b"})) as destination:
        await http.send(post(destination.url))
        await http.send(post(destination.url))

    assert all("cookie" not in received.headers for received in destination.received)


@pytest.mark.parametrize("headers", [{"x": "two\nlines"}, {"bad name": "x"}, {"x": "é"}])
async def test_what_can_never_be_sent_is_permanent(http: HttpTransport, headers: dict[str, str]) -> None:
    """A request that HTTP forbids is refused before it is sent, and not tried again."""
    async with FakeDestination() as destination:
        found = await outcome(http, post(destination.url, headers=headers))

    assert isinstance(found, PermanentError) or destination.received  # é is sent as UTF-8
    assert all("\n" not in value for received in destination.received for value in received.headers.values())


async def test_tls_is_checked_against_the_name(http: HttpTransport) -> None:
    """A server without a valid certificate is not talked to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(TransientError):
        await http.send(post(f"https://localhost:{port}/"))
    server.close()
    await server.wait_closed()


async def test_a_unix_socket_is_no_destination() -> None:
    """Local sockets cannot be reached, whatever asks for them."""
    from activation.addresses import system_resolver
    from activation.transports.http import GuardedNetwork

    with pytest.raises(MisconfiguredError):
        await GuardedNetwork(OPEN, system_resolver).connect_unix_socket("/var/run/docker.sock")

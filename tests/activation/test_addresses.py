"""No tenant's address reaches a private one: a table of targets, and a trap that must stay empty."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from activation.addresses import is_public, resolve, system_resolver
from activation.requests import HttpRequest
from activation.transports.http import HttpTransport, checked
from cdp.errors import MisconfiguredError, TransientError
from cdp.settings import ActivationSettings
from cdp.testing import FrozenClock

PRIVATE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.254",
    "127.0.0.1",
    "127.1.2.3",
    "169.254.169.254",
    "169.254.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:c0a8:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "203.162.4.191",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
]
# Spellings of this machine that a check of the text would let through; the resolver turns them into addresses.
SPELLINGS = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "0",
    "0.0.0.0",
    "localhost",
    "localhost.",
    "LOCALHOST",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:0:0:1]",
    "①②⑦.⓪.⓪.①",
]


class Trap:
    """A listener on loopback, at every address of it, that nobody may reach."""

    def __init__(self) -> None:
        self.visits = 0
        self.port = 0

    async def visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Count it."""
        self.visits += 1
        writer.close()


@pytest.fixture
async def trap() -> AsyncIterator[Trap]:
    """The trap, set."""
    trap = Trap()
    server = await asyncio.start_server(trap.visit, "127.0.0.1", 0)
    trap.port = server.sockets[0].getsockname()[1]
    yield trap
    server.close()
    await server.wait_closed()


def guarded(trap: Trap, **settings: object) -> ActivationSettings:
    """Settings that would allow the trap's port, so that only the address protects it."""
    return ActivationSettings.model_validate({"ports": (80, 443, trap.port), "timeout_seconds": 2} | settings)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_refused(address: str) -> None:
    """Whatever is not on the public internet is not public, however it is wrapped."""
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_let_through(address: str) -> None:
    """Neighbours of the refused blocks are let through."""
    assert is_public(address)


@pytest.mark.parametrize("host", SPELLINGS)
async def test_no_spelling_of_this_machine_is_reached(host: str, trap: Trap) -> None:
    """Decimal, octal, hexadecimal, short, mapped and full-width spellings end before a connection is made."""
    transport = HttpTransport(guarded(trap), FrozenClock())
    with pytest.raises((MisconfiguredError, TransientError)) as refusal:
        await transport.send(HttpRequest((0,), "POST", f"http://{host}:{trap.port}/"))
    await transport.close()

    assert isinstance(refusal.value, MisconfiguredError) or "resolved" in refusal.value.message
    assert trap.visits == 0


async def test_a_name_that_turns_private_after_the_look_is_not_followed(trap: Trap) -> None:
    """The connection goes to the address that was judged: there is no second resolution to poison."""
    answers = [["192.0.2.1"], ["127.0.0.1"]]
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers.pop(0)

    transport = HttpTransport(
        guarded(trap, allow_private_addresses=True, timeout_seconds=0.3), FrozenClock(), resolver=rebinding
    )
    with pytest.raises(TransientError):
        await transport.send(HttpRequest((0,), "POST", f"http://rebind.example:{trap.port}/"))
    await transport.close()

    assert asked == ["rebind.example"]
    assert trap.visits == 0


@pytest.mark.parametrize("addresses", [["8.8.8.8", "127.0.0.1"], ["10.0.0.1", "8.8.8.8"], ["::1", "2606:4700::1"]])
async def test_one_private_address_spoils_a_name(addresses: list[str]) -> None:
    """A name with a public and a private address is refused as a whole."""

    async def resolver(host: str, port: int) -> list[str]:
        return addresses

    with pytest.raises(MisconfiguredError):
        await resolve("mixed.example", 443, resolver=resolver)


async def test_private_addresses_can_be_allowed() -> None:
    """An operator may let them through."""
    assert await resolve("127.0.0.1", 80, resolver=system_resolver, allow_private=True) == ["127.0.0.1"]


async def test_other_ports_are_refused() -> None:
    """Only the allowed ports are connected to, even at public addresses."""
    transport = HttpTransport(ActivationSettings(), FrozenClock())
    with pytest.raises(MisconfiguredError, match="port 6379"):
        await transport.send(HttpRequest((0,), "POST", "http://1.1.1.1:6379/"))
    await transport.close()


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_INFO",
        "unix:///var/run/docker.sock",
        "//127.0.0.1/",
        "http:/127.0.0.1",
        "http://a@127.0.0.1/",
        "http://user:password@shop.example/",
        "javascript:alert(1)",
        "http://[::1",
        "",
    ],
)
def test_only_plain_http_addresses_are_taken(url: str) -> None:
    """Other schemes, missing hosts and addresses with a user are refused before anything is resolved."""
    with pytest.raises(MisconfiguredError):
        checked(url)

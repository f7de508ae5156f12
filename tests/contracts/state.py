"""What the state must do, whoever serves it. The fixture `server` starts, kills and names it by its settings."""

from __future__ import annotations

import asyncio
import uuid
from typing import Protocol

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError, WatchError

from cdp.anchors import anchor_key, profiles_of
from cdp.settings import Settings
from cdp.state import Outbox, State
from tests.waiting import eventually


class Server(Protocol):
    """A Redis or Valkey under test."""

    settings: Settings

    def kill(self) -> None:
        """kill -9."""
        ...

    def revive(self) -> None:
        """Start it again; nothing, where the product does so itself."""
        ...


async def answers(client: Redis) -> bool:
    """Whether the client gets an answer."""
    try:
        return bool(await client.ping())
    except (RedisError, OSError):
        return False


class StateContract:
    """Inherit it beside a fixture `server`."""

    async def test_bytes_in_bytes_out(self, opened: Redis) -> None:
        """Keys and values are bytes, whatever they hold."""
        value = bytes(range(256))
        await opened.set(b"key", value)

        assert await opened.get("key") == value
        assert await opened.keys("*") == [b"key"]

    async def test_an_outbox_gives_what_was_put_in_in_order(self, opened: Redis) -> None:
        """Values come back oldest first until they are removed, and only then go."""
        outbox = Outbox(opened, "outbox")
        for value in (b"one", b"two", b"three"):
            async with opened.pipeline(transaction=True) as transaction:
                outbox.add(transaction, value)
                await transaction.execute()

        assert await outbox.waiting() == [b"one", b"two", b"three"]
        await outbox.remove(2)
        assert await outbox.waiting() == [b"three"]
        await outbox.remove(1)
        assert await outbox.waiting() == []

    async def test_an_outbox_forgets_exact_values(self, opened: Redis) -> None:
        """Of equal values one goes per mention; what another owner added meanwhile stays."""
        outbox = Outbox(opened, "outbox")
        async with opened.pipeline(transaction=True) as transaction:
            for value in (b"a", b"b", b"a", b"c"):
                outbox.add(transaction, value)
            await transaction.execute()
        await outbox.drop([b"a", b"c", b"unknown"])
        await outbox.drop([])

        assert await outbox.waiting() == [b"b", b"a"]

    async def test_state_and_outbox_change_together_or_not_at_all(self, opened: Redis) -> None:
        """A transaction that was overtaken changes neither the state nor the outbox."""
        outbox = Outbox(opened, "outbox")

        async def change(*, overtaken: bool) -> None:
            async with opened.pipeline(transaction=True) as transaction:
                await transaction.watch("graph")
                transaction.multi()
                transaction.set("state", "changed")
                outbox.add(transaction, b"told")
                if overtaken:
                    await opened.set("graph", "by another")
                await transaction.execute()

        with pytest.raises(WatchError):
            await change(overtaken=True)
        assert (await opened.get("state"), await outbox.waiting()) == (None, [])
        await change(overtaken=False)
        assert (await opened.get("state"), await outbox.waiting()) == (b"changed", [b"told"])

    async def test_an_anchor_without_a_profile_is_its_own(self, opened: Redis) -> None:
        """Known anchors answer with their profile, unknown ones with themselves, in the order asked."""
        known, unknown, profile = (str(uuid.uuid4()) for _ in range(3))
        await opened.set(anchor_key("p:", known), uuid.UUID(profile).bytes)

        assert await profiles_of(opened, "p:", [unknown, known, known]) == [unknown, profile, profile]
        assert await profiles_of(opened, "p:", []) == []

    async def test_a_cut_connection_is_made_again(self, opened: Redis) -> None:
        """When the server closes every connection, the next command goes through on a new one."""
        for _ in range(3):
            await opened.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")
            assert await opened.incr("n")

    async def test_many_ask_at_once(self, opened: Redis) -> None:
        """Two hundred commands at a time are all answered."""
        answered = await asyncio.gather(*(opened.incr("n") for _ in range(200)))

        assert sorted(answered) == list(range(1, 201))

    async def test_what_was_acknowledged_survives_a_kill(self, opened: Redis, server: Server) -> None:
        """kill -9 of the server loses nothing it had answered, and the same client works on when it is back."""
        for n in range(100):
            await opened.set(f"key{n}", n)
        server.kill()
        assert not await answers(opened)
        server.revive()

        await eventually(lambda: answers(opened), timeout=20)
        assert await opened.dbsize() == 100

    async def test_closing_and_opening_keeps_everything(self, opened: Redis, server: Server) -> None:
        """A clean stop and start finds what was there."""
        await opened.set("kept", 1)
        second = State(server.settings)
        client = await second.open()

        assert await client.get("kept") == b"1"
        await second.close()

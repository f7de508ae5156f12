"""The role on real parts: log, registry, state and warehouse, with destinations on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from prometheus_client import REGISTRY

from activation.destinations import DESTINATION, SYNC
from activation.dispatcher import Dispatcher
from activation.ledger import Ledger
from activation.testing import DRIP, HANG, RESET, Answer, FakeDestination
from cdp.clock import SystemClock
from cdp.records import Delivery, decode_deliveries
from cdp.service import Platform
from cdp.topics import DELIVERIES
from tests.activation.arena import change, profile_id
from tests.activation.house import define, definitions, happen, remember, with_activation
from tests.waiting import eventually

Start = Callable[..., Any]


@pytest.fixture
async def real(platform: Platform) -> Platform:
    """The platform under the machine's clock, allowed to reach loopback, with short waits."""
    changed = with_activation(
        platform, allow_private_addresses=True, timeout_seconds=0.5, retry_base_seconds=0.05, retry_max_seconds=0.2
    )
    return Platform(changed.settings, SystemClock(), changed.log, changed.registry, changed.state, changed._warehouse)


@pytest.fixture
async def start(real: Platform) -> AsyncIterator[Start]:
    """Starts dispatchers; stops them in the end."""
    started: list[Dispatcher] = []

    async def begin(platform: Platform = real, *, lease: float = 0.6) -> Dispatcher:
        dispatcher = Dispatcher(platform, lease_seconds=lease)
        await dispatcher.start()
        started.append(dispatcher)
        return dispatcher

    yield begin
    await asyncio.gather(*(dispatcher.stop() for dispatcher in started))


def received(destination: FakeDestination) -> set[str]:
    """The profiles that a destination was told of."""
    return {json.loads(request.body)["data"]["profile_id"] for request in destination.received}


async def told(platform: Platform) -> list[Delivery]:
    """What lies on the topic `deliveries`."""
    reader = await platform.log.reader([DELIVERIES], start="earliest")
    messages = await reader.read(limit=10_000, timeout=0.2)
    await reader.close()
    return [delivery for message in messages for delivery in decode_deliveries(message.value).deliveries]


def ledger(platform: Platform, key: str) -> Ledger:
    """A destination's ledger."""
    return Ledger(platform.state, platform.settings.state.prefix, key)


async def test_from_the_log_to_the_destination_and_back(real: Platform, start: Start) -> None:
    """A change on segments.changes becomes a signed request, and its record lies on deliveries."""
    async with FakeDestination() as destination:
        await define(real, "hook", destination.url)
        await start()
        await happen(real, change(1, 1), change(2, 1), change(2, 2))
        await eventually(lambda: profile_id(1) in received(destination))

        deliveries = await eventually(lambda: told(real))
        assert deliveries[0].outcome == "delivered" and deliveries[0].trace_id == "t"
        assert REGISTRY.get_sample_value("cdp_destination_breaker", {"destination": "hook"}) == 0
        labels = {"destination": "hook", "outcome": "delivered"}
        assert REGISTRY.get_sample_value("cdp_deliveries_total", labels)


async def test_members_of_the_past_are_sent_when_a_sync_begins(real: Platform, start: Start) -> None:
    """The initial sync runs as soon as the sync is defined."""
    await start()
    async with FakeDestination() as destination:
        await remember(real.warehouse, change(1, 1), change(2, 1), change(2, 2), change(3, 1))
        await define(real, "hook", destination.url)
        await eventually(lambda: received(destination) == {profile_id(1), profile_id(3)})


async def test_one_dead_destination_delays_no_other(real: Platform, start: Start) -> None:
    """Five destinations hang, fail, refuse, reset and drip: the sixth gets all, and they do once they are healed."""
    wanted = {profile_id(number) for number in range(40)}
    async with contextlib.AsyncExitStack() as stack:
        dead = [
            await stack.enter_async_context(FakeDestination(answer))
            for answer in (HANG, Answer(500), Answer(429, {"retry-after": "1"}), RESET, DRIP)
        ]
        healthy = await stack.enter_async_context(FakeDestination())
        for number, destination in enumerate([*dead, healthy]):
            await define(real, f"hook-{number}", destination.url)
        dispatcher = await start()
        await happen(real, *[change(number, 1) for number in range(40)])
        await eventually(lambda: received(healthy) == wanted)

        for number in range(5):
            assert (await ledger(real, f"hook-{number}").standing()).pending == 40
        assert (await ledger(real, "hook-5").standing()).pending == 0
        assert dispatcher.health().ok

        for destination in dead:
            destination.script.__init__([Answer(200)])  # type: ignore[misc]
        for number, destination in enumerate(dead):
            await eventually(lambda destination=destination: received(destination) == wanted, 20)
            await eventually(lambda number=number: _idle(real, f"hook-{number}"), 20)


async def _idle(platform: Platform, key: str) -> bool:
    return (await ledger(platform, key).standing()).pending == 0


async def test_several_dispatchers_share_and_take_over(real: Platform, start: Start) -> None:
    """Each destination has one dispatcher; when one dies without a word, the other serves its destinations too."""
    async with contextlib.AsyncExitStack() as stack:
        hooks = {f"hook-{number}": await stack.enter_async_context(FakeDestination()) for number in range(8)}
        for key, destination in hooks.items():
            await define(real, key, destination.url)
        first, second = await start(), await start()
        await eventually(lambda: len(serving(first)) + len(serving(second)) == 8 and serving(first) and serving(second))
        assert serving(first) & serving(second) == set()
        await happen(real, change(1, 1))
        for destination in hooks.values():
            await eventually(lambda destination=destination: received(destination) == {profile_id(1)})

        await die(first)
        await eventually(lambda: len(serving(second)) == 8)
        await happen(real, change(2, 1))
        for destination in hooks.values():
            await eventually(lambda destination=destination: profile_id(2) in received(destination))
            assert len(destination.received) == 2


def serving(dispatcher: Dispatcher) -> set[str]:
    """The destinations that a dispatcher serves."""
    return {key for key, post in dispatcher._posts.items() if post.courier is not None}


async def die(dispatcher: Dispatcher) -> None:
    """End without giving anything back, as kill -9 does; but its partitions are free, as a group sees to."""
    await dispatcher._worker.stop()
    assert dispatcher._task is not None
    tasks = [dispatcher._task, *(post._task for post in dispatcher._posts.values())]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    dispatcher._posts.clear()


async def test_a_stop_gives_back_at_once_and_a_start_goes_on(real: Platform, start: Start) -> None:
    """After a clean stop no lease stays, and what waited is delivered by the next."""
    async with FakeDestination(Answer(500)) as destination:
        await define(real, "hook", destination.url)
        first = await start(lease=60)
        await happen(real, change(1, 1))
        await eventually(lambda: destination.received)
        await first.stop()
        assert await real.state.exists(ledger(real, "hook").lease_key) == 0
        assert not first.health().ok

        destination.script.__init__([Answer(200)])  # type: ignore[misc]
        await start(lease=60)
        await eventually(lambda: _idle(real, "hook"))
        ids = {request.headers["webhook-id"] for request in destination.received}
        assert len(ids) == 1


async def test_a_changed_definition_counts_at_once(real: Platform, start: Start) -> None:
    """A new address gets what comes next; a disabled destination gets nothing until it is enabled."""
    async with FakeDestination() as old, FakeDestination() as new:
        await define(real, "hook", old.url)
        await start()
        await happen(real, change(1, 1))
        await eventually(lambda: received(old) == {profile_id(1)})
        await define(real, "hook", new.url)
        await happen(real, change(2, 1))
        await eventually(lambda: profile_id(2) in received(new) | received(old))

        entry = real.registry.get(DESTINATION, "hook")
        await real.registry.put(DESTINATION, "hook", entry.body | {"enabled": False})
        await asyncio.sleep(0.3)
        await happen(real, change(3, 1))
        await eventually(lambda: _waits(real, "hook"))
        assert profile_id(3) not in received(new)
        await real.registry.put(DESTINATION, "hook", entry.body | {"enabled": True})
        await eventually(lambda: profile_id(3) in received(new))


async def _waits(platform: Platform, key: str) -> bool:
    return (await ledger(platform, key).standing()).pending == 1


async def test_a_deleted_destination_leaves_nothing(real: Platform, start: Start) -> None:
    """Its keys go from the state, its figures from Prometheus."""
    async with FakeDestination(Answer(500)) as destination:
        await define(real, "gone", destination.url)
        await start()
        await happen(real, change(1, 1))
        await eventually(lambda: destination.received)
        await real.registry.delete(SYNC, "vip-to-gone")
        await definitions(real).delete_destination("gone", by="an")

        prefix = real.settings.state.prefix
        await eventually(lambda: _none(real, f"{prefix}activation:{{gone}}:*"))
        await eventually(lambda: REGISTRY.get_sample_value("cdp_destination_pending", {"destination": "gone"}) is None)


async def _none(platform: Platform, pattern: str) -> bool:
    return await platform.state.keys(pattern) == []


async def test_a_destination_whose_secrets_cannot_be_opened_says_so(real: Platform, start: Start) -> None:
    """It is no trouble of the role; its status tells what to do, and it works once that is done."""
    async with FakeDestination() as destination:
        await define(real, "hook", destination.url)
        key = (real.settings.data_dir / "master.key").read_bytes()
        (real.settings.data_dir / "master.key").unlink()
        dispatcher = await start()
        facts = await eventually(lambda: ledger(real, "hook").facts())
        assert "CDP_VAULT__MASTER_KEY" in facts["error"]
        assert dispatcher.health().ok

        (real.settings.data_dir / "master.key").write_bytes(key)
        await dispatcher.stop()
        await start()
        await happen(real, change(1, 1))
        await eventually(lambda: received(destination) == {profile_id(1)})

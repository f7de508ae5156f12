"""The ledger compared with the warehouse: initial sync, repair, and the way back after the state was lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis.asyncio import Redis

from activation.ledger import Ledger, Wish
from activation.reconcile import Difference, Reconciler
from cdp.records import Delivery
from cdp.service import Platform
from cdp.testing import FrozenClock
from tests.activation import house
from tests.activation.arena import change, profile_id
from tests.activation.house import define, definitions, remember, remember_deliveries


def reconciler(platform: Platform, key: str = "hook") -> Reconciler:
    """The reconciler of a destination."""
    ledger = Ledger(platform.state, platform.settings.state.prefix, key)
    return Reconciler(platform, definitions(platform).destination(key), ledger)


async def waiting(platform: Platform, key: str = "hook") -> dict[str, int]:
    """Profile → wished action, of those who wait."""
    ledger = Ledger(platform.state, platform.settings.state.prefix, key)
    due = await ledger.due(platform.clock.now(), limit=1000)
    return {member.profile_id: entry.action for member, entry in due}


def delivery(number: int, sequence: int, outcome: str, *, attempt: int = 1, at: int = 0) -> Delivery:
    """An attempt at a member of vip; odd sequences add."""
    action = "add" if sequence % 2 else "remove"
    return Delivery(
        "id",
        "hook",
        "webhook",
        "vip",
        profile_id(number),
        sequence,
        action,
        outcome,
        attempt,
        at,  # type: ignore[arg-type]
    )


async def test_present_members_are_sent_at_first(platform: Platform) -> None:
    """A new sync enqueues those who are in now, and nobody who has left or is in another segment."""
    await define(platform, "hook", "https://shop.example/")
    history = [change(1, 1), change(2, 1), change(2, 2), change(3, 1), change(3, 2), change(3, 3)]
    await remember(platform.warehouse, *history, change(4, 1, segment="lapsed"))
    await reconciler(platform).turn()

    assert await waiting(platform) == {profile_id(1): 1, profile_id(3): 1}
    ledger = Ledger(platform.state, platform.settings.state.prefix, "hook")
    assert set(await ledger.synced()) == {"vip"}


async def test_a_second_comparison_finds_nothing(platform: Platform) -> None:
    """What the ledger knows is not enqueued again."""
    await define(platform, "hook", "https://shop.example/")
    await remember(platform.warehouse, change(1, 1), change(2, 1))

    assert await reconciler(platform).compare_all() == Difference(2, 2)
    assert await reconciler(platform).compare_all() == Difference(2, 0)


async def test_what_the_intake_missed_is_repaired(platform: Platform) -> None:
    """Changes that never reached the ledger are found; those that the warehouse has not stored yet stay."""
    await define(platform, "hook", "https://shop.example/")
    ledger = Ledger(platform.state, platform.settings.state.prefix, "hook")
    now = platform.clock.now()
    await ledger.desire("vip", [Wish(profile_id(1), "add", 1, now), Wish(profile_id(2), "add", 3, now)], now)
    await remember(
        platform.warehouse, change(1, 1), change(1, 2), change(1, 3), change(1, 4), change(2, 1), change(2, 2)
    )

    await reconciler(platform).compare_all()
    assert await waiting(platform) == {profile_id(2): 1}


async def test_many_pages(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many pages it takes, each member is enqueued once."""
    monkeypatch.setattr("activation.reconcile.PAGE", 7)
    await define(platform, "hook", "https://shop.example/")
    await remember(platform.warehouse, *[change(number * 2**60 + 1, 1) for number in range(100)])

    assert await reconciler(platform).compare_all() == Difference(100, 100)


async def test_a_lost_state_comes_back_from_the_warehouse(platform: Platform) -> None:
    """Nobody who was acknowledged is sent again, whoever must leave does, what is uncertain is sent again."""
    await define(platform, "hook", "https://shop.example/")
    later = platform.clock.now() + 1
    await remember(
        platform.warehouse,
        *[change(1, 1)],
        *[change(2, 1), change(2, 2)],
        *[change(3, 1), change(3, 2)],
        *[change(4, 1)],
        *[change(5, 1), change(5, 2)],
        *[change(6, 1), change(6, 2)],
        *[change(7, 1)],
    )
    await remember_deliveries(
        platform.warehouse,
        delivery(1, 1, "delivered", at=later),
        delivery(2, 1, "delivered", at=later),
        delivery(3, 1, "delivered", at=later),
        delivery(3, 2, "delivered", at=later),
        delivery(4, 1, "retrying", at=later),
        delivery(4, 1, "delivered", attempt=2, at=later),
        delivery(5, 1, "retrying", at=later),
        delivery(6, 1, "dropped", attempt=0, at=later),
        delivery(7, 1, "failed", at=later),
    )
    await reconciler(platform).compare_all()

    assert await waiting(platform) == {profile_id(2): 0, profile_id(5): 0, profile_id(7): 1}


async def test_a_destination_defined_anew_starts_anew(platform: Platform, clock: FrozenClock) -> None:
    """Deliveries from before it was deleted and defined again do not count."""
    await remember(platform.warehouse, change(1, 1))
    await remember_deliveries(platform.warehouse, delivery(1, 1, "delivered", at=clock.now()))
    clock.advance(1000)
    await define(platform, "hook", "https://other.example/")
    await reconciler(platform).compare_all()

    assert await waiting(platform) == {profile_id(1): 1}


async def test_it_is_repeated_after_its_hours_and_when_the_sync_changes(platform: Platform, clock: FrozenClock) -> None:
    """Not before: a comparison of a large segment costs something."""
    await define(platform, "hook", "https://shop.example/")
    await reconciler(platform).turn()
    await remember(platform.warehouse, change(1, 1))
    clock.advance(23 * 3_600_000)
    await reconciler(platform).turn()
    assert await waiting(platform) == {}

    clock.advance(2 * 3_600_000)
    await reconciler(platform).turn()
    assert await waiting(platform) == {profile_id(1): 1}
    await remember(platform.warehouse, change(2, 1))
    await house.define(platform, "hook", "https://shop.example/")
    await reconciler(platform).turn()
    assert set(await waiting(platform)) == {profile_id(1), profile_id(2)}


async def test_consent_is_looked_at_again(platform: Platform, state: Redis, tmp_path: Path) -> None:
    """Where a destination has purposes, settled members become due for a look."""
    await define(platform, "hook", "https://shop.example/", purposes=("advertising",))
    await remember(platform.warehouse, change(1, 1))
    await remember_deliveries(platform.warehouse, delivery(1, 1, "delivered", at=platform.clock.now()))
    await reconciler(platform).compare_all()

    assert await waiting(platform) == {profile_id(1): 1}
    standing = await Ledger(state, platform.settings.state.prefix, "hook").standing()
    assert standing.pending == 0

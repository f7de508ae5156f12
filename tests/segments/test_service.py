"""The role: it joins the group, evaluates whom it is told about, and does by itself what time brings."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator

import pytest

from cdp.clock import HOUR
from cdp.errors import TransientError
from cdp.service import Platform
from cdp.streams.base import Draft
from segments.service import WING, SegmenterRole
from tests.segments.world import World
from tests.waiting import eventually

ABANDONED = {"event": "Product Added", "within": "1h"}


@pytest.fixture
async def role(platform: Platform) -> AsyncIterator[SegmenterRole]:
    """The running role."""
    made = SegmenterRole(platform)
    await made.start()
    yield made
    await made.stop()


async def tell(world: World, *profile_ids: str) -> None:
    """Touch these through the log."""
    await world.stage.store()
    messages = world.touches(profile_ids)
    await world.platform.log.append([Draft(one.topic, one.partition, one.value) for one in messages])


async def test_the_role_follows_the_log_and_the_clock(world: World, role: SegmenterRole) -> None:
    """A touch on the log becomes a change on the log; an hour later, without a message, so does the exit."""
    await world.define("abandoned", ABANDONED)
    lan = world.person()
    world.bought(lan, name="Product Added")
    await tell(world, lan)

    async def members() -> list[str]:
        return [change.change for change in await world.history()]

    await eventually(lambda: _is(members(), ["entered"]))
    world.clock.advance(HOUR)
    await eventually(lambda: _is(members(), ["entered", "exited"]))
    assert role.health().ok
    assert role.health().figures["changes"] == 2


async def test_the_role_goes_red_while_a_part_is_away_and_recovers(world: World, platform: Platform) -> None:
    """While the warehouse is away nothing is skipped; when it is back, the work is done."""
    away = Away(platform.warehouse)
    role = SegmenterRole(dataclasses.replace(platform, _warehouse=away))  # type: ignore[arg-type]
    await role.start()
    try:
        await world.define("abandoned", ABANDONED)
        lan = world.person()
        world.bought(lan, name="Product Added")
        await tell(world, lan)
        await eventually(lambda: not role.health().ok)
        assert "away" in role.health().detail
        away.is_away = False
        await eventually(lambda: _is(world.members(), {("abandoned", lan)}))
        await eventually(lambda: role.health().ok)
    finally:
        await role.stop()


class Away:
    """A warehouse that does not answer until it is back."""

    def __init__(self, warehouse: object) -> None:
        self._warehouse = warehouse
        self.is_away = True

    async def rows(self, *arguments: object, **options: object) -> object:
        """Refuse, or ask."""
        if self.is_away:
            raise TransientError("The warehouse is away.", retry_after=0.05)
        return await self._warehouse.rows(*arguments, **options)  # type: ignore[attr-defined]


async def _is(coming: object, wanted: object) -> bool:
    return bool(await coming == wanted)  # type: ignore[misc]


def test_the_wing_offers_the_segmenter() -> None:
    """The role needs the state and the warehouse; the routes stand under /api/v1/segments."""
    assert WING.roles["segmenter"].needs == {"state", "warehouse"}
    assert WING.router is not None
    assert WING.router.prefix == "/api/v1/segments"

"""A crash at any step, and the work done again: sequences stay dense, nobody is told two things, the end is right."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cdp.clock import HOUR
from cdp.service import Platform
from cdp.settings import Settings
from tests.segments.world import World

# What reaches outside the process: the steps between which it can die.
STEPS = frozenset({"rows", "append", "incr", "zrange", "hgetall", "hmget", "lrange", "hscan", "exists"})
PIPELINE_STEPS = frozenset({"watch", "get", "execute"})


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Two partitions are enough to die between."""
    return settings.model_copy(update={"log": settings.log.model_copy(update={"partitions": 2})})


class CrashError(BaseException):
    """kill -9."""


class Fate:
    """Dies right before the given step; that is right after the step before it, too."""

    def __init__(self, step: int) -> None:
        self._left = step

    async def go(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Take a step."""
        self._left -= 1
        if self._left == 0:
            raise CrashError
        return await call()


class Mortal:
    """A part whose calls are steps."""

    def __init__(self, part: Any, fate: Fate, steps: frozenset[str] = STEPS) -> None:
        self._part = part
        self._fate = fate
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if name == "pipeline":
            return lambda **options: Mortal(found(**options), self._fate, PIPELINE_STEPS)
        if name not in self._steps:
            return found
        return lambda *arguments, **options: self._fate.go(lambda: found(*arguments, **options))

    async def __aenter__(self) -> Mortal:
        await self._part.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._part.__aexit__(*error)


def mortal(platform: Platform, fate: Fate) -> Platform:
    """The platform, with parts whose calls are steps."""
    return dataclasses.replace(
        platform,
        log=Mortal(platform.log, fate),
        _state=Mortal(platform.state, fate),
        _warehouse=Mortal(platform.warehouse, fate),
    )


async def live_through(world: World, fate: Fate | None) -> bool:
    """A small story; whoever dies in it starts again and gets what was not committed. Whether somebody died.

    Up to a death each chapter ends as it does for who never dies, so that is looked at once: without a fate.
    """
    await world.reset()
    await world.start(mortal(world.platform, fate) if fate else None)
    people = [world.person() for _ in range(5)]
    for one in people[:3]:
        world.bought(one)
    await world.stage.store()
    chapters = [
        lambda: world.define("recent", {"event": "Order Completed", "within": "1h"}),
        lambda: world.define("never", {"not": {"event": "Order Completed"}}),
        lambda: touched(world, people),
        lambda: merged(world, people),
        lambda: passed(world),
        lambda: world.define("never", None),
    ]
    died = False
    for chapter in chapters:
        messages = await chapter()
        try:
            await world.segmenter.handle(messages)
            await world.settle()
        except CrashError:
            died = True
            await world.start()
            await world.segmenter.handle(messages)
            await world.settle()
        if died or not fate:
            assert await world.members() == await world.expected()
    return died


async def touched(world: World, people: list[str]) -> Any:
    """Everybody is touched, some with news."""
    world.bought(people[3])
    await world.stage.store()
    return world.touches(people)


async def merged(world: World, people: list[str]) -> Any:
    """Two become one."""
    world.stage.merge(people[0], people[4])
    await world.stage.store()
    return world.touches([people[0], people[4]], reason="identity")


async def passed(world: World) -> Any:
    """Time goes by, and nothing else."""
    world.clock.advance(HOUR)
    return []


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_crash_at_any_step_changes_nothing(world: World) -> None:
    """Whatever the step, dying before it and starting again leads to the same end."""
    assert not await live_through(world, None)
    step = 1
    while await live_through(world, Fate(step)):
        step += 1

    assert step > 50


async def test_a_replaced_owner_writes_nothing(world: World) -> None:
    """Two processes believe to own a partition: the one that was replaced is refused, and nothing is said twice."""
    await world.define("buyers", {"event": "Order Completed"})
    lan = world.person()
    world.bought(lan)
    await world.touch(lan)
    old = world.segmenter
    await world.start()
    await world.settle()
    world.clock.advance(1)
    await world.define("buyers", {"event": "Nothing"})
    with pytest.raises(Exception, match="another owner"):
        await old.handle(world.touches([lan]))
    await world.touch(lan)

    assert [change.sequence for change in await world.recorded()] == [1, 2]

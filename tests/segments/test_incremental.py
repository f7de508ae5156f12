"""Membership kept up step by step equals membership computed anew, after any sequence of happenings."""

from __future__ import annotations

import json
import uuid
from typing import Any

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from cdp.clock import DAY
from cdp.views import LIKELY, SURE
from tests.segments.strategies import NOW, doings
from tests.segments.world import World

PEOPLE = 4


async def do(world: World, doing: tuple[Any, ...]) -> None:
    """Let it happen, and touch whom it is about."""
    match doing:
        case ("event", who, at, kind, name, properties, traits):
            if anchors := world.stage.anchors(world.people[who]):
                later = at + world.clock.now() - NOW
                texts = {"properties": json.dumps(properties), "traits": json.dumps(traits)}
                world.stage.event(anchors[-1], later, type=kind, name=name, **texts)
                await world.touch(*world.stage.owners(anchors[-1]))
        case ("anchor", who):
            await world.assign(str(uuid.uuid4()), world.people[who])
        case ("move", source, target, part):
            if anchors := world.stage.anchors(world.people[source]):
                await world.assign(
                    anchors[0], world.people[target], "" if part is None else world.people[PEOPLE + part]
                )
        case ("merge", source, target):
            for anchor in world.stage.anchors(world.people[source]):
                await world.assign(anchor, world.people[target])
        case ("wait", length):
            world.clock.advance(length)
        case ("define", key, conditions, view):
            await world.segmenter.handle(await world.define(key, conditions, view))
        case ("delete", key) if key in world.conditions:
            await world.segmenter.handle(await world.define(key, None))
        case ("restart",):
            await world.start()


@settings(
    max_examples=15,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(doings(PEOPLE), min_size=1, max_size=12))
@example(
    [("event", 0, NOW - DAY, "track", "", {}, {}), ("move", 0, 1, 2), ("define", "one", {"type": "track"}, LIKELY)]
)
@example([("define", "one", {"type": "track"}, view) for view in (LIKELY, SURE)] + [("move", 0, 0, 1), ("wait", DAY)])
async def test_step_by_step_equals_anew(world: World, happened: list[tuple[Any, ...]]) -> None:
    """After every happening, and with whatever order of late events, merges, splits and restarts: the oracle agrees.

    In either view: some anchors likely belong to somebody, and surely to a person apart.
    """
    await world.reset()
    world.clock.moment = NOW
    for _ in range(PEOPLE):
        world.person()
    world.people += [str(uuid.UUID(int=number + 1)) for number in range(PEOPLE)]  # sure people only
    await world.stage.store()
    await world.segmenter.handle(await world.define("seen", {"type": "track"}))
    await world.segmenter.handle(await world.define("likely_seen", {"type": "track"}, LIKELY))
    lapsed = {"all": [{"type": "track"}, {"not": {"type": "track", "within": "1d"}}]}
    await world.segmenter.handle(await world.define("lapsed", lapsed))
    for doing in happened:
        await do(world, doing)
        await world.settle()
        assert await world.members() == await world.expected(), doing
    world.clock.advance(400 * DAY)
    await world.settle()
    assert await world.members() == await world.expected()

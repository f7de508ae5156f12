"""The segmenter keeps memberships equal to the definitions, whatever happens and whenever it crashes."""

from __future__ import annotations

from cdp.clock import DAY, HOUR, MINUTE
from cdp.records import ProfilesTouched
from cdp.warehouse.rows import SegmentChangeRow, encode_rows
from segments.definitions import SEGMENT
from segments.overview import Overview
from tests.segments.world import World

BUYERS = {"event": "Order Completed"}
ABANDONED = {"all": [{"event": "Product Added", "within": "1h"}, {"not": {"event": "Order Completed", "within": "1h"}}]}
LAPSED = {"all": [{"event": "Order Completed"}, {"not": {"event": "Order Completed", "within": "30d"}}]}


async def test_entry_carries_the_trace_and_the_reason_of_the_touch(world: World) -> None:
    """Who meets a definition when touched enters, once, under the trace of the touch."""
    await world.define("buyers", BUYERS)
    lan = world.person()
    world.bought(lan)
    await world.touch(lan, trace_id="abc")
    await world.touch(lan, trace_id="def")

    [change] = await world.recorded()
    assert (change.segment, change.profile_id, change.change, change.sequence) == ("buyers", lan, "entered", 1)
    assert (change.trace_id, change.reason, change.at) == ("abc", "event", world.clock.now())


async def test_somebody_merged_away_leaves_for_reasons_of_identity(world: World) -> None:
    """A profile without anchors is in no segment; the one that has them now enters."""
    await world.define("buyers", BUYERS)
    lan, hung = world.person(), world.person()
    world.bought(lan)
    await world.touch(lan, hung)
    world.stage.merge(lan, hung)
    await world.touch(lan, hung, reason="identity")

    assert await world.members() == {("buyers", hung)}
    last = (await world.history())[-1]
    exits = [change for change in await world.history() if change.change == "exited"]
    assert [(one.profile_id, one.reason) for one in exits] == [(lan, "identity")], last


async def test_people_leave_a_window_when_it_ends(world: World) -> None:
    """A cart is abandoned for an hour: at its end, and without any event, the person leaves."""
    await world.define("abandoned", ABANDONED)
    lan = world.person()
    world.bought(lan, name="Product Added", ago=10 * MINUTE)
    await world.touch(lan)
    world.clock.advance(50 * MINUTE - 1)
    await world.settle()
    assert await world.members() == {("abandoned", lan)}

    world.clock.advance(1)
    await world.settle()
    assert await world.members() == set()
    change = (await world.history())[-1]
    assert (change.reason, change.sequence, change.at) == ("timer", 2, world.clock.now())
    assert change.trace_id


async def test_people_enter_when_nothing_happened_for_long_enough(world: World) -> None:
    """Not in the last 30 days becomes true without any event."""
    await world.define("lapsed", LAPSED)
    lan = world.person()
    world.bought(lan, ago=29 * DAY)
    await world.touch(lan)
    assert await world.members() == set()

    world.clock.advance(DAY - 1)
    await world.settle()
    assert await world.members() == set()
    world.clock.advance(1)
    await world.settle()
    assert await world.members() == {("lapsed", lan)}


async def test_an_event_of_the_future_counts_from_its_moment_on(world: World) -> None:
    """A clock that runs ahead dates an event tomorrow: it counts tomorrow."""
    await world.define("buyers", BUYERS)
    lan = world.person()
    world.bought(lan, ago=-DAY)
    await world.touch(lan)
    assert await world.members() == set()

    world.clock.advance(DAY)
    await world.settle()
    assert await world.members() == {("buyers", lan)}


async def test_timers_survive_a_restart(world: World) -> None:
    """A timer set by one process rings in the next."""
    await world.define("abandoned", ABANDONED)
    lan = world.person()
    world.bought(lan, name="Product Added")
    await world.touch(lan)
    await world.start()
    world.clock.advance(HOUR)
    await world.settle()

    assert await world.members() == set()


async def test_a_new_definition_is_evaluated_over_everybody(world: World) -> None:
    """Who meets a new definition enters without being touched, under the trace of the definition, in any partition."""
    people = [world.person() for _ in range(20)]
    for one in people[:10]:
        world.bought(one)
    await world.stage.store()
    await world.segmenter.handle(await world.define("buyers", BUYERS))
    await world.settle()

    assert await world.members() == {("buyers", one) for one in people[:10]}
    assert {change.reason for change in await world.history()} == {"definition"}
    assert len({change.trace_id for change in await world.history()}) == 1


async def test_a_definition_counts_though_nobody_has_told(world: World) -> None:
    """The API may crash between the definition and the message about it: a restart finds the difference."""
    lan = world.person()
    world.bought(lan)
    await world.stage.store()
    await world.define("buyers", BUYERS)
    await world.start()
    await world.settle()

    assert await world.members() == {("buyers", lan)}


async def test_a_changed_definition_moves_people(world: World) -> None:
    """Some leave and some enter; a change of the name alone moves nobody and counts nobody again."""
    lan, hung = world.person(), world.person()
    world.bought(lan, 10)
    world.bought(hung, 20)
    await world.stage.store()
    for conditions in (BUYERS, {"event": "Order Completed", "sum": {"of": "total", "at_least": 15}}):
        await world.segmenter.handle(await world.define("vip", conditions))
        await world.settle()
    assert await world.members() == {("vip", hung)}

    body = {"name": "Another name", "conditions": world.conditions["vip"]}
    version = (await world.platform.registry.put(SEGMENT, "vip", body)).version
    news = ProfilesTouched(segment="vip", definition_offset=version)
    await world.segmenter.handle([world.message(number, news) for number in range(world.partitions)])
    assert world.segmenter.figures()["recounts"] == 0


async def test_everybody_leaves_a_deleted_segment(world: World) -> None:
    """Members of a deleted segment leave, and come back with the next number when it is defined again."""
    people = [world.person() for _ in range(10)]
    for one in people:
        world.bought(one)
    await world.stage.store()
    for conditions in (BUYERS, None, BUYERS):
        await world.segmenter.handle(await world.define("buyers", conditions))
        await world.settle()
        assert await world.members() == await world.expected()

    assert {change.sequence for change in await world.history()} == {1, 2, 3}
    assert {change.reason for change in await world.history()} == {"definition"}


async def test_a_touched_member_leaves_a_deleted_segment_at_once(world: World) -> None:
    """A touch after the deletion does not wait for the recount."""
    await world.define("buyers", BUYERS)
    lan = world.person()
    world.bought(lan)
    await world.touch(lan)
    await world.define("buyers", None)
    await world.touch(lan)

    assert [(one.change, one.reason) for one in await world.history()] == [
        ("entered", "event"),
        ("exited", "definition"),
    ]


async def test_an_unreadable_definition_harms_no_other(world: World) -> None:
    """Nobody enters or leaves a segment that cannot be read; the others go on."""
    await world.define("buyers", BUYERS)
    lan = world.person()
    world.bought(lan)
    await world.touch(lan)
    await world.platform.registry.put(SEGMENT, "buyers", {"conditions": {"event": "Order Completed", "color": "red"}})
    await world.define("again", BUYERS)
    await world.touch(lan)
    await world.settle()

    assert await world.members() == {("buyers", lan), ("again", lan)}
    assert world.segmenter.figures()["segments_unreadable"] == 1


async def test_recounts_go_on_after_a_restart_and_let_touches_in(world: World) -> None:
    """A recount works page by page: after a restart in the middle it goes on where it was."""
    platform = world.platform
    small = platform.settings.segments.model_copy(update={"batch_profiles": 2})
    settings = platform.settings.model_copy(update={"segments": small})
    object.__setattr__(platform, "settings", settings)
    people = [world.person() for _ in range(30)]
    for one in people:
        world.bought(one)
    await world.stage.store()
    await world.start()
    await world.segmenter.handle(await world.define("buyers", BUYERS))
    for _ in range(5):
        await world.segmenter.turn()
    half = len(await world.members())
    assert 0 < half < 30
    await world.start()
    await world.touch(people[0])
    await world.settle()

    assert await world.members() == {("buyers", one) for one in people}


async def test_a_lost_state_is_made_again_from_the_history(world: World) -> None:
    """When the state is gone, sequences go on where the warehouse's history ends, and nobody enters twice."""
    await world.define("buyers", BUYERS)
    lan, hung = world.person(), world.person()
    world.bought(lan)
    world.bought(hung)
    await world.touch(lan, hung)
    rows = [
        SegmentChangeRow(one.segment, one.profile_id, one.sequence, one.change, one.at / 1000, one.reason, one.trace_id)
        for one in await world.history()
    ]
    await world.platform.warehouse.insert("segment_changes", SegmentChangeRow.__struct_fields__, encode_rows(rows))
    await world.platform.state.flushall()
    await world.start()
    await world.touch(lan, hung)
    assert len(await world.recorded()) == 2

    world.stage.merge(hung, lan)
    await world.touch(lan, hung, reason="identity")
    assert await world.members() == {("buyers", lan)}
    overview = Overview(world.platform.state, world.platform.settings.state.prefix, world.partitions)
    assert (await overview.members())["buyers"] == 1


async def test_unreadable_messages_are_passed_over(world: World) -> None:
    """A message that is no record, or names no profile, stops nobody."""
    await world.define("buyers", BUYERS)
    lan = world.person()
    world.bought(lan)
    await world.stage.store()
    broken = world.message(0, ProfilesTouched())._replace(value=b"{")
    await world.segmenter.handle([broken, *world.touches(["nobody"]), *world.touches([lan])])

    assert await world.members() == {("buyers", lan)}

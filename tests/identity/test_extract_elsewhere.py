"""What tills, agents and servers say of people who are elsewhere: whom it is said of, and whom it must not reach."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from cdp import clock
from cdp.records import RawBatch
from cdp.state import Outbox
from cdp.testing import START, accepted_event
from identity.cluster import partition
from identity.extract import Extracted, Extractor
from identity.facts import Cause, Facts, Visit
from identity.observations import DAY, SESSION, Anchor, session_anchor
from identity.policy import Policy
from identity.testing import clusters, live, people
from tests.identity.conftest import MakeGraph

EXTRACTOR = Extractor(Policy())
TILL, BROWSER = "till-3", "53a322b7-89c7-40ae-b485-187d61233e4d"
HOTLINE = "028 3829 5828"
SLICE = 30 * clock.MINUTE
PAGE = {"page": {"path": "/"}, "userAgent": "Mozilla/5.0"}


def extract(body: dict[str, Any], at: int = START, extractor: Extractor = EXTRACTOR) -> Extracted:
    """What is extracted of an event that happened, and was received, at a moment."""
    event = accepted_event({"timestamp": clock.to_text(at)} | body)
    found = extractor.extract(event, RawBatch("pos", "t", at, [event]))
    assert isinstance(found, Extracted)
    return found


def sale(at: int = START, device: str = TILL, **traits: Any) -> Extracted:
    """A sale to somebody of whom the till says so much."""
    context = {"ip": "10.1.0.5", "traits": traits}
    return extract({"event": "Order Completed", "anonymousId": device, "context": context}, at)


def facts_of(events: list[Extracted]) -> Facts:
    """What the graph hears of events, as the resolver tells it."""
    facts = Facts()
    for number, event in enumerate(events):
        cause = Cause(f"m-{number}")
        if event.observation is not None:
            facts.observe(event.anchor, event.observation, cause)
        if event.device:
            visit = Visit(event.device, event.period, event.anchor, event.at, event.at, event.observation is None)
            facts.visit(visit, cause)
    return facts


def together(events: list[Extracted], one: Extracted, other: Extracted) -> bool:
    """Whether two of these events are one person's."""
    found = people(facts_of(events), Policy())
    return any({one.anchor, other.anchor} <= group for group in found)


# -- somebody is described who is not identified


def test_who_is_described_at_a_till_is_a_person_of_their_own() -> None:
    """A sale to somebody with a name and no number is not the sale of whoever gave a number at that till just then."""
    named, known = sale(name="Trần Văn Hùng"), sale(START + clock.MINUTE, phone="0905 123 456", name="Lan")
    assert named.observation is not None
    assert named.observation.identifiers == ()
    assert named.observation.attributes["name"] == "trần văn hùng"
    assert named.device == ""
    assert not together([named, known], named, known)


@pytest.mark.parametrize("traits", [{"name": "Khách lẻ"}, {"phone": "0900000000"}, {"name": "Khách lẻ", "phone": "1"}])
def test_nobody_in_particular_is_not_the_customer_before(traits: dict[str, Any]) -> None:
    """Nor is a sale to a walk-in customer, as tills write it."""
    walk_in, known = sale(**traits), sale(phone="0905 123 456", name="Lan")
    assert walk_in.observation is not None
    assert list(walk_in.observation.attributes) == [SESSION]
    assert not together([walk_in, known], walk_in, known)


def test_namesakes_are_never_one_anchor() -> None:
    """Who is described at another till, or in another slice of time, is somebody else until evidence says otherwise."""
    anchors = {sale(at, device, name="Lan").anchor for at in (START, START + SLICE) for device in (TILL, "till-4")}
    assert len(anchors) == 4
    assert sale(name="Lan").anchor == sale(START + clock.MINUTE, name="LAN").anchor


def test_what_says_nothing_of_anybody_stays_with_the_device() -> None:
    """A server that knows no more than the visitor's cookie goes on with that visitor's session."""
    for traits in ({}, {"plan": "pro"}, {"name": "", "phone": None}):
        found = sale(device=BROWSER, **traits)
        assert (found.observation, found.anchor) == (None, session_anchor(found.device, found.period))


def visited(at: int, body: dict[str, Any]) -> Extracted:
    """What a visitor does in a browser."""
    return extract(body | {"anonymousId": BROWSER, "context": PAGE | body.get("context", {})}, at)


@pytest.mark.parametrize(
    "form",
    [
        {"type": "identify", "traits": {"name": "Lan", "birthday": "1990-02-01"}},
        {"type": "track", "event": "Form Submitted", "context": {"traits": {"name": "Lan"}}},
    ],
)
@pytest.mark.parametrize("signs_in", [True, False])
def test_a_visitor_who_types_a_name_keeps_their_history(form: dict[str, Any], signs_in: bool) -> None:
    """Where the person is the device binds, whatever they are called; SDKs repeat the name with every event then."""
    after = {"type": "page", "context": {"traits": {"name": "Lan"}}}
    events = [visited(START, {"type": "page"}), visited(START + clock.MINUTE, form)]
    events += [visited(START + clock.DAY * day, after) for day in (1, 2, 9)]
    if signs_in:
        events.append(visited(START + clock.DAY * 10, {"type": "identify", "userId": "lan"}))
    assert all(together(events, events[0], other) for other in events)


def test_an_app_that_names_no_browser_is_a_device_of_its_person() -> None:
    """SDKs of apps say which device and system it is."""
    context = {"os": {"name": "iOS"}, "traits": {"name": "Lan"}}
    assert extract({"anonymousId": BROWSER, "event": "Opened", "context": context}).observation is None


def test_a_server_may_say_who_uses_a_device() -> None:
    """An identify call speaks of the device's user, wherever it comes from."""
    body = {"type": "identify", "anonymousId": BROWSER, "traits": {"name": "Lan"}}
    assert extract(body).observation is None


# -- a telephone alone


def test_two_nameless_sales_on_two_days_are_two_anchors() -> None:
    """A number that a till gives without a name may be the shop's own: then each day's sales are for themselves."""
    first, second = sale(phone=HOTLINE), sale(START + clock.DAY, phone=HOTLINE)
    assert first.anchor != second.anchor
    assert first.anchor == sale(START + clock.MINUTE, "till-4", phone=HOTLINE).anchor
    assert together([first, second], first, second), "as long as nothing says that it is the shop's"
    others = [sale(START, phone=HOTLINE, name=name) for name in ("An", "Bình", "Hùng", "Lan", "My", "Tú")]
    assert not together([first, second, *others], first, second)


def test_the_day_is_the_events_own() -> None:
    """It is that of the event, in UTC, not of its receipt."""
    found = sale(clock.from_text("2026-11-20T23:59:59Z"), phone=HOTLINE).observation
    assert found is not None
    assert found.attributes == {DAY: "2026-11-20"}


@pytest.mark.parametrize(
    "body",
    [
        {"context": {"traits": {"phone": HOTLINE, "name": "Lan"}}, "anonymousId": TILL},
        {"context": {"traits": {"phone": HOTLINE, "birthday": "1990-02-01"}}, "anonymousId": TILL},
        {"context": {"traits": {"phone": HOTLINE, "email": "lan@example.com"}}, "anonymousId": TILL},
        {"context": {"traits": {"phone": HOTLINE}}, "anonymousId": TILL, "userId": "lan"},
        {"context": {"traits": {"phone": HOTLINE}} | PAGE, "anonymousId": BROWSER},
        {"context": {"traits": {"phone": HOTLINE}} | PAGE | {"traits": {"phone": HOTLINE}}, "anonymousId": BROWSER},
        {"context": {"traits": {"email": "lan@example.com"}}},
        {"type": "identify", "traits": {"phone": HOTLINE}, "anonymousId": TILL},
    ],
)
def test_elsewise_a_repeat_stays_a_repeat(body: dict[str, Any]) -> None:
    """What says more, what the person says where they are, and mail that was opened, is one observation on all days."""
    assert extract(body).anchor == extract(body, START + clock.DAY).anchor


# -- whatever comes, in whatever order

TRAITS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["Lan", "Trần Văn Hùng", "Khách lẻ"]),
        "phone": st.sampled_from([HOTLINE, "0905123456", "0900000000"]),
        "gender": st.sampled_from(["Nữ", "Nam"]),
        "address": st.just({"street": "12 Lê Lợi", "city": "Huế"}),
    },
)
SAID = st.tuples(
    st.integers(0, 3).map(lambda n: START + n * clock.DAY // 2),
    st.sampled_from([TILL, BROWSER]),
    TRAITS,
    st.sampled_from(["track", "identify"]),
    st.sampled_from([{}, PAGE]),
    st.sampled_from(["", "lan"]),
)


def event_of(said: tuple[int, str, dict[str, Any], str, dict[str, Any], str], extractor: Extractor) -> Extracted:
    at, device, traits, kind, context, user = said
    body = {"type": kind, "event": "E", "anonymousId": device, "userId": user, "context": context | {"traits": traits}}
    return extract(body, at, extractor)


@given(SAID)
def test_the_same_event_always_has_the_same_anchor(said: Any) -> None:
    """Whichever process reads it, and whatever that has read before; and the anchor is that of its content."""
    found = event_of(said, EXTRACTOR)
    assert found == event_of(said, Extractor(Policy()))
    if found.observation is None:
        assert found.anchor == session_anchor(found.device, found.period)
    else:
        assert found.anchor == found.observation.anchor


@settings(max_examples=50)
@given(st.lists(SAID, max_size=12), st.randoms(use_true_random=False))
def test_order_and_repetition_make_no_difference(said: list[Any], rng: random.Random) -> None:
    """The same events in another order, some of them twice, give the same people; so does the oracle."""
    events = [event_of(one, EXTRACTOR) for one in said]
    again = events + rng.choices(events, k=3) if events else []
    rng.shuffle(again)
    once, twice = facts_of(events), facts_of(again)
    assert people(once, Policy()) == people(twice, Policy())
    assert _groups(once) == _groups(twice) == clusters(once.observations, Policy())


def _groups(facts: Facts) -> frozenset[frozenset[Anchor]]:
    return frozenset(map(frozenset, partition(facts.observations, Policy()).clusters))


async def test_the_live_graph_knows_who_is_only_described(
    make_graph: MakeGraph, outbox: Outbox, state: Redis, prefix: str
) -> None:
    """An observation that nothing can find lies in the graph by itself, and the people are those of the oracle."""
    at = (START, START + clock.MINUTE, START + clock.DAY)
    events = [sale(one, name=name) for one in at for name in ("Lan", "Khách lẻ")]
    events += [sale(one, phone=HOTLINE) for one in at] + [sale(phone=HOTLINE, name="Lan"), sale()]
    facts = facts_of(events)
    graph = make_graph()
    profiles = await graph.add(facts, outbox)
    assert profiles.keys() == set(facts.anchors())
    assert await live(state, prefix) == people(facts, Policy())

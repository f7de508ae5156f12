"""The live graph: whatever the order, the repetition, the company and the crashes, it holds what the oracle says."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from cdp.records import AnchorAssigned, LinkChanged, ObservationAdded, ProfileChanged, decode_identity
from cdp.state import EmbeddedValkey, Outbox
from identity import ledger, metrics, view
from identity.evidence import OBSERVED, Evidence
from identity.facts import Cause, Facts, Visit
from identity.graph import Graph
from identity.matching.limits import Limits
from identity.matching.linker import Views
from identity.matching.model import assumed_model
from identity.observations import Observation, anchor_of, session_anchor, to_text
from identity.policy import Policy
from identity.rebuild import live_owners
from identity.testing import live, people, sure_people, together, world
from identity.ties import OBSERVATION, Tie, Ties, tie
from tests.identity.conftest import MakeGraph

MODEL = assumed_model(OBSERVED, 30)
FEW = Limits(component=4, bucket=3, representatives=2)
ME = Cause(by="tester", reason="she said so")


def policy_of(rng: random.Random) -> dict[str, Any]:
    """A random policy: small sizes make every guard act."""
    return {
        "limit": rng.choice([2, 3, 5]),
        "observations_per_value": rng.choice([4, 8, 200]),
        "component_limit": rng.choice([3, 6, 15, 2_000]),
        "limits_within": rng.choice([{}, {"phone": 1, "email": 2}]),
        "priorities": rng.choice([(), ("phone", "zalo_id")]),
        "evidence": rng.choice([None, Evidence(MODEL), Evidence(MODEL, limits=FEW)]),
    }


def some_ties(rng: random.Random, facts: Facts) -> list[Tie]:
    """Random decisions about what the facts speak of."""
    found = []
    for _ in range(rng.randrange(6)):
        left, right = rng.sample(sorted(facts.observations), 2)
        ends = [(OBSERVATION, to_text(anchor)) for anchor in (left, right)]
        if rng.random() < 0.3:
            ends = [rng.choice(facts.observations[anchor].identifiers) for anchor in (left, right)]
            found.append(tie("deny", *ends))
        else:
            found.append(tie(rng.choice(["assert", "deny"]), *ends))
    return found


def said(**identifiers: str) -> Facts:
    """The facts of one event; `device` and `name` are what they say, `at` counts half hours."""
    device, name, at = identifiers.pop("device", ""), identifiers.pop("name", ""), int(identifiers.pop("at", "0"))
    values, attributes = tuple(sorted(identifiers.items())), {"name": name} if name else {}
    facts, cause = Facts(), Cause(f"m-{sorted(identifiers.items())}-{at}", "t")
    anchor = anchor_of(values, attributes) if values else session_anchor(device, at)
    if values:
        facts.observe(anchor, Observation(values, attributes, at + 1, "web"), cause)
    if device:
        facts.visit(Visit(device, at, anchor, at * 1_800_000, at + 1, session=not values), cause)
    return facts


async def changes(outbox: Outbox) -> list[Any]:
    """What waits in the outbox, which is emptied."""
    waiting = await outbox.waiting()
    await outbox.drop(waiting)
    return [change for value in waiting for change in decode_identity(ledger.draft(value).value).changes]


# -- against the oracle


@pytest.mark.parametrize("seed", range(60))
async def test_order_batches_and_repetition_make_no_difference(
    seed: int, make_graph: MakeGraph, state: Redis, prefix: str, outbox: Outbox
) -> None:
    """The same facts in random order, in random batches, some of them twice, give the people of the oracle."""
    rng = random.Random(seed)
    policy = policy_of(rng)
    facts = world(seed, rng.choice([5, 15, 40, 80]), users=rng.choice([3, 8, 15]))
    order = facts + rng.sample(facts, len(facts) // 3)
    rng.shuffle(order)
    graph = make_graph(**policy)
    while order:
        size = rng.choice([1, 1, 2, 5, 20])
        await graph.add(together(order[:size]), outbox)
        del order[:size]
    assert await live(state, prefix) == people(together(facts), replace(Policy(), **policy))
    assert await live(state, prefix, sure=True) == sure_people(together(facts), replace(Policy(), **policy))


@pytest.mark.parametrize("seed", range(12))
async def test_the_ledger_tells_both_views(
    seed: int, make_graph: MakeGraph, state: Redis, prefix: str, outbox: Outbox
) -> None:
    """Whose an anchor is by the last assignment on the ledger is whose it is in the state, in each view."""
    rng = random.Random(seed)
    policy = policy_of(rng) | {"evidence": Evidence(MODEL, views=Views(0.5, 0.99))}
    facts = world(seed, 80, users=rng.choice([3, 8]))
    graph = make_graph(**policy)
    for start in range(0, len(facts), 5):
        await graph.add(together(facts[start : start + 5]), outbox)
    for made in some_ties(rng, together(facts)):
        await graph.tie(made, ME, outbox)
    told = [change for change in await changes(outbox) if isinstance(change, AnchorAssigned)]
    last: dict[str, AnchorAssigned] = {}
    for change in told:
        before = last.get(change.anchor_id)
        assert change.previous_id == (before.profile_id if before else "")
        assert change.previous_sure == (before.sure if before else "")
        last[change.anchor_id] = change
    likely, surely = [await live_owners(state, prefix, sure=sure) for sure in (False, True)]
    assert {a: change.profile_id for a, change in last.items()} == {to_text(a): to_text(o) for a, o in likely.items()}
    assert {a: change.sure for a, change in last.items()} == {to_text(a): to_text(o) for a, o in surely.items()}
    assert set(likely.values()) <= set(surely.values())


@pytest.mark.parametrize("seed", range(20))
async def test_how_much_is_read_of_a_device_makes_no_difference(
    seed: int, make_graph: MakeGraph, state: Redis, prefix: str, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Devices read as little as may be, or always whole: the same people under the same ids."""
    rng = random.Random(seed)
    policy = policy_of(rng)
    facts = world(seed, 60, users=rng.choice([2, 3, 8]), hours=rng.choice([3, 6, 24]))
    order = rng.sample(facts, len(facts)) + rng.sample(facts, 10)
    owners = []
    for few in (0, 1_000_000):
        await state.flushall()
        monkeypatch.setattr(view, "FEW", few)
        graph = make_graph(**policy)
        for start in range(0, len(order), 3):
            await graph.add(together(order[start : start + 3]), outbox)
        owners.append(await live_owners(state, prefix))
    assert owners[0] == owners[1]
    assert await live(state, prefix) == people(together(facts), replace(Policy(), **policy))


@pytest.fixture
async def clients(state_server: EmbeddedValkey) -> AsyncIterator[list[Redis]]:
    """Connections of three processes."""
    opened = [Redis(unix_socket_path=str(state_server.socket)) for _ in range(3)]
    yield opened
    for client in opened:
        await client.aclose()


@pytest.mark.parametrize("seed", range(20))
async def test_company_makes_no_difference(
    seed: int, make_graph: MakeGraph, clients: list[Redis], state: Redis, prefix: str, outbox: Outbox
) -> None:
    """Three processes that add facts and decide by hand at once, over the same people, end as the oracle says."""
    rng = random.Random(seed)
    policy = policy_of(rng)
    facts = world(seed, rng.choice([40, 80]), users=rng.choice([3, 8, 15]))
    ties = some_ties(rng, together(facts))
    await asyncio.gather(
        *(
            process(make_graph(client, **policy), Outbox(client, f"{prefix}{n}"), facts[n::3], ties[n::3], seed + n)
            for n, client in enumerate(clients)
        )
    )
    taken_back = [made for made in set(ties) if rng.random() < 0.4]
    for made in taken_back:
        assert await make_graph(**policy).untie(made, ME, outbox)
    remaining = set(ties) - set(taken_back)
    assert await live(state, prefix) == people(together(facts), replace(Policy(), **policy), remaining)
    assert await live(state, prefix, sure=True) == sure_people(together(facts), replace(Policy(), **policy), remaining)


async def process(graph: Graph, outbox: Outbox, facts: Sequence[Facts], ties: Sequence[Tie], seed: int) -> None:
    """One process: its facts in its own order, its decisions in between."""
    rng = random.Random(seed)
    order = list(facts)
    rng.shuffle(order)
    decided = {rng.randrange(len(order)): made for made in ties}
    for number in range(0, len(order), 2):
        await graph.add(together(order[number : number + 2]), outbox)
        for place in (number, number + 1):
            if place in decided:
                await graph.tie(decided.pop(place), ME, outbox)
    for made in ties:
        await graph.tie(made, ME, outbox)


class DyingRedis:
    """A connection whose process dies at a given transaction: before it, or right after it took effect."""

    def __init__(self, client: Redis, after: int, *, effect: bool) -> None:
        self._client = client
        self.left = after
        self._effect = effect

    def pipeline(self, transaction: bool = True) -> Pipeline:
        """A pipeline that may die in `execute`."""
        pipe = self._client.pipeline(transaction=transaction)
        execute = pipe.execute

        async def dying(*arguments: Any, **named: Any) -> Any:
            self.left -= 1
            if self.left > 0:
                return await execute(*arguments, **named)
            if self._effect:
                await execute(*arguments, **named)
            raise KilledError

        pipe.execute = dying  # type: ignore[method-assign]
        return pipe


class KilledError(Exception):
    """The process was killed."""


@pytest.mark.parametrize("effect", [False, True])
@pytest.mark.parametrize("seed", range(10))
async def test_a_killed_process_leaves_no_half_merge(
    seed: int, effect: bool, make_graph: MakeGraph, state: Redis, prefix: str, outbox: Outbox
) -> None:
    """Killed at any transaction and started again with the same facts, the graph ends as the oracle says."""
    facts = world(seed, 40)
    after = 1
    for start in range(0, len(facts), 5):
        batch = together(facts[start : start + 5])
        dying: Any = DyingRedis(state, after, effect=effect)
        with pytest.raises(KilledError):
            await make_graph(dying).add(batch, outbox)
        before = await live(state, prefix)
        done = together(facts[:start]) if not effect else together(facts[: start + 5])
        assert before == people(done, Policy())
        await make_graph().add(batch, outbox)
    assert await live(state, prefix) == people(together(facts), Policy())


# -- what is told


async def test_a_repeat_changes_nothing(make_graph: MakeGraph, outbox: Outbox) -> None:
    """Known facts leave the state and the ledger as they are."""
    graph, facts = make_graph(), said(user_id="lan", email="lan@example.com", device="d1")
    first = await graph.add(facts, outbox)
    assert await changes(outbox)
    assert await graph.add(facts, outbox) == first
    assert await changes(outbox) == []


async def test_a_new_profile_is_called_by_its_first_observation(make_graph: MakeGraph, outbox: Outbox) -> None:
    """A profile's id is its founding anchor's."""
    facts = said(user_id="lan")
    [(anchor, profile)] = (await make_graph().add(facts, outbox)).items()
    assert profile == anchor
    told = await changes(outbox)
    assert {type(change) for change in told} == {ObservationAdded, AnchorAssigned}


async def test_the_older_profile_survives_and_the_ledger_says_why(make_graph: MakeGraph, outbox: Outbox) -> None:
    """Two profiles that turn out to be one keep the older id; the records name the link and the message."""
    graph = make_graph()
    older = next(iter((await graph.add(said(user_id="lan", at="1"), outbox)).values()))
    younger = next(iter((await graph.add(said(phone="p1", at="2"), outbox)).values()))
    await changes(outbox)
    bridge = said(user_id="lan", phone="p1", at="3")
    assert set((await graph.add(bridge, outbox)).values()) == {older}
    told = await changes(outbox)
    merged = next(change for change in told if isinstance(change, ProfileChanged))
    assert (merged.kind, merged.profile_id, merged.other_id) == ("merged", to_text(older), to_text(younger))
    assert merged.reason == "both have the phone p1"
    links = {(change.rule, change.value) for change in told if isinstance(change, LinkChanged)}
    assert links == {("user_id", "lan"), ("phone", "p1")}
    moved = {change.anchor_id: change for change in told if isinstance(change, AnchorAssigned)}
    assert moved[to_text(younger)].previous_id == to_text(younger)
    assert len({change.version for change in told if not isinstance(change, ObservationAdded)}) == 1


async def test_a_value_that_becomes_generic_takes_its_links_back(
    make_graph: MakeGraph, state: Redis, prefix: str, outbox: Outbox
) -> None:
    """The customer of one person too many turns a number into a hotline: who was joined by it is parted."""
    graph = make_graph()
    names = ["lan", "hùng", "bình", "my", "hoa"]
    for name in names:
        await graph.add(said(phone="p1", name=name), outbox)
    assert len(await live(state, prefix)) == 1
    await changes(outbox)
    flips = metrics.GENERIC._value.get()
    await graph.add(said(phone="p1", name="tú"), outbox)
    assert len(await live(state, prefix)) == 6
    told = await changes(outbox)
    assert sum(change.withdrawn for change in told if isinstance(change, LinkChanged)) == 4
    splits = [change for change in told if isinstance(change, ProfileChanged)]
    assert {change.kind for change in splits} == {"split"}
    assert {change.reason for change in splits} == {"no longer believed: both have the phone p1"}
    assert metrics.GENERIC._value.get() == flips + 1


async def test_joined_by_hand_and_taken_back(make_graph: MakeGraph, state: Redis, prefix: str, outbox: Outbox) -> None:
    """A decision makes one person of two; taking it back gives both back, under their ids."""
    graph = make_graph()
    await graph.add(together([said(user_id="lan", at="1"), said(user_id="hung", at="2")]), outbox)
    before = await live(state, prefix)
    ends = [(OBSERVATION, to_text(anchor)) for group in before for anchor in group]
    joining = tie("assert", *ends)
    assert await graph.tie(joining, ME, outbox)
    assert not await graph.tie(joining, ME, outbox)
    assert len(await live(state, prefix)) == 1
    told = await changes(outbox)
    assert [c.reason for c in told if isinstance(c, ProfileChanged)] == ["she said so"]
    assert {c.by for c in told if isinstance(c, LinkChanged)} == {"tester"}
    assert await graph.untie(joining, ME, outbox)
    assert await live(state, prefix) == before
    assert (await graph.ties()).all == Ties().all


async def test_a_denial_of_what_very_many_share_is_taken_back_everywhere(
    make_graph: MakeGraph, state: Redis, prefix: str, outbox: Outbox
) -> None:
    """Of a value that is generic by number not all who say it are kept: the deny's other end leads to everybody."""
    graph = make_graph(component_limit=3)
    many = [said(user_id="u", email=f"{n}@x") for n in range(4)]
    few = [said(email="e", crm_id=f"c{n}") for n in range(6)]
    both = [said(user_id="u", loyalty_card="card"), said(user_id="u", email="e", loyalty_card="card")]
    await graph.add(together([*many, *few, *both]), outbox)
    before = await live(state, prefix)
    parting = tie("deny", ("user_id", "u"), ("email", "e"))
    assert await graph.tie(parting, ME, outbox)
    assert await live(state, prefix) != before
    assert await graph.untie(parting, ME, outbox)
    assert await live(state, prefix) == before


# -- devices


async def test_an_anonymous_history_becomes_the_persons_under_the_same_id(
    make_graph: MakeGraph, state: Redis, prefix: str, outbox: Outbox
) -> None:
    """Who browses anonymously and then signs in keeps the profile id; nothing is merged, only known better."""
    graph = make_graph()
    anonymous = set((await graph.add(said(device="d1", at="1"), outbox)).values())
    await changes(outbox)
    known = set((await graph.add(said(user_id="lan", device="d1", at="9"), outbox)).values())
    assert known == anonymous
    assert len(await live(state, prefix)) == 1
    assert not [change for change in await changes(outbox) if isinstance(change, ProfileChanged)]


async def test_the_person_survives_the_device(make_graph: MakeGraph, outbox: Outbox) -> None:
    """A known person who signs in on a new device absorbs its anonymous profile, however old that is."""
    graph = make_graph()
    await graph.add(said(device="d2", at="1"), outbox)
    person = set((await graph.add(said(user_id="lan", at="5"), outbox)).values())
    await changes(outbox)
    assert set((await graph.add(said(user_id="lan", device="d2", at="9"), outbox)).values()) == person
    told = await changes(outbox)
    [merged] = [change for change in told if isinstance(change, ProfileChanged)]
    assert (merged.kind, merged.reason) == ("merged", "they signed in on the device")


async def test_a_second_user_takes_the_only_users_history_away(
    make_graph: MakeGraph, state: Redis, prefix: str, outbox: Outbox
) -> None:
    """What was the only user's is nobody's once there are two, and theirs again when they turn out to be one."""
    graph = make_graph()
    await graph.add(said(device="d1", at="1"), outbox)
    await graph.add(said(user_id="lan", device="d1", at="9"), outbox)
    await graph.add(said(user_id="hung", device="d1", at="99"), outbox)
    assert sorted(map(len, await live(state, prefix))) == [1, 1, 1]
    told = [change for change in await changes(outbox) if isinstance(change, ProfileChanged)]
    assert [(change.kind, change.reason) for change in told] == [("split", "the device has other users")]
    await graph.add(said(user_id="hung", previous_id="lan", at="100"), outbox)
    assert len(await live(state, prefix)) == 1


async def test_devices_never_join_people(make_graph: MakeGraph, state: Redis, prefix: str, outbox: Outbox) -> None:
    """However often two people use one device, they stay two."""
    graph = make_graph()
    for at in range(20):
        await graph.add(said(user_id=["lan", "hung"][at % 2], device="d1", at=str(at)), outbox)
    assert len(await live(state, prefix)) == 2


async def test_visitors_of_a_kiosk_are_not_one_person(
    make_graph: MakeGraph, state: Redis, prefix: str, outbox: Outbox
) -> None:
    """On a device that a crowd uses each session that nobody closes is a profile of its own."""
    graph = make_graph()
    for number in range(7):
        await graph.add(said(user_id=f"u{number}", device="kiosk", at=str(number * 10)), outbox)
    for number in range(5):
        await graph.add(said(device="kiosk", at=str(1_000 + number * 10)), outbox)
    assert sorted(map(len, await live(state, prefix))) == [1] * 12


async def test_versions_never_go_back(make_graph: MakeGraph, state: Redis, prefix: str, outbox: Outbox) -> None:
    """After the state was lost, versions go on above those that were given before."""
    graph = make_graph()
    await graph.add(said(user_id="lan"), outbox)
    first = max(change.version for change in await changes(outbox) if isinstance(change, AnchorAssigned))
    await state.flushall()
    await make_graph().raise_version(first)
    await make_graph().add(said(user_id="lan"), outbox)
    assert min(change.version for change in await changes(outbox) if isinstance(change, AnchorAssigned)) > first

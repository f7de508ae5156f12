"""Rebuilding: the graph made again from the warehouse's ledger equals the live one, whatever was lost."""

from __future__ import annotations

import random
from typing import Any

import pytest
from redis.asyncio import Redis

from cdp.state import Outbox
from cdp.streams.base import Log, Message
from cdp.testing import START
from cdp.topics import IDENTITY_CHANGES
from cdp.warehouse.base import Warehouse
from cdp.warehouse.loader import Loader
from identity import keys, ledger, rebuild
from identity.facts import Cause
from identity.graph import Graph
from identity.observations import to_text
from identity.policy import Policy
from identity.rebuild import Ledger
from identity.testing import live, together, world
from identity.ties import OBSERVATION, tie
from tests.identity.conftest import MakeGraph

ME = Cause(by="tester")


class Told:
    """A graph whose changes reach the warehouse."""

    def __init__(self, graph: Graph, outbox: Outbox, loader: Loader) -> None:
        self.graph = graph
        self.outbox = outbox
        self._loader = loader
        self._offset = 0

    async def load(self) -> int:
        """Bring what waits in the outbox to the warehouse. Returns how many changes that were."""
        waiting = await self.outbox.waiting()
        drafts = [ledger.draft(value) for value in waiting]
        messages = [
            Message(IDENTITY_CHANGES.name, draft.partition, self._offset + n, START, draft.value, draft.records)
            for n, draft in enumerate(drafts)
        ]
        self._offset += len(messages)
        if messages:
            await self._loader.handle(messages)
        await self.outbox.drop(waiting)
        return sum(draft.records for draft in drafts)

    async def live_through(self, seed: int, events: int = 60) -> None:
        """A random history: facts, decisions, some taken back."""
        rng = random.Random(seed)
        facts = world(seed, events)
        anchors = sorted(together(facts).observations)
        made = []
        for start in range(0, events, 6):
            await self.graph.add(together(facts[start : start + 6]), self.outbox)
            if rng.random() < 0.5:
                ends = [(OBSERVATION, to_text(anchor)) for anchor in rng.sample(anchors, 2)]
                made.append(tie(rng.choice(["assert", "deny"]), *ends))
                await self.graph.tie(made[-1], ME, self.outbox)
            if made and rng.random() < 0.3:
                await self.graph.untie(made.pop(), ME, self.outbox)
            await self.load()


@pytest.fixture
def told(make_graph: MakeGraph, outbox: Outbox, log: Log, warehouse: Warehouse, state: Redis, prefix: str) -> Told:
    """A graph, its outbox and the loader."""
    return Told(make_graph(), outbox, Loader(log, warehouse, state, prefix, pace=0))


async def snapshot(state: Redis, prefix: str) -> dict[str, Any]:
    """Everything that the state holds of the graph, but what depends on how it came about: versions, ages, orders."""
    found: dict[str, Any] = {}
    async for key in state.scan_iter(match=f"{prefix}*"):
        name = key.removeprefix(prefix.encode())
        if name.startswith((b"outbox", b"in", b"itn", b"iq", b"il")):
            continue
        kind = (await state.type(key)).decode()
        if kind == "string":
            value = await state.get(key)
            if name.startswith(b"iv:"):
                value = sorted(keys.anchors(value))
            if name.startswith(b"ip:"):
                record = keys.decode_profile(value)
                value = (record.members, record.links, record.refusals, record.device)
        elif kind == "hash" and name.startswith(b"id:"):
            value = {
                field: sorted(keys.anchors(part)) if field == keys.EVERYONE else keys.decode_slice(part)
                for field, part in (await state.hgetall(key)).items()
            }
        elif kind == "hash":
            value = await state.hgetall(key)
        else:
            value = await state.smembers(key)
        found[name.hex()] = value
    return found


@pytest.mark.parametrize("seed", range(4))
async def test_what_was_lost_is_made_again(
    seed: int, told: Told, warehouse: Warehouse, state: Redis, prefix: str
) -> None:
    """After the state is gone, the ledger gives every key back: people, ids, links, devices, decisions."""
    await told.live_through(seed)
    before = await snapshot(state, prefix)
    await state.flushall()
    known = await rebuild.read_ledger(warehouse)
    assert not rebuild.compare(await rebuild.live_owners(state, prefix), known, Policy()).equal
    await rebuild.apply(told.graph, known, told.outbox)
    assert await snapshot(state, prefix) == before
    assert rebuild.compare(await rebuild.live_owners(state, prefix), known, Policy()).equal


@pytest.mark.parametrize("seed", range(2))
async def test_what_is_whole_stays_as_it_is(
    seed: int, told: Told, warehouse: Warehouse, state: Redis, prefix: str
) -> None:
    """Rebuilding a graph that lost nothing changes nothing, and moves nobody on the ledger."""
    await told.live_through(seed)
    before = await snapshot(state, prefix)
    known = await rebuild.read_ledger(warehouse)
    assert rebuild.compare(await rebuild.live_owners(state, prefix), known, Policy()).equal
    await rebuild.apply(told.graph, known, told.outbox)
    assert await snapshot(state, prefix) == before
    await told.load()
    assert (await rebuild.read_ledger(warehouse)).owners == known.owners


@pytest.mark.parametrize("seed", range(4))
async def test_what_was_damaged_is_mended(
    seed: int, told: Told, warehouse: Warehouse, state: Redis, prefix: str
) -> None:
    """Random keys lost, the rest kept: the graph is whole again, and the comparison says so."""
    await told.live_through(seed)
    before = await live(state, prefix)
    rng = random.Random(seed)
    everything = sorted([key async for key in state.scan_iter(match=f"{prefix}i[ovds]:*")])
    await state.delete(*rng.sample(everything, len(everything) // 3))
    await rebuild.apply(told.graph, await rebuild.read_ledger(warehouse), told.outbox)
    assert await live(state, prefix) == before


async def test_life_goes_on_after_a_rebuild(
    told: Told, warehouse: Warehouse, state: Redis, prefix: str, make_graph: MakeGraph
) -> None:
    """What comes after a rebuild from nothing ends like what comes without one, and its versions are higher."""
    facts = world(7, 80)
    for some in (facts[:50], facts[50:]):
        await told.graph.add(together(some), told.outbox)
        await told.load()
        if some == facts[:50]:
            before = await rebuild.read_ledger(warehouse)
            await state.flushall()
            await rebuild.apply(make_graph(), before, told.outbox)
    known = await rebuild.read_ledger(warehouse)
    assert known.version > before.version
    comparison = rebuild.compare(await rebuild.live_owners(state, prefix), known, Policy())
    assert comparison.equal, comparison


async def test_other_rules_are_applied_by_a_rebuild(
    told: Told, warehouse: Warehouse, state: Redis, prefix: str, make_graph: MakeGraph
) -> None:
    """When limits change, a rebuild resolves everybody anew under them, and the ledger follows."""
    await told.live_through(3, 80)
    told.graph = make_graph(limit=1)
    policy = told.graph.policy
    assert not await make_graph().knows_other_rules()
    assert await told.graph.knows_other_rules()
    known = await rebuild.read_ledger(warehouse)
    assert not rebuild.compare(await rebuild.live_owners(state, prefix), known, policy).equal
    await rebuild.apply(told.graph, known, told.outbox)
    assert not await told.graph.knows_other_rules()
    await told.load()
    known = await rebuild.read_ledger(warehouse)
    comparison = rebuild.compare(await rebuild.live_owners(state, prefix), known, policy)
    assert comparison.equal, comparison


def test_differences_are_told_apart() -> None:
    """An anchor that is missing, elsewhere or unknown, and people who are apart or joined, are counted each."""
    facts = together(world(1, 30))
    known = Ledger()
    known.observations, known.visits = facts.observations, list(facts.visits.values())
    groups = rebuild.everyone(known, Policy())
    known.owners = {anchor: min(group) for group in groups for anchor in group}
    assert rebuild.compare(known.owners, known, Policy()).equal
    [large, other, *_] = sorted(groups, key=len, reverse=True)
    moved = known.owners | {large[0]: b"x" * 16, b"y" * 16: b"y" * 16}
    found = rebuild.compare(moved, known, Policy())
    assert (found.elsewhere, found.apart, found.unknown, found.missing) == (1, 1, 1, 0)
    joined = known.owners | dict.fromkeys(other, known.owners[large[0]])
    assert rebuild.compare(joined, known, Policy()).joined == 1
    assert rebuild.compare({}, known, Policy()).missing == len(known.owners)

"""The learner: enough observations bring a model, and a model everybody whom it makes, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace as replace_struct

from cdp.records import LinkChanged, decode_identity
from cdp.service import Platform
from cdp.state import Outbox
from cdp.topics import IDENTITY_CHANGES
from identity import learner, learnt
from identity.evidence import OBSERVED
from identity.facts import Cause, Facts
from identity.graph import Graph
from identity.learner import FORCE, KEY, KIND, Learner, standing_of
from identity.learnt import Task
from identity.links import EVIDENCE
from identity.matching.model import assumed_model
from identity.observations import Anchor, Observation
from identity.policy import Policy
from identity.testing import live, people
from tests.identity.samples import both, customers, invented

APART = learner.apart


@pytest.fixture
def platform(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """A model comes early, and is learnt in this process: how it is learnt elsewhere has a test of its own."""
    monkeypatch.setattr(learner, "apart", in_this_process)
    monkeypatch.setattr(learner, "REST", 0.0)
    return with_settings(platform, learn_from=500)


def with_settings(platform: Platform, **changes: Any) -> Platform:
    """The same parts under other settings of identity."""
    identity = platform.settings.identity.model_copy(update=changes)
    return replace(platform, settings=platform.settings.model_copy(update={"identity": identity}))


async def in_this_process(task: Task) -> Any:
    """What a task learns."""
    return await asyncio.to_thread(task.work)


def parts(facts: Facts, count: int) -> list[Facts]:
    """The facts in random order, in so many parts."""
    anchors = list(facts.observations)
    random.Random(1).shuffle(anchors)
    found = []
    for start in range(count):
        some = Facts()
        for anchor in anchors[start::count]:
            some.observe(anchor, facts.observations[anchor], facts.causes[anchor])
        found.append(some)
    return found


def graph_of(platform: Platform) -> Graph:
    """A graph of another process."""
    policy = Policy.of(platform.settings.identity)
    return Graph(platform.state, platform.settings.state.prefix, policy, platform.clock, partitions=4)


def outbox_of(platform: Platform) -> Outbox:
    """An outbox of another process."""
    return Outbox(platform.state, f"{platform.settings.state.prefix}outbox:elsewhere")


async def expected(platform: Platform, facts: Facts) -> Any:
    """The people of these facts under the model in force, everything looked at at once."""
    graph = graph_of(platform)
    await graph.ties()
    assert graph.policy.evidence is not None
    return people(facts, graph.policy)


async def test_enough_observations_bring_evidence(platform: Platform) -> None:
    """Below the number nothing happens; at it people are who the model says, told on the ledger with probabilities."""
    prefix, graph, role = platform.settings.state.prefix, graph_of(platform), Learner(platform)
    first, *rest = parts(customers(130), 4)
    await graph.add(first, outbox_of(platform))
    await role.look()
    assert platform.registry.find(KIND, KEY) is None
    for some in rest:
        await graph.add(some, outbox_of(platform))
    before = await live(platform.state, prefix)
    await role.look()
    after = await live(platform.state, prefix)
    assert after == await expected(platform, customers(130)) != before
    standing = await standing_of(graph, platform)
    assert standing.model is not None and standing.made
    assert (standing.observations, standing.due_at) == (520, 1_560)
    reader = await platform.log.reader([IDENTITY_CHANGES], start="earliest")
    messages = await reader.read(limit=10_000, timeout=1)
    await reader.close()
    told = [change for message in messages for change in decode_identity(message.value).changes]
    weighed = [change for change in told if isinstance(change, LinkChanged) and change.rule == EVIDENCE]
    assert weighed and all(0.5 <= change.probability <= 1 and change.model == 1 for change in weighed)
    assert any("the same" in change.value for change in weighed)


async def test_nothing_is_done_twice(platform: Platform) -> None:
    """Once everybody is made by the model, another look changes nothing."""
    await graph_of(platform).add(customers(125), outbox_of(platform))
    role = Learner(platform)
    await role.look()
    entry = platform.registry.get(KIND, KEY)
    before = await platform.log.end_offsets(IDENTITY_CHANGES)
    await role.look()
    await Learner(platform).look()
    assert await platform.log.end_offsets(IDENTITY_CHANGES) == before
    assert platform.registry.get(KIND, KEY) == entry


async def test_a_new_model_on_demand(platform: Platform) -> None:
    """Whoever asks gets a model of all that there is now, the second version of the first."""
    role, graph = Learner(platform), graph_of(platform)
    await graph.add(customers(125), outbox_of(platform))
    await role.look()
    await graph.add(customers(60, seed=8), outbox_of(platform))
    await role.look()
    assert platform.registry.get(KIND, KEY).body["version"] == 1
    await platform.state.set(graph.where.asked, b"1")
    await role.look()
    assert platform.registry.get(KIND, KEY).body["version"] == 2
    facts = both(customers(125), customers(60, seed=8))
    assert await live(platform.state, platform.settings.state.prefix) == await expected(platform, facts)


async def test_a_model_of_another_release_is_learnt_anew(platform: Platform) -> None:
    """Where names compare in fewer ways than they do now, rules make people until another model is learnt, at once."""
    graph, role, old = graph_of(platform), Learner(platform), assumed_model(OBSERVED, 500)
    match = replace(old.match, levels=tuple(levels[1:] for levels in old.match.levels))
    await graph.adopt(replace(old, match=match, version=1, records=500), 1)
    await graph.add(customers(125), outbox_of(platform))
    assert graph.model_number == 1 and graph.policy.evidence is None
    await platform.registry.put(KIND, KEY, msgspec.to_builtins(replace(old, version=1)), by="learner")
    await role.look()
    await graph.ties()
    assert graph.model_number == 2 and graph.policy.evidence is not None
    assert await live(platform.state, platform.settings.state.prefix) == await expected(platform, customers(125))


async def test_what_a_model_did_is_told(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """The definition says what the model made of people, and so does its standing; nothing was refused."""
    monkeypatch.setattr(learner, "FEWEST", 120)
    graph, role = graph_of(platform), Learner(platform)
    await graph.add(customers(30), outbox_of(platform))
    await platform.state.set(graph.where.asked, b"1")
    await role.look()
    standing = await standing_of(graph, platform)
    assert standing.adopted is not None and standing.refused is None
    found = standing.adopted.judgement
    assert (found.version, found.observations, found.sample, found.reasons) == (1, 120, 120, ())
    assert found.after == len(people(customers(30), graph.policy))
    assert found.before == len(people(customers(30), Policy()))
    assert role.health().figures["refused"] == 0
    assert role.health().detail == ""


async def test_no_model_of_people_is_refused(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is published and nobody changes; it is told why, and not tried again until there are many more."""
    prefix, graph, role = platform.settings.state.prefix, graph_of(platform), Learner(platform)
    facts = invented(500)
    tried = counted(monkeypatch)
    monkeypatch.setattr(learnt, "AGAIN", 1.2)
    await graph.add(facts, outbox_of(platform))
    before = await live(platform.state, prefix)
    await role.look()
    await Learner(platform).look()
    assert tried == [500]
    assert platform.registry.find(KIND, KEY) is None
    assert await live(platform.state, prefix) == before == people(facts, Policy())
    standing = await standing_of(graph, platform)
    assert standing.model is None and standing.adopted is None and standing.refused is not None
    assert standing.refused.judgement.reasons
    assert (standing.observations, standing.due_at) == (500, 600)
    assert role.health().ok and standing.refused.judgement.reasons[0] in role.health().detail
    assert role.health().figures["refused"] == 1
    await graph.add(customers(30), outbox_of(platform))
    await role.look()
    assert tried == [500, 620]
    assert platform.registry.find(KIND, KEY) is not None
    standing = await standing_of(graph, platform)
    assert standing.refused is None and standing.adopted is not None


async def test_the_model_in_force_stays(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the next is refused people are made by the model from before, until somebody insists."""
    monkeypatch.setattr(learner, "FEWEST", 120)
    prefix, graph, role = platform.settings.state.prefix, graph_of(platform), Learner(platform)
    await graph.add(customers(30), outbox_of(platform))
    await platform.state.set(graph.where.asked, b"1")
    await role.look()
    entry = platform.registry.get(KIND, KEY)

    async def doubted(task: Task) -> Any:
        found = await in_this_process(task)
        return replace_struct(found, judgement=replace_struct(found.judgement, reasons=("it is odd",)))

    monkeypatch.setattr(learner, "apart", doubted)
    await platform.state.set(graph.where.asked, b"1")
    await role.look()
    standing = await standing_of(graph, platform)
    assert platform.registry.get(KIND, KEY) == entry
    assert standing.adopted is not None and standing.adopted.judgement.version == 1
    assert standing.refused is not None and standing.refused.judgement.version == 2
    assert not await platform.state.exists(graph.where.asked)
    assert standing.due_at == 360
    assert await live(platform.state, prefix) == await expected(platform, customers(30))
    # Whoever knows better has it used; then nothing is refused any more.
    await platform.state.set(graph.where.asked, FORCE)
    await role.look()
    standing = await standing_of(graph, platform)
    assert platform.registry.get(KIND, KEY).body["version"] == 2
    assert standing.refused is None and standing.adopted is not None and standing.adopted.judgement.reasons
    assert await live(platform.state, prefix) == await expected(platform, customers(30))


async def test_what_cannot_be_used_is_refused_by_force_as_well(platform: Platform) -> None:
    """Where nothing can be learnt there is nothing to use, and it is not tried again and again."""
    facts = Facts()
    for number in range(500):
        one = Observation((("phone", f"+8490{number * 104729 % 10**7:07d}"),))
        facts.observe(one.anchor, one, Cause("m", "t"))
    graph, role = graph_of(platform), Learner(platform)
    await graph.add(facts, outbox_of(platform))
    await platform.state.set(graph.where.asked, FORCE)
    await role.look()
    standing = await standing_of(graph, platform)
    assert standing.model is None and standing.refused is not None
    assert not await role._has_work()


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many observations each attempt learns from, from now on."""
    tried: list[int] = []

    async def apart(task: Task) -> Any:
        tried.append(len(task.observations))
        return await in_this_process(task)

    monkeypatch.setattr(learner, "apart", apart)
    return tried


@pytest.mark.parametrize("chunks", [0, 5])
async def test_a_killed_learner_is_begun_anew(chunks: int, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while everybody is looked at again, the next look finishes that: the people are those of the model."""
    facts, left = customers(125), chunks
    await graph_of(platform).add(facts, outbox_of(platform))
    reconsider = Graph.reconsider

    async def dying(graph: Graph, anchors: list[Anchor], *rest: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise asyncio.CancelledError
        await reconsider(graph, anchors, *rest)

    monkeypatch.setattr(Graph, "reconsider", dying)
    with pytest.raises(asyncio.CancelledError):
        await Learner(platform).look()
    monkeypatch.setattr(Graph, "reconsider", reconsider)
    await Learner(platform).look()
    assert await live(platform.state, platform.settings.state.prefix) == await expected(platform, facts)


async def test_events_flow_meanwhile(platform: Platform) -> None:
    """What two processes add while a model is learnt and everybody looked at again is made by it as well."""
    facts = customers(165)
    first, *rest = parts(facts, 40)
    for some in rest[:32]:
        await graph_of(platform).add(some, outbox_of(platform))

    async def flow(some: list[Facts]) -> None:
        graph = graph_of(platform)
        for one in some:
            await graph.add(one, outbox_of(platform))
            await asyncio.sleep(0.02)

    roles = [Learner(platform), Learner(platform)]
    await asyncio.gather(*(role.look() for role in roles), flow([first, *rest[32:36]]), flow(rest[36:]))
    assert await live(platform.state, platform.settings.state.prefix) == await expected(platform, facts)


async def test_a_lost_state_gets_its_model_back(platform: Platform) -> None:
    """The model outlives the state: it lies on the log, and the next look brings it back."""
    facts, prefix = customers(125), platform.settings.state.prefix
    graph, role = graph_of(platform), Learner(platform)
    await graph.add(facts, outbox_of(platform))
    await role.look()
    before = await live(platform.state, prefix)
    number = platform.registry.get(KIND, KEY).version
    await platform.state.flushall()
    await graph_of(platform).add(facts, outbox_of(platform))
    role = Learner(platform)
    await role.look()
    assert platform.registry.get(KIND, KEY).version == number
    assert await live(platform.state, prefix) == before


async def test_by_rules_if_so_set(platform: Platform) -> None:
    """Without evidence nothing is learnt, and a model that others learnt is not used."""
    facts, prefix = customers(125), platform.settings.state.prefix
    await graph_of(platform).add(facts, outbox_of(platform))
    await Learner(with_settings(platform, evidence=False)).look()
    assert platform.registry.find(KIND, KEY) is None
    assert await live(platform.state, prefix) == people(facts, Policy())


async def test_a_child_process_learns_the_same() -> None:
    """What is learnt in a child process is what is learnt here."""
    task = Task("{}", None, [], list(customers(125).observations.items()))
    found = task.work()
    assert found.model is not None
    assert await APART(task) == found

"""The learner: enough observations bring a model, and a model everybody whom it makes, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest

from cdp.records import LinkChanged, decode_identity
from cdp.service import Platform
from cdp.state import Outbox
from cdp.topics import IDENTITY_CHANGES
from identity import learner
from identity.facts import Cause, Facts
from identity.graph import Graph
from identity.learner import KEY, KIND, Learner, standing_of
from identity.links import EVIDENCE
from identity.observations import Anchor, Observation
from identity.policy import Policy
from identity.testing import live, people

APART = learner.apart
WORDS = (
    ["nguyễn", "trần", "lê", "phạm"],
    ["văn", "thị", "minh", "ngọc", "thu"],
    ["lan", "hùng", "tú", "hoa", "my", "dũng", "khánh", "trang", "long", "phúc"],
)


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


async def in_this_process(task: learner.Task) -> Any:
    """The model of a task."""
    return await asyncio.to_thread(task.work)


def customers(count: int, seed: int = 7) -> Facts:
    """Three observations each of people of whom some share a number, and whose names are written in two ways."""
    rng, facts = random.Random(seed), Facts()
    for number in range(count):
        name = " ".join(rng.choice(some) for some in WORDS)
        phone = ("phone", f"+8490{number - (rng.random() < 0.1):07d}")
        mailbox = ("email", f"p{number}@x.vn")
        born = f"19{rng.randrange(60, 99)}-0{rng.randrange(1, 9)}-1{rng.randrange(9)}"
        for identifiers, attributes in (
            ((phone,), {"name": name}),
            ((mailbox, phone), {"name": name.split()[-1], "birthday": born}),
            ((mailbox,), {"name": " ".join(reversed(name.split())), "birthday": born}),
            ((("user_id", f"u{number}"),), {"name": name, "birthday": born}),
        ):
            observation = Observation(identifiers, attributes, number + 1, "web")
            facts.observe(observation.anchor, observation, Cause(f"m-{number}", "t"))
    return facts


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
    standing = await standing_of(graph, 500)
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
    both = customers(125)
    for anchor, observation in customers(60, seed=8).observations.items():
        both.observe(anchor, observation, Cause())
    assert await live(platform.state, platform.settings.state.prefix) == await expected(platform, both)


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
    task = learner.Task("{}", None, [], list(customers(125).observations.items()))
    found = task.work()
    assert found is not None
    assert await APART(task) == found

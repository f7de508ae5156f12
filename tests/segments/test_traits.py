"""A trait has one value: conditions of segments and the profile read it under the same rule, and agree."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cdp import profiles
from cdp.testing import comparable
from cdp.traits import TRAIT, Rule, RuleName, Rules
from cdp.warehouse.base import Warehouse
from segments.parse import parse
from segments.testing import Stage
from tests.segments.strategies import NOW
from tests.segments.test_compile import answers
from tests.segments.world import World

# To shrink through a warehouse takes minutes; the failing example says enough.
NO_SHRINK = (Phase.explicit, Phase.reuse, Phase.generate)
NAMES = ("city", "plan")
VALUES = ("Huế", "Vinh", 5, True)
SOURCES = ("web", "pos", "crm")
CONDITIONS = [
    (name, value, parse({"trait": name, "is": "equals", "value": value})) for name in NAMES for value in VALUES
]

stated = st.tuples(
    st.integers(0, 2),  # the anchor
    st.integers(0, 2),  # the moment
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from([*VALUES, None]), min_size=1),
    st.sampled_from(SOURCES),
    st.booleans(),
)
ruled = st.fixed_dictionaries(
    {
        name: st.builds(
            Rule, st.sampled_from(get_args(RuleName)), st.lists(st.sampled_from(SOURCES), unique=True).map(tuple)
        )
        for name in NAMES
    }
)


def tell(stage: Stage, profile_id: str, statements: list[Any]) -> None:
    """All of that is said of a person."""
    anchors = stage.anchors(profile_id)
    for anchor, at, traits, source, verified in statements:
        text = json.dumps(traits)
        stage.event(anchors[anchor], NOW + at, type="identify", traits=text, source=source, verified=verified)


@settings(max_examples=20, phases=NO_SHRINK, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(stated, max_size=8), min_size=1, max_size=12), ruled)
async def test_conditions_and_profiles_agree(warehouse: Warehouse, lives: list[list[Any]], rules: Rules) -> None:
    """Under any rules, whatever was said by whom in what order: the oracle, the profile and the query say one thing."""
    stage = Stage(warehouse)
    people = [stage.person(anchors=3) for _ in lives]
    for profile_id, statements in zip(people, lives, strict=True):
        tell(stage, profile_id, statements)
    await stage.store()
    histories = await stage.histories(people, rules)
    known = await profiles.read(warehouse, people, rules)
    held = await answers(warehouse, [node for *_, node in CONDITIONS], people, NOW, rules)

    for profile_id in people:
        history = histories[profile_id]
        assert history is not None
        for (name, value, _), holds in zip(CONDITIONS, held[profile_id][0], strict=True):
            meant = comparable(history.traits.get(name))
            assert comparable(known[profile_id].traits.get(name)) == meant
            assert holds == (comparable(value) == meant)


@pytest.mark.parametrize(("rule", "city"), [("most_frequent", "Huế"), ("most_recent", "Hà Nội")])
async def test_who_is_in_changes_with_the_rule(world: World, rule: RuleName, city: str) -> None:
    """A rule that is set or taken back has those segments recounted that ask for the trait, at once."""
    lan = world.person()
    said = [("Huế", True), ("Huế", True), ("Vinh", True), ("Hà Nội", False)]
    tell(world.stage, lan, [(0, at, {"city": where}, "web", proven) for at, (where, proven) in enumerate(said)])
    await world.touch(lan)
    await world.segmenter.handle(await world.define("there", {"trait": "city", "is": "equals", "value": city}))
    await world.settle()
    assert await world.members() == set()

    await world.platform.registry.put(TRAIT, "colour", {"rule": rule})
    assert not await world.segmenter.turn(), "nobody asks for that"
    await world.platform.registry.put(TRAIT, "city", {"rule": rule})
    await world.settle()
    assert await world.members() == {("there", lan)}
    await world.platform.registry.delete(TRAIT, "city")
    await world.settle()
    assert await world.members() == set()
    assert [change.reason for change in await world.history()] == ["definition", "definition"]

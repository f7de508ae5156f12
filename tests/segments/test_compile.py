"""The compiled SQL answers as the plain meaning does, computes shared things once, and is never shaped by its input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cdp.traits import Rule, RuleName, Rules
from cdp.warehouse.base import Warehouse
from segments.compile import NEVER, compile_nodes, compile_preview
from segments.evaluate import holds, next_change
from segments.nodes import Node, walk
from segments.operators import OPERATORS
from segments.parse import ROOT, parse
from segments.schema import EXAMPLES, VIP
from segments.testing import NO_RULES, Stage
from tests.segments.strategies import NOW, definitions, live, lives, moments, rules

# A value of each kind that operators accept.
SAID: dict[str, Any] = {
    "a text": "Lan",
    "a number": 5,
    "a text, a number, true or false": "VN",
    "a list of texts, numbers, true and false": ["VN", 5, True],
    "a list of two numbers, the smaller first": [1, 2],
    "a date or time (ISO 8601)": "2026-11-21",
}

database = settings(
    max_examples=60,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


async def answers(
    warehouse: Warehouse, nodes: list[Node], profile_ids: list[str], now: int, rules: Rules = NO_RULES
) -> dict[str, tuple[list[bool], int | None]]:
    """What the query says of each profile: its answers, and when time may change them."""
    plan = compile_nodes(nodes, rules)
    rows = await warehouse.rows(plan.sql, {**plan.parameters, "profiles": profile_ids, "now": now}, limited=True)
    return {
        str(profile_id): ([bool(one) for one in held], due if 0 < due < NEVER else None)
        for profile_id, held, due in rows
    }


async def assert_same(
    stage: Stage,
    warehouse: Warehouse,
    nodes: list[Node],
    profile_ids: list[str],
    now: int = NOW,
    rules: Rules = NO_RULES,
) -> None:
    """The query says of each profile what the oracle says."""
    found = await answers(warehouse, nodes, profile_ids, now, rules)
    for profile_id, history in (await stage.histories(profile_ids, rules)).items():
        if history is None:
            assert profile_id not in found
        else:
            expected = [holds(node, history, now) for node in nodes]
            assert (expected, next_change(nodes, history, now)) == found[profile_id]


@database
@given(
    st.lists(definitions, min_size=1, max_size=12),
    st.lists(lives(), min_size=1, max_size=8),
    st.just(NOW) | moments,
    rules,
)
async def test_sql_says_what_python_says(
    warehouse: Warehouse, asked: list[Any], lived: list[Any], now: int, ruled: Rules
) -> None:
    """Random definitions over random lives, under random rules of traits: compiled and evaluated, answers are equal."""
    stage = Stage(warehouse)
    profile_ids = [live(stage, life) for life in lived]
    await stage.store()

    await assert_same(stage, warehouse, [parse(definition) for definition in asked], profile_ids, now, ruled)


async def test_anchors_that_moved_take_their_history_with_them(warehouse: Warehouse) -> None:
    """A merge gives one profile both histories and leaves the other none; a split gives each its own again."""
    stage = Stage(warehouse)
    nodes = [parse({"event": "Order Completed", "count": {"exactly": count}}) for count in (1, 2)]
    lan, hung = stage.person(), stage.person()
    [first], [second] = stage.anchors(lan), stage.anchors(hung)
    for anchor in (first, second):
        stage.event(anchor, NOW, name="Order Completed")
    for owner in (lan, hung, lan):
        stage.assign(first, owner)
        await stage.store()
        await assert_same(stage, warehouse, nodes, [lan, hung])


async def test_the_latest_trait_counts_before_and_after_the_warehouse_has_merged_its_parts(
    warehouse: Warehouse,
) -> None:
    """Values of the same moment are told apart in one fixed way, on one anchor or on several."""
    stage = Stage(warehouse)
    nodes = [parse({"trait": "city", "is": "equals", "value": city}) for city in ("Huế", "Hà Nội", "Đà Nẵng")]
    people = [stage.person(anchors=2) for _ in range(8)]
    for profile_id in people:
        one, other = stage.anchors(profile_id)
        for anchor, city in ((one, "Huế"), (one, "Hà Nội"), (other, "Đà Nẵng")):
            stage.event(anchor, NOW, type="identify", traits=f'{{"city": "{city}"}}')
            await stage.store()
    before = await answers(warehouse, nodes, people, NOW)
    await assert_same(stage, warehouse, nodes, people)
    await warehouse.command("OPTIMIZE TABLE trait_values FINAL")

    assert await answers(warehouse, nodes, people, NOW) == before


def test_what_two_segments_need_is_computed_once() -> None:
    """Equal figures, windows, properties and tests are one column each, however many segments use them."""
    order = {
        "event": "Order Completed",
        "within": "30d",
        "where": [{"property": "total", "is": "at_least", "value": 5}],
    }
    one = compile_nodes([parse(order)]).sql
    many = compile_nodes([parse({**order, "count": {"at_least": count}}) for count in range(1, 50)]).sql

    assert many.count("countIf") == one.count("countIf") == 1
    assert many.count("JSONExtractRaw(properties") == 1


GOLDEN: dict[str, list[Any]] = {
    **{key: [example["conditions"]] for key, example in EXAMPLES.items()},
    "all_examples_in_one_pass": [example["conditions"] for example in EXAMPLES.values()],
    "only_traits": [{"trait": "country", "is": "equals", "value": "VN"}],
    "only_windows": [{"event": "A", "within": "1h"}, {"event": "A", "within": "1d"}, {"type": "page", "within": "1w"}],
    "list_places": [{"type": "track", "where": [{"property": "products.0.sku", "is": "equals", "value": "x"}]}],
    **{
        f"operator_{name}": [
            {"trait": "it", "is": name} | ({"value": SAID[row.accepts.words]} if row.accepts.schema else {})
        ]
        for name, row in OPERATORS.items()
    },
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name: str, golden: Callable[[str, str], None]) -> None:
    """The SQL is the one that was read and found good (GOLDEN=write writes it anew)."""
    golden(f"{name}.sql", compile_nodes([parse(one) for one in GOLDEN[name]], pretty=True).sql)


@pytest.mark.parametrize("rule", get_args(RuleName))
def test_golden_of_a_rule(rule: RuleName, golden: Callable[[str, str], None]) -> None:
    """Each rule about which of a trait's values counts has a query that was read and found good."""
    nodes = [parse({"trait": "city", "is": "equals", "value": "Huế"}), parse({"trait": "age", "is": "is_set"})]
    rules = {"city": Rule(rule, ("crm", "pos") if rule == "source_priority" else ())}
    golden(f"rule_{rule}.sql", compile_nodes(nodes, rules, pretty=True).sql)


def test_golden_of_a_preview(golden: Callable[[str, str], None]) -> None:
    """A preview asks about everyone, and about each part."""
    golden("preview.sql", compile_preview([node for _, node in walk(parse(VIP["conditions"]), ROOT)], pretty=True).sql)

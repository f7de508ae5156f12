"""The compiled SQL answers as the plain meaning does, computes shared things once, and is never shaped by its input."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdp.warehouse.base import Warehouse
from segments.compile import NEVER, compile_nodes
from segments.evaluate import holds, next_change
from segments.nodes import Node
from segments.parse import parse
from segments.testing import Stage
from tests.segments.strategies import NOW, definitions, live, lives, moments

database = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


async def answers(
    warehouse: Warehouse, nodes: list[Node], profile_ids: list[str], now: int
) -> dict[str, tuple[list[bool], int | None]]:
    """What the query says of each profile: its answers, and when time may change them."""
    plan = compile_nodes(nodes)
    rows = await warehouse.rows(plan.sql, {**plan.parameters, "profiles": profile_ids, "now": now}, limited=True)
    return {
        str(profile_id): ([bool(one) for one in held], due if 0 < due < NEVER else None)
        for profile_id, held, due in rows
    }


async def assert_same(
    stage: Stage, warehouse: Warehouse, nodes: list[Node], profile_ids: list[str], now: int = NOW
) -> None:
    """The query says of each profile what the oracle says."""
    found = await answers(warehouse, nodes, profile_ids, now)
    for profile_id, history in (await stage.histories(profile_ids)).items():
        if history is None:
            assert profile_id not in found
        else:
            expected = [holds(node, history, now) for node in nodes]
            assert (expected, next_change(nodes, history, now)) == found[profile_id]


@database
@given(
    st.lists(definitions, min_size=1, max_size=12), st.lists(lives(), min_size=1, max_size=8), st.just(NOW) | moments
)
async def test_sql_says_what_python_says(warehouse: Warehouse, asked: list[Any], lived: list[Any], now: int) -> None:
    """Random definitions over random lives: compiled and evaluated, all answers are equal."""
    stage = Stage(warehouse)
    profile_ids = [live(stage, life) for life in lived]
    await stage.store()

    await assert_same(stage, warehouse, [parse(definition) for definition in asked], profile_ids, now)

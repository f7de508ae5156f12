"""A sweep answers for any number of segments and profiles, on chdb and through HTTP, with queries that servers take."""

from __future__ import annotations

from typing import Any

import pytest

from cdp.errors import PermanentError
from cdp.settings import Settings
from cdp.warehouse.base import Warehouse
from segments.compile import compile_nodes
from segments.definitions import Segment, fingerprint
from segments.parse import parse
from segments.schema import EXAMPLES
from segments.sweep import PROFILES_PER_QUERY, Standing, Sweep, plan
from segments.testing import Stage
from tests.clickhouse_http import ClickHouseServer
from tests.segments.strategies import NOW
from tests.segments.test_compile import assert_same


def segment(key: str, conditions: Any) -> Segment:
    """A segment."""
    return Segment(key, parse(conditions), fingerprint(conditions))


def wide(number: int) -> Any:
    """Conditions that nothing is shared among, each longer in SQL than in JSON."""
    path = [str(number), *"000000000"]
    return {"event": f"E{number}", "where": [{"property": path, "is": "one_of", "value": ["x", 1, True]}]}


async def test_many_segments_are_asked_in_several_queries(warehouse: Warehouse) -> None:
    """However many segments there are, each query is one that a server takes, and all get their answer."""
    stage = Stage(warehouse)
    lan = stage.person()
    for number in (3, 119):
        stage.event(stage.anchors(lan)[0], NOW, name=f"E{number}", properties='{"a": 1}')
    await stage.store()
    segments = {f"s{number}": segment(f"s{number}", {"event": f"E{number}"}) for number in range(120)}
    segments |= {f"w{number}": segment(f"w{number}", wide(number)) for number in range(60)}
    assert not plan(tuple(segments.values())).fits

    assert await Sweep(warehouse).standings(segments, [lan], NOW) == {lan: Standing(frozenset({"s3", "s119"}), None)}


async def test_a_refused_query_is_asked_in_halves(warehouse: Warehouse) -> None:
    """When the warehouse refuses what is too much at once, it is asked for less, and for less right away next time."""
    stage = Stage(warehouse)
    lan = stage.person()
    stage.event(stage.anchors(lan)[0], NOW, name="E5")
    await stage.store()
    picky = Picky(warehouse, most=3)
    sweep = Sweep(picky)  # type: ignore[arg-type]
    segments = {f"s{number}": segment(f"s{number}", {"event": f"E{number}"}) for number in range(8)}

    assert await sweep.standings(segments, [lan], NOW) == {lan: Standing(frozenset({"s5"}), None)}
    refused, picky.refused = picky.refused, 0
    assert (refused, await sweep.standings(segments, [lan], NOW)) == (3, {lan: Standing(frozenset({"s5"}), None)})
    assert picky.refused == 0
    with pytest.raises(PermanentError):
        await Sweep(Picky(warehouse, most=0)).standings(segments, [lan], NOW)  # type: ignore[arg-type]


class Picky:
    """A warehouse that refuses queries about more than so many figures."""

    def __init__(self, warehouse: Warehouse, *, most: int) -> None:
        self._warehouse = warehouse
        self._most = most
        self.refused = 0

    async def rows(self, sql: str, parameters: Any, *, limited: bool) -> Any:
        """Refuse, or ask."""
        if sql.count("countIf") > self._most:
            self.refused += 1
            raise PermanentError("too much")
        return await self._warehouse.rows(sql, parameters, limited=limited)


async def test_many_profiles_are_asked_in_several_queries(warehouse: Warehouse) -> None:
    """More profiles than fit one query are all answered for."""
    stage = Stage(warehouse)
    people = [stage.person() for _ in range(PROFILES_PER_QUERY + 10)]
    for one in people[::100]:
        stage.event(stage.anchors(one)[0], NOW - 1, name="Order Completed")
    await stage.store()
    found = await Sweep(warehouse).standings(
        {"lapsed": segment("lapsed", EXAMPLES["lapsed"]["conditions"])}, people, NOW
    )

    assert found.keys() == set(people)
    assert {one for one, standing in found.items() if standing.due is not None} == set(people[::100])


async def test_nobody_stands_anywhere_without_segments(warehouse: Warehouse) -> None:
    """No segments, no query, no timers."""
    assert await Sweep(warehouse).standings({}, ["x"], NOW) == {"x": Standing(frozenset(), None)}


def test_the_largest_definition_fits_or_is_told_apart() -> None:
    """What one query cannot hold says so, before it is stored."""
    assert all(compile_nodes([parse(example["conditions"])]).fits for example in EXAMPLES.values())
    assert compile_nodes([parse({"all": [wide(number) for number in range(20)]})]).fits
    traits = [{"trait": [str(n), *"000000000"], "is": "one_of", "value": ["x", 1, True]} for n in range(90)]
    assert not compile_nodes([parse({"all": traits})]).fits


@pytest.fixture
async def server(settings: Settings, clickhouse_server: ClickHouseServer) -> Any:
    """A warehouse through HTTP."""
    dsn = clickhouse_server.dsn(settings.warehouse.database)
    opened = Warehouse(settings.model_copy(update={"warehouse": settings.warehouse.model_copy(update={"dsn": dsn})}))
    await opened.open()
    yield opened
    await opened.close()


async def test_a_server_answers_alike(server: Warehouse) -> None:
    """Through HTTP, with as many profiles as one query has, the answers are the oracle's."""
    stage = Stage(server)
    people = [stage.person() for _ in range(PROFILES_PER_QUERY)]
    for number, one in enumerate(people[:50]):
        traits = f'{{"address": {{"city": "Sài Gòn"}}, "n": {number}}}'
        stage.event(
            stage.anchors(one)[0], NOW - number, name="Order Completed", properties='{"total": 9e6}', traits=traits
        )
    await stage.store()

    await assert_same(stage, server, [parse(example["conditions"]) for example in EXAMPLES.values()], people)

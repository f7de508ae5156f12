"""A sweep: which of these profiles are in which segments at this moment, asked of the warehouse in one pass."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from cdp.warehouse.base import Warehouse
from segments.compile import NEVER, Plan, compile_nodes
from segments.definitions import Segment
from segments.nodes import conditions

# ClickHouse takes parameters of up to 128 KiB over HTTP: some 3,300 ids.
PROFILES_PER_QUERY = 2_500
# And queries of up to 256 KiB of text: some 1,000 conditions.
CONDITIONS_PER_QUERY = 500


class Standing(NamedTuple):
    """The segments that hold for a profile now, and when time alone may change that (ms; None: never)."""

    held: frozenset[str]
    due: int | None


NOWHERE = Standing(frozenset(), None)


class Sweep:
    """Asks the warehouse. Compiled queries are kept while the definitions stay the same."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    async def standings(
        self, segments: Mapping[str, Segment], profile_ids: Sequence[str], now: int
    ) -> dict[str, Standing]:
        """How each profile stands; one without anchors is not in the answer. Raises as `Warehouse.rows`."""
        if not segments:
            return dict.fromkeys(profile_ids, NOWHERE)
        found: dict[str, Standing] = {}
        queries = [
            self._ask(some, list(ids), now)
            for some in _batches(tuple(segments.values()))
            for ids in _slices(profile_ids, PROFILES_PER_QUERY)
        ]
        for answer in await asyncio.gather(*queries):
            for profile_id, standing in answer.items():
                found[profile_id] = _joined(found[profile_id], standing) if profile_id in found else standing
        return found

    async def _ask(self, segments: tuple[Segment, ...], profile_ids: list[str], now: int) -> dict[str, Standing]:
        plan = _plan(segments)
        parameters = {**plan.parameters, "profiles": profile_ids, "now": now}
        rows = await self._warehouse.rows(plan.sql, parameters, limited=True)
        keys = [segment.key for segment in segments]
        return {
            str(profile_id): Standing(
                frozenset(key for key, holds in zip(keys, answers, strict=True) if holds),
                due if 0 < due < NEVER else None,
            )
            for profile_id, answers, due in rows
        }


@lru_cache(maxsize=32)
def _plan(segments: tuple[Segment, ...]) -> Plan:
    return compile_nodes([segment.root for segment in segments])


def _batches(segments: Sequence[Segment]) -> Iterator[tuple[Segment, ...]]:
    batch: list[Segment] = []
    size = 0
    for segment in segments:
        own = sum(1 for _ in conditions(segment.root))
        if batch and size + own > CONDITIONS_PER_QUERY:
            yield tuple(batch)
            batch, size = [], 0
        batch.append(segment)
        size += own
    yield tuple(batch)


def _slices(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))


def _joined(one: Standing, other: Standing) -> Standing:
    return Standing(one.held | other.held, min(filter(None, (one.due, other.due)), default=None))

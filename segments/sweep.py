"""A sweep: which of these profiles are in which segments at this moment, asked of the warehouse in one pass."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import structlog

from cdp.errors import PermanentError
from cdp.views import View
from cdp.warehouse.base import Warehouse
from segments.compile import NEVER, Plan, compile_nodes
from segments.definitions import Segment

log = structlog.get_logger(__name__)

Segments = tuple[Segment, ...]

# A parameter can have up to 128 KiB over HTTP: some 3,300 ids.
PROFILES_PER_QUERY = 2_500


class Standing(NamedTuple):
    """The segments that hold for a profile now, and when time alone may change that (ms; None: never)."""

    held: frozenset[str]
    due: int | None


NOWHERE = Standing(frozenset(), None)


class Sweep:
    """Asks the warehouse: all segments of a view in one query, or in as many as it takes for it to accept each."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._refused: set[Segments] = set()

    async def standings(
        self, segments: Mapping[str, Segment], profile_ids: Sequence[str], now: int
    ) -> dict[str, Standing]:
        """How each profile stands; one without anchors is not in the answer. Raises as `Warehouse.rows`."""
        if not segments:
            return dict.fromkeys(profile_ids, NOWHERE)
        views: dict[View, list[Segment]] = defaultdict(list)
        for segment in segments.values():
            views[segment.view].append(segment)
        starts = range(0, len(profile_ids), PROFILES_PER_QUERY)
        pages = [list(profile_ids[start : start + PROFILES_PER_QUERY]) for start in starts]
        return _joined(
            await asyncio.gather(*(self._ask(tuple(some), page, now) for some in views.values() for page in pages))
        )

    async def _ask(self, segments: Segments, profile_ids: list[str], now: int) -> dict[str, Standing]:
        if len(segments) > 1 and (segments in self._refused or not plan(segments).fits):
            half = len(segments) // 2
            halves = (segments[:half], segments[half:])
            return _joined(await asyncio.gather(*(self._ask(some, profile_ids, now) for some in halves)))
        try:
            return await self._answer(segments, profile_ids, now)
        except PermanentError as error:
            if len(segments) == 1:
                raise
            log.warning("sweep.splits", segments=len(segments), reason=error.message)
            self._refused.add(segments)
            return await self._ask(segments, profile_ids, now)

    async def _answer(self, segments: Segments, profile_ids: list[str], now: int) -> dict[str, Standing]:
        sql, parameters = plan(segments)
        rows = await self._warehouse.rows(sql, {**parameters, "profiles": profile_ids, "now": now}, limited=True)
        keys = [segment.key for segment in segments]
        return {str(profile_id): _standing(keys, answers, due) for profile_id, answers, due in rows}


@lru_cache(maxsize=64)
def plan(segments: Segments) -> Plan:
    """The query over these segments of one view. Kept, as it stays the same until a definition changes."""
    rules = {name: rule for segment in segments for name, rule in segment.rules}
    return compile_nodes([segment.root for segment in segments], rules, view=segments[0].view)


def _standing(keys: Sequence[str], answers: Sequence[int], due: int) -> Standing:
    held = frozenset(key for key, holds in zip(keys, answers, strict=True) if holds)
    return Standing(held, due if 0 < due < NEVER else None)


def _joined(answers: Iterable[Mapping[str, Standing]]) -> dict[str, Standing]:
    found: dict[str, Standing] = {}
    for answer in answers:
        for profile_id, standing in answer.items():
            known = found.get(profile_id, NOWHERE)
            due = min(filter(None, (known.due, standing.due)), default=None)
            found[profile_id] = Standing(known.held | standing.held, due)
    return found

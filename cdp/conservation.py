"""Where each source's events went: accepted = stored + duplicate + quarantined + suppressed + filtered + in flight.

    accepted      what the resolver counted as it took it from events.raw, what still waits there, and what was set
                  aside before events.raw
    stored        rows in `events`
    quarantined   rows in `quarantine`
    duplicate, suppressed, filtered    counted by the resolver
    in flight     what waits in events.raw, events.resolved and events.quarantined

What a tracking plan blocks is none of these: its sender is told, and it never comes to the log.

The rule is exact whenever nothing moves. While events flow, the parts are read one after the other, and what moved
between two readings shows as a difference that is gone with the next reading. A difference that stays is a bug.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import NamedTuple
from weakref import WeakKeyDictionary

from msgspec import Struct
from prometheus_client.metrics_core import Metric
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from cdp.records import ACCEPTED_MARK
from cdp.service import Platform
from cdp.telemetry import gauge
from cdp.topics import EVENTS_QUARANTINED, EVENTS_RAW, EVENTS_RESOLVED
from cdp.warehouse.base import QUERIES, Warehouse

Tally = Mapping[str, int]

OUTCOMES = ("accepted", "stored", "duplicate", "quarantined", "suppressed", "filtered", "in_flight")
COUNTED = ("accepted", "duplicate", "suppressed", "filtered")

# Readings before one is given although something moved meanwhile.
READINGS = 3
# Seconds for which /metrics answers from the last reading.
FRESH = 1.0

# KEYS: the applied offsets, the counts. ARGV: partition, next offset, then pairs of field and count.
COUNT = """
if tonumber(ARGV[2]) <= tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0') then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
for i = 3, #ARGV, 2 do redis.call('HINCRBY', KEYS[2], ARGV[i], ARGV[i + 1]) end
return 1
"""


class SourceCounts(Struct, frozen=True):
    """Events of one source, by what became of them. `difference` is `accepted` minus all others: 0 when all is well."""

    source: str
    accepted: int
    stored: int
    duplicate: int
    quarantined: int
    suppressed: int
    filtered: int
    in_flight: int
    difference: int


def count(
    transaction: Pipeline,
    prefix: str,
    partition: int,
    next_offset: int,
    *,
    accepted: Mapping[str, int],
    duplicate: Mapping[str, int] | None = None,
    suppressed: Mapping[str, int] | None = None,
    filtered: Mapping[str, int] | None = None,
) -> None:
    """Count events taken from a partition of events.raw, as part of the transaction that applies them.

    The mappings are by source: `accepted` all events but those that the caller sets aside on events.quarantined, the
    others those of them that end there. `next_offset` is the first offset not counted yet; a call that does not go
    beyond what was counted before counts nothing. A caller that repeats a part leaves out messages below `applied`.
    """
    counts = zip(COUNTED, (accepted, duplicate, suppressed, filtered), strict=True)
    fields = [(f"{outcome}:{source}", n) for outcome, given in counts for source, n in (given or {}).items() if n]
    arguments = [str(argument) for pair in fields for argument in pair]
    transaction.eval(COUNT, 2, *_keys(prefix), str(partition), str(next_offset), *arguments)


async def applied(state: Redis, prefix: str) -> dict[int, int]:
    """The next offset of events.raw to be counted, per partition; absent means 0."""
    found = await state.hgetall(_keys(prefix)[0])
    return {int(partition): int(offset) for partition, offset in found.items()}


async def counts(platform: Platform) -> list[SourceCounts]:
    """What became of the events of each source, by its key. Needs the state and the warehouse."""
    moving = await _moving(platform)
    for _ in range(READINGS):
        resting = await _resting(platform.warehouse)
        before, moving = moving, await _moving(platform)
        if before == moving:
            break
    sources = _sources(moving, resting) | {entry.key for entry in platform.registry.all("source")}
    return [_sum_up(source, moving, resting) for source in sorted(sources)]


async def figures(platform: Platform) -> list[Metric]:
    """The counts for Prometheus; those of the last second are given again."""
    read_at, latest = _LATEST.get(platform.warehouse, (-FRESH, []))
    if time.monotonic() - read_at > FRESH:
        latest = await counts(platform)
        _LATEST[platform.warehouse] = (time.monotonic(), latest)
    events = [([each.source, outcome], float(getattr(each, outcome))) for each in latest for outcome in OUTCOMES]
    differences = [([each.source], float(each.difference)) for each in latest]
    return [
        gauge("cdp_events_total", "Events by what became of them.", ["source", "outcome"], events),
        gauge("cdp_conservation_difference", "Events missing (or, below 0, counted twice).", ["source"], differences),
    ]


_LATEST: WeakKeyDictionary[Warehouse, tuple[float, list[SourceCounts]]] = WeakKeyDictionary()


class _Moving(NamedTuple):
    """Events on the log, and what the resolver counted, by source."""

    raw: Tally
    resolved: Tally
    set_aside: Tally
    counted: Mapping[str, Tally]


class _Resting(NamedTuple):
    """Events in the warehouse, by source; `late` is the part of `quarantined` that events.raw had before."""

    stored: Tally
    quarantined: Tally
    late: Tally


async def _moving(platform: Platform) -> _Moving:
    log = platform.log
    backlogs = await asyncio.gather(
        log.backlog("resolver", EVENTS_RAW),
        log.backlog("loader", EVENTS_RESOLVED),
        log.backlog("loader", EVENTS_QUARANTINED),
    )
    counted: dict[str, dict[str, int]] = {outcome: {} for outcome in COUNTED}
    for field, n in (await platform.state.hgetall(_keys(platform.settings.state.prefix)[1])).items():
        outcome, _, source = _text(field).partition(":")
        counted[outcome][source] = int(n)
    raw, resolved, set_aside = (backlog.records for backlog in backlogs)
    return _Moving(raw, resolved, set_aside, counted)


async def _resting(warehouse: Warehouse) -> _Resting:
    stored, quarantined = await asyncio.gather(
        warehouse.rows(QUERIES["stored_by_source"]),
        warehouse.rows(QUERIES["quarantined_by_source"], {"mark": ACCEPTED_MARK}),
    )
    return _Resting(
        dict(stored),
        {source: n for source, n, _ in quarantined},
        {source: late for source, _, late in quarantined},
    )


def _sum_up(source: str, moving: _Moving, resting: _Resting) -> SourceCounts:
    raw, resolved, set_aside = (tally.get(source, 0) for tally in moving[:3])
    counted = {outcome: tally.get(source, 0) for outcome, tally in moving.counted.items()}
    stored, quarantined, late = (tally.get(source, 0) for tally in resting)
    accepted = counted["accepted"] + raw + quarantined - late + set_aside
    in_flight = raw + resolved + set_aside
    ended = stored + counted["duplicate"] + quarantined + counted["suppressed"] + counted["filtered"]
    return SourceCounts(
        source=source,
        accepted=accepted,
        stored=stored,
        duplicate=counted["duplicate"],
        quarantined=quarantined,
        suppressed=counted["suppressed"],
        filtered=counted["filtered"],
        in_flight=in_flight,
        difference=accepted - ended - in_flight,
    )


def _sources(moving: _Moving, resting: _Resting) -> set[str]:
    return set().union(*moving[:3], *moving.counted.values(), *resting)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _keys(prefix: str) -> tuple[str, str]:
    return f"{prefix}conservation:applied", f"{prefix}conservation:counts"

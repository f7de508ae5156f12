"""A segmenter on real parts, driven by hand, beside the oracle that says who should be in which segment."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from cdp.records import (
    ProfilesTouched,
    SegmentChange,
    TouchedProfile,
    decode_segments,
    encode,
    partition_of,
)
from cdp.service import Platform
from cdp.streams.base import Message, Partition
from cdp.testing import FrozenClock
from cdp.topics import PROFILES_TOUCHED, SEGMENTS_CHANGES
from cdp.views import LIKELY, SURE, View
from segments.definitions import SEGMENT
from segments.evaluate import History, holds
from segments.parse import parse
from segments.segmenter import Segmenter
from segments.testing import Stage

Members = set[tuple[str, str]]


class World:
    """People, segments and a segmenter. Nothing happens by itself."""

    def __init__(self, platform: Platform) -> None:
        assert isinstance(platform.clock, FrozenClock)
        self.platform = platform
        self.clock = platform.clock
        self.stage = Stage(platform.warehouse)
        self.people: list[str] = []
        self.conditions: dict[str, Any] = {}
        self.views: dict[str, View] = {}
        self.partitions = platform.log.partitions(PROFILES_TOUCHED)
        self.segmenter = Segmenter(platform)
        self._beginning: Mapping[Partition, int] | str = "earliest"

    async def reset(self) -> None:
        """An empty world: no people, no segments, an empty state; what is on the log is not looked at any more."""
        for entry in self.platform.registry.all(SEGMENT):
            await self.platform.registry.delete(SEGMENT, entry.key)
        tables = ("events", "trait_values", "identity_map", "sure_map", "segment_changes")
        await asyncio.gather(*(self.platform.warehouse.command(f"TRUNCATE TABLE {table}") for table in tables))
        await self.platform.state.flushall()
        ends = await self.platform.log.end_offsets(SEGMENTS_CHANGES)
        self._beginning = {Partition(SEGMENTS_CHANGES.name, number): end for number, end in ends.items()}
        self.stage, self.people, self.conditions = Stage(self.platform.warehouse), [], {}
        await self.start()

    async def start(self, platform: Platform | None = None) -> None:
        """A new segmenter gets every partition; whatever was in memory is gone."""
        self.segmenter = Segmenter(platform or self.platform)
        await self.segmenter.assigned(self.places())

    def places(self) -> list[Partition]:
        """All partitions of profiles.touched."""
        return [Partition(PROFILES_TOUCHED.name, number) for number in range(self.partitions)]

    def person(self, *, anchors: int = 1) -> str:
        """A new profile."""
        self.people.append(self.stage.person(anchors=anchors))
        return self.people[-1]

    async def assign(self, anchor_id: str, profile_id: str, sure_id: str = "") -> None:
        """The anchor is somebody's from now on, and everybody is touched whom the loader would touch."""
        before = self.stage.owners(anchor_id)
        self.stage.assign(anchor_id, profile_id, sure_id)
        await self.touch(*before | self.stage.owners(anchor_id), reason="identity")

    def bought(self, profile_id: str, total: int = 1, *, ago: int = 0, name: str = "Order Completed") -> None:
        """An order, so many milliseconds ago."""
        anchor_id = self.stage.anchors(profile_id)[0]
        self.stage.event(anchor_id, self.clock.now() - ago, name=name, properties=f'{{"total": {total}}}')

    async def define(self, key: str, conditions: Any, view: View = SURE) -> list[Message]:
        """Define a segment (None: delete it); returns the messages that say so."""
        registry = self.platform.registry
        if conditions is None:
            del self.conditions[key]
            version = await registry.delete(SEGMENT, key)
        else:
            self.conditions[key], self.views[key] = conditions, view
            body = {"name": key, "conditions": conditions, "view": view}
            version = (await registry.put(SEGMENT, key, body)).version
        news = ProfilesTouched(segment=key, definition_offset=version, trace_id=f"definition-{version}")
        return [self.message(number, news) for number in range(self.partitions)]

    def message(self, partition: int, news: ProfilesTouched) -> Message:
        """A message of profiles.touched."""
        return Message(PROFILES_TOUCHED.name, partition, 0, self.clock.now(), encode(news))

    def touches(self, profile_ids: Iterable[str], *, trace_id: str = "trace", reason: Any = "event") -> list[Message]:
        """The messages that say that these were touched."""
        shares: dict[int, list[TouchedProfile]] = {}
        for one in profile_ids:
            touch = TouchedProfile(one, trace_id, self.clock.now(), reason)
            shares.setdefault(partition_of(one, self.partitions), []).append(touch)
        return [self.message(number, ProfilesTouched(some)) for number, some in shares.items()]

    async def touch(self, *profile_ids: str, trace_id: str = "trace", reason: Any = "event") -> None:
        """What was done on the stage is stored, and these profiles are touched."""
        await self.stage.store()
        await self.segmenter.handle(self.touches(profile_ids, trace_id=trace_id, reason=reason))

    async def settle(self) -> None:
        """Let time's work be done: timers that ring, and recounts."""
        while await self.segmenter.turn():
            pass

    async def recorded(self) -> list[SegmentChange]:
        """Every change on the log, as it was appended."""
        reader = await self.platform.log.reader([SEGMENTS_CHANGES], start=self._beginning)
        changes: list[SegmentChange] = []
        while messages := await reader.read(limit=100_000, timeout=0.01):
            changes += [change for message in messages for change in decode_segments(message.value).changes]
        await reader.close()
        return changes

    async def history(self) -> list[SegmentChange]:
        """Every change once. Asserts that sequences are dense, and that entries and exits take turns."""
        found: dict[tuple[str, str], list[SegmentChange]] = {}
        for change in await self.recorded():
            seen = found.setdefault((change.segment, change.profile_id), [])
            if change.sequence > len(seen):
                assert change.sequence == len(seen) + 1, "a gap"
                seen.append(change)
            else:
                assert change == seen[change.sequence - 1], "two changes of one number"
        for seen in found.values():
            assert [one.change for one in seen] == ["entered" if n % 2 == 0 else "exited" for n in range(len(seen))]
        return [change for seen in found.values() for change in seen]

    async def members(self) -> Members:
        """Who is in which segment, by the log: (segment, profile)."""
        last = {(change.segment, change.profile_id): change for change in await self.history()}
        return {pair for pair, change in last.items() if change.change == "entered"}

    async def expected(self) -> Members:
        """Who should be in which segment now, by the plain meaning."""
        histories = {view: await self.stage.histories(self.people, view=view) for view in (SURE, LIKELY)}
        return {
            (key, one)
            for key in self.conditions
            for one in self.people
            if self._is_in(key, histories[self.views[key]][one])
        }

    def _is_in(self, key: str, history: History | None) -> bool:
        return history is not None and holds(parse(self.conditions[key]), history, self.clock.now())

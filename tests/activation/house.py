"""The real parts put together for tests of activation: definitions through the registry, history in the warehouse."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from activation.destinations import SEGMENT, Definitions, DestinationBody, SyncBody
from cdp.clock import to_decimal
from cdp.records import Delivery, SegmentChange, SegmentChanges, encode, partition_of
from cdp.service import Platform
from cdp.streams.base import Draft
from cdp.topics import SEGMENTS_CHANGES
from cdp.vault import open_vault
from cdp.warehouse.base import Warehouse

SECRET = "whsec_" + "A" * 40


def with_activation(platform: Platform, **activation: Any) -> Platform:
    """The platform under other settings of activation."""
    settings = platform.settings
    changed = settings.activation.model_copy(update=activation)
    return Platform(
        settings.model_copy(update={"activation": changed}),
        platform.clock,
        platform.log,
        platform.registry,
        platform.state,
        platform._warehouse,
    )


def definitions(platform: Platform) -> Definitions:
    """Definitions under the vault of the settings."""
    return Definitions(platform.registry, open_vault(platform.settings))


async def define(
    platform: Platform,
    key: str,
    url: str,
    *,
    segment: str = "vip",
    purposes: tuple[str, ...] = (),
    **settings: Any,
) -> None:
    """A webhook destination that takes a segment."""
    if platform.registry.find(SEGMENT, segment) is None:
        await platform.registry.put(SEGMENT, segment, {"name": segment})
    body = DestinationBody(connector="webhook", settings={"url": url, "secret": SECRET} | settings, purposes=purposes)
    await definitions(platform).put_destination(key, body, by="test")
    await definitions(platform).put_sync(f"{segment}-to-{key}", SyncBody(segment=segment, destination=key), by="test")


async def happen(platform: Platform, *changes: SegmentChange) -> None:
    """Segment changes come onto the log."""
    count = platform.log.partitions(SEGMENTS_CHANGES)
    await platform.log.append(
        [
            Draft(SEGMENTS_CHANGES.name, partition_of(one.profile_id, count), encode(SegmentChanges([one])))
            for one in changes
        ]
    )


async def remember(warehouse: Warehouse, *changes: SegmentChange) -> None:
    """Segment changes as the loader stores them."""
    await _insert(
        warehouse,
        "segment_changes",
        [
            {
                "segment": one.segment,
                "profile_id": one.profile_id,
                "sequence": one.sequence,
                "change": one.change,
                "at": one.at,
                "reason": one.reason,
                "trace_id": one.trace_id,
            }
            for one in changes
        ],
    )


async def remember_deliveries(warehouse: Warehouse, *deliveries: Delivery) -> None:
    """Deliveries as the loader stores them."""
    names = Delivery.__struct_fields__
    await _insert(warehouse, "deliveries", [{name: getattr(one, name) for name in names} for one in deliveries])


async def _insert(warehouse: Warehouse, table: str, rows: Iterable[dict[str, Any]]) -> None:
    listed = [row | {"at": msgspec.Raw(to_decimal(row["at"]).encode())} for row in rows]
    if listed:
        await warehouse.insert(table, list(listed[0]), b"\n".join(map(msgspec.json.encode, listed)))

"""For tests: people with anchors, traits and events, put into a real warehouse, and remembered for the oracle."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Raw

from cdp.records import AnchorAssigned, EventType, ResolvedEvent
from cdp.testing import Statement, reconciled
from cdp.traits import USUAL, Rules
from cdp.views import LIKELY, SURE, View
from cdp.warehouse.base import Warehouse
from cdp.warehouse.rows import TABLES, Row, change_rows, encode_rows, event_row, trait_rows
from segments.evaluate import Happened, History, read

SOURCE = "stage"
NO_RULES: Rules = {}
Place = tuple[str, str, str]  # anchor, trait, message


class Stage:
    """A small world. What is done on it stays here until `store` writes it into the warehouse, as the loader would."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._owners: dict[View, dict[str, str]] = {LIKELY: {}, SURE: {}}
        self._events: dict[str, list[ResolvedEvent]] = {}
        self._rows: list[Row] = []
        self._count = 0

    def person(self, *, anchors: int = 1) -> str:
        """A new profile with so many anchors; returns its id."""
        profile_id = str(uuid.uuid4())
        for _ in range(anchors):
            self.assign(str(uuid.uuid4()), profile_id)
        return profile_id

    def anchors(self, profile_id: str, view: View = LIKELY) -> list[str]:
        """The anchors that belong to the profile now."""
        return [anchor_id for anchor_id, owner in self._owners[view].items() if owner == profile_id]

    def owners(self, anchor_id: str) -> set[str]:
        """Whose the anchor is now: the likely profile and the sure person."""
        return {owners[anchor_id] for owners in self._owners.values() if anchor_id in owners}

    def assign(self, anchor_id: str, profile_id: str, sure_id: str = "") -> None:
        """From now on the anchor belongs to the profile, and surely to that person, if it is another."""
        self._count += 1
        likely, sure = self._owners[LIKELY], self._owners[SURE]
        change = AnchorAssigned(
            anchor_id,
            profile_id,
            self._count,
            0,
            previous_id=likely.get(anchor_id, ""),
            sure_id=sure_id,
            previous_sure_id=sure.get(anchor_id, ""),
        )
        likely[anchor_id], sure[anchor_id] = profile_id, change.sure
        self._rows += change_rows(change)

    def merge(self, absorbed: str, into: str) -> None:
        """Every anchor of one profile goes to the other."""
        for anchor_id in self.anchors(absorbed):
            self.assign(anchor_id, into)

    def event(
        self,
        anchor_id: str,
        at: int,
        *,
        type: EventType = "track",
        name: str = "",
        properties: str = "{}",
        traits: str = "{}",
        message_id: str = "",
        source: str = SOURCE,
        verified: bool = False,
    ) -> None:
        """Something happened under this anchor. Properties and traits are JSON text."""
        self._count += 1
        event = ResolvedEvent(
            offset=self._count,
            index=0,
            source=source,
            trace_id="",
            received_at=at,
            id=message_id or f"message-{self._count}",
            type=type,
            at=at,
            anchor_id=anchor_id,
            profile_id=self._owners[LIKELY][anchor_id],
            name=name,
            properties=Raw(properties.encode()),
            traits=Raw(traits.encode()),
            verified=verified,
        )
        self._events.setdefault(anchor_id, []).append(event)
        self._rows += [event_row(0, event), *trait_rows(event)]

    async def store(self) -> None:
        """Write what was done since the last time into the warehouse."""
        rows, self._rows = self._rows, []
        for kind, table in TABLES.items():
            if some := [row for row in rows if isinstance(row, kind)]:
                await self._warehouse.insert(table, kind.__struct_fields__, encode_rows(some))

    async def histories(
        self, profile_ids: Iterable[str], rules: Rules = NO_RULES, *, view: View = LIKELY
    ) -> dict[str, History | None]:
        """What the oracle is to know of each profile under these rules; None for one without anchors in the view.

        The rank of traits of the same moment is the warehouse's: it is a hash.
        """
        latest, all_ = await self._ranks("trait_values"), await self._ranks("statements")
        return {one: self._history(self.anchors(one, view), rules, latest, all_) for one in profile_ids}

    async def _ranks(self, table: str) -> dict[Place, int]:
        ranks = "SELECT toString(anchor_id), name, message_id, rank FROM {table:Identifier}"
        rows = await self._warehouse.rows(ranks, {"table": table})
        return {(anchor_id, name, message_id): rank for anchor_id, name, message_id, rank in rows}

    def _history(
        self, anchors: Sequence[str], rules: Rules, latest: Mapping[Place, int], all_: Mapping[Place, int]
    ) -> History | None:
        if not anchors:
            return None
        said: dict[str, list[Statement]] = {}
        events: list[Happened] = []
        for event in (event for anchor_id in anchors for event in self._events.get(anchor_id, [])):
            events.append(Happened(event.type, event.name, event.at, read(bytes(event.properties).decode())))
            for row in trait_rows(event):
                ranks = all_ if rules.get(row.name, USUAL).name == "most_frequent" else latest
                rank = ranks.get((row.anchor_id, row.name, row.message_id), -1)
                said.setdefault(row.name, []).append(Statement(read(row.value), row.source, bool(row.verified), rank))
        traits = {name: reconciled(rules.get(name, USUAL), statements) for name, statements in said.items()}
        return History(traits, events)

"""The data-quality report: what is in a file, what is wrong with it, what an import would do. Bounded, and masked.

Examples show the shape of a value, never the value; row numbers let its owner find it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from cdp import clock
from ingest.imports import contacts
from ingest.imports.columns import Reading, problems
from ingest.imports.fields import FIELDS, IDENTIFYING, SKIP
from ingest.imports.rows import Cells, Made
from ingest.imports.tables import Table

# So many rows are named of each trouble.
EXAMPLES = 10
# What a file of each kind is poor without.
WISHED = {
    "customers": ("name", "phone", "email", "province", "birthday", "gender"),
    "orders": ("order_id", "at", "total", "user_id", "phone", "email"),
    "events": ("event", "at", "user_id", "phone", "email"),
}


class Quality:
    """Counts while rows go by."""

    def __init__(self) -> None:
        self.rows = 0
        self.events = 0
        self.repeats = 0
        self._repeated: list[int] = []
        self._named = Counter[str]()
        self._aside = Counter[str]()
        self._aside_rows: dict[str, list[dict[str, Any]]] = {}
        self._bad: dict[str, Counter[str]] = {}
        self._bad_rows: dict[str, list[dict[str, Any]]] = {}
        self._read = Counter[str]()
        self._times: tuple[int, int] | None = None
        self._without = 0

    def cells(self, cells: Cells) -> None:
        """Look at a row."""
        self.rows += 1
        for field in ("at", "updated_at"):
            if isinstance(when := cells.fields.get(field), int):
                first, last = self._times or (when, when)
                self._times = (min(first, when), max(last, when))

    def made(self, made: Made, fields: dict[str, Any], *, added: bool) -> None:
        """Look at the event that a row, or an order, became; it was put on the stage unless it repeats another."""
        self.events += 1
        if not added:
            self.repeats += 1
            if len(self._repeated) < EXAMPLES:
                self._repeated.append(made.row)
            return
        self._named[str(made.body.get("event") or made.body.get("type", ""))] += 1
        self._without += not made.identifiers
        kinds = {kind for kind, _ in made.identifiers}
        self._contact(made.row, "phone", fields, good="phone" in kinds)
        self._contact(made.row, "email", fields, good="email" in kinds)
        if "birthday" in fields:
            born = str(fields["birthday"])
            self._value(made.row, "birthday", born, good=len(born) == 10 and born[4] == "-", why="This is no date.")
        if made.trouble:
            self._aside[made.trouble.code] += 1
            listed = self._aside_rows.setdefault(made.trouble.code, [])
            if len(listed) < EXAMPLES:
                listed.append({"row": made.row, "column": made.trouble.column, "reason": made.trouble.reason})

    def report(
        self, reading: Reading, table: Table, shared: list[tuple[str, int, int]], restored: int
    ) -> dict[str, Any]:
        """Everything, as JSON has it. `restored`: telephone numbers that got their zero back."""
        mapping = reading.mapping
        fields = {column.field for column in mapping.columns.values()}
        first_last = self._times or (None, None)
        return {
            "kind": mapping.kind,
            "rows": self.rows,
            "events": self.events - self.repeats,
            "names": dict(self._named.most_common(50)),
            "columns": [_column(name, reading) for name in table.columns],
            "missing": [field for field in WISHED[str(mapping.kind)] if field not in fields],
            "empty_columns": [name for name, profile in reading.profiles.items() if not profile.filled],
            "repeats": {"count": self.repeats, "rows": self._repeated},
            "shared": {kind: {"values": values, "rows_sharing": rows} for kind, values, rows in shared},
            "values": {
                field: {
                    "read": self._read[field],
                    "bad": self._bad.get(field, Counter()).total(),
                    "examples": self._bad_rows.get(field, []),
                    **({"zeros_restored": restored} if field == "phone" else {}),
                }
                for field in ("phone", "email", "birthday")
                if field in fields
            },
            "quarantine": {code: {"count": n, "rows": self._aside_rows[code]} for code, n in self._aside.items()},
            "without_identifier": self._without,
            "first_at": None if first_last[0] is None else clock.to_text(first_last[0]),
            "last_at": None if first_last[1] is None else clock.to_text(first_last[1]),
            "people": None,
            "notes": [*table.notes, *_notes(reading)],
            "problems": problems(mapping),
        }

    def _contact(self, row: int, field: str, fields: dict[str, Any], *, good: bool) -> None:
        if field not in fields:
            return
        written = str(fields[field])
        why = contacts.trouble(written) if field == "phone" else "This is no e-mail address."
        self._value(row, field, written, good=good, why=why)

    def _value(self, row: int, field: str, written: str, *, good: bool, why: str) -> None:
        self._read[field] += 1
        if good:
            return
        self._bad.setdefault(field, Counter())[why] += 1
        listed = self._bad_rows.setdefault(field, [])
        if len(listed) < EXAMPLES:
            listed.append({"row": row, "value": contacts.masked(written), "reason": why})


def _column(name: str, reading: Reading) -> dict[str, Any]:
    guess, profile, column = reading.guesses[name], reading.profiles[name], reading.mapping.columns[name]
    return {
        "name": name,
        "field": column.field,
        "confidence": round(guess.confidence, 2),
        "reason": guess.reason,
        "filled": profile.filled,
        "order": column.order,
        "decimal": column.decimal,
    }


def _notes(reading: Reading) -> list[str]:
    found = [f"The mapping names a column {name!r}, which the file does not have." for name in reading.absent]
    kind = str(reading.mapping.kind)
    for name, column in reading.mapping.columns.items():
        profile = reading.profiles[name]
        known = FIELDS[kind].get(column.field)
        dated = (column.type or (known.type if known else "")) in ("time", "day")
        if dated and profile.orders["either"] and not (profile.orders["dmy"] or profile.orders["mdy"]):
            first = "month" if column.order == "mdy" else "day"
            found.append(f"{name!r}: nothing tells whether days or months come first; read as {first} first.")
        elif dated and profile.orders["dmy"] and profile.orders["mdy"]:
            found.append(f"{name!r}: some dates have the day first, some the month; what does not fit is set aside.")
    if not {column.field for column in reading.mapping.columns.values()} & set(IDENTIFYING):
        found.append("Without an identifier nothing can be attached to anybody.")
    if kind != "customers" and "at" not in {column.field for column in reading.mapping.columns.values()}:
        found.append("No column says when: everything would count as happening at the moment of the import.")
    kept = [name for name, column in reading.mapping.columns.items() if column.field == SKIP]
    return [*found, f"Left out: {', '.join(kept)}."] if kept else found

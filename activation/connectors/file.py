"""Lines in a file: JSON Lines, or CSV for spreadsheets, one line a change.

A line's file depends on the change alone (its destination, segment and day), so a repeated attempt goes to the same
file. CSV cells cannot become formulas (OWASP CSV injection), and never hold a line break.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal

import msgspec
from pydantic import Field, StrictBool, field_validator

from activation.connector import Batch, Capabilities, Change, Connector, ConnectorSettings
from activation.mapping import follow
from activation.payload import TYPES, payload
from activation.requests import FileRequest, Line
from cdp.clock import to_text

FIXED = ("id", "type", "timestamp", "segment", "profile_id", "sequence")
PLACEHOLDER = re.compile(r"\{(\w*)\}")
# What a spreadsheet takes for the beginning of a formula, in ASCII and full width, behind any space.
FORMULA = re.compile(r"[\s\x00-\x20]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
BREAKS = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")


class FileSettings(ConnectorSettings):
    """Where the lines go, and how they look."""

    path: str = Field(
        "{destination}-{segment}.jsonl",
        min_length=1,
        max_length=1000,
        description="File inside the data folder's `exports/`. `{destination}`, `{segment}` and `{date}` (the day of "
        "the change, UTC) are filled in.",
        examples=["{segment}-{date}.csv"],
    )
    format: Literal["jsonl", "csv"] = Field("jsonl", description="JSON Lines, or CSV with a heading.")
    columns: tuple[str, ...] = Field(
        ("identifiers", "traits"),
        description="CSV only: columns after the fixed ones, as paths such as `identifiers.email.0` or `traits.city`; "
        "what is no text or number is written as JSON.",
    )
    escape_formulas: StrictBool = Field(
        True, description="CSV only: put a quote before what a spreadsheet would run as a formula."
    )

    @field_validator("path")
    @classmethod
    def known_placeholders(cls, path: str) -> str:
        """Only the three placeholders, and no other brace."""
        if {*PLACEHOLDER.findall(path)} - {"destination", "segment", "date"} or "{" in PLACEHOLDER.sub("", path):
            raise ValueError("only {destination}, {segment} and {date} may stand in braces")
        return path


class File(Connector[FileSettings]):
    """Appends a line to a file for each change."""

    name = "file"
    title = "File (JSON Lines or CSV)"
    transport = "file"
    Settings = FileSettings
    # One append at a time: lines stand in the file in the order in which they became due.
    capabilities = Capabilities(batch=1_000, concurrency=1)

    def build(self, settings: FileSettings, batch: Batch) -> Sequence[FileRequest]:
        """One request a file."""
        paths = [filled(settings.path, batch.destination, change) for change in batch.changes]
        places = sorted(range(len(paths)), key=lambda place: paths[place])
        return [
            _request(settings, path, {place: batch.changes[place] for place in group})
            for path, group in groupby(places, key=lambda place: paths[place])
        ]


def _request(settings: FileSettings, path: str, changes: Mapping[int, Change]) -> FileRequest:
    csv_wanted = settings.format == "csv"
    return FileRequest(
        tuple(changes),
        path,
        tuple(
            Line(change.id, row(settings, change) if csv_wanted else json_line(change)) for change in changes.values()
        ),
        heading=cells([*FIXED, *settings.columns]) if csv_wanted else b"",
        id_at=0 if csv_wanted else len(b'{"id":"'),
        doubtful=frozenset(change.id for change in changes.values() if change.attempt > 1),
    )


def filled(path: str, destination: str, change: Change) -> str:
    """The path with its placeholders filled in."""
    known = {"destination": destination, "segment": change.segment, "date": to_text(change.at)[:10]}
    return PLACEHOLDER.sub(lambda match: known[match[1]], path)


def json_line(change: Change) -> bytes:
    """The change as JSON, its id first."""
    return msgspec.json.encode({"id": change.id, **payload(change)})


def row(settings: FileSettings, change: Change) -> bytes:
    """The change as CSV, its id first."""
    fixed = (change.id, TYPES[change.action], to_text(change.at), change.segment, change.profile_id, change.sequence)
    known = {"identifiers": change.identifiers, "traits": change.traits}
    return cells([*fixed, *(cell(follow(known, path), settings.escape_formulas) for path in settings.columns)])


def cell(value: Any, escape: bool = True) -> str:
    """One cell: numbers as they are, text on one line and harmless, anything else as JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    text = BREAKS.sub(" ", value if isinstance(value, str) else msgspec.json.encode(value).decode())
    return "'" + text if escape and FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def cells(values: Iterable[Any]) -> bytes:
    """One CSV row (RFC 4180, UTF-8) without its line break."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(values)
    return out.getvalue().encode()

"""SQL in files: named statements, and migrations that can be run again."""

from __future__ import annotations

from importlib.resources import files

import msgspec
import pytest

from cdp.warehouse.base import Warehouse
from cdp.warehouse.sql import load, statements


def test_statements_are_found_by_name() -> None:
    """A name is the heading, the statement what follows, without its semicolon."""
    queries = load("cdp.warehouse")

    assert queries["migrations"] == "SELECT number FROM migrations FINAL ORDER BY number"
    assert not any(statement.endswith(";") for statement in queries.values())


def test_a_missing_file_is_an_error() -> None:
    """A package without its file fails at import, not at the first query."""
    with pytest.raises(FileNotFoundError):
        load("cdp.warehouse", "nothing.sql")


def test_a_semicolon_ends_a_statement_only_at_the_end_of_a_line() -> None:
    """Semicolons inside of text or comments do not cut."""
    text = "-- first; still a comment\nSELECT ';' AS a\n;\nSELECT 2;  \n"

    assert statements(text) == ["-- first; still a comment\nSELECT ';' AS a", "SELECT 2"]


async def test_every_migration_can_be_run_again(warehouse: Warehouse) -> None:
    """A crash between two statements, or two processes at once, must not leave a migration stuck."""
    for file in sorted(files("cdp.warehouse").joinpath("migrations").iterdir(), key=lambda file: file.name):
        for statement in statements(file.read_text(encoding="utf-8")):
            await warehouse.command(statement)


async def test_what_sources_said_before_is_found_in_the_stored_events(warehouse: Warehouse) -> None:
    """Traits get their provenance from events that were stored before it was kept: of each source the latest value."""
    anchor = "00000000-0000-0000-0000-000000000001"
    said = [(1, "web", "Huế"), (2, "web", "Vinh"), (3, "pos", "Hà Nội")]
    rows = [
        {"anchor_id": anchor, "at": at, "source": source, "message_id": f"m{at}", "traits": f'{{"city": "{city}"}}'}
        for at, source, city in said
    ]
    lines = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    await warehouse.insert("events", ("anchor_id", "at", "source", "message_id", "traits"), lines)
    file = files("cdp.warehouse").joinpath("migrations", "0004_traits_with_provenance.sql")
    for statement in statements(file.read_text(encoding="utf-8")):
        await warehouse.command(statement)

    latest = await warehouse.rows("SELECT source, value, verified FROM trait_values FINAL ORDER BY source")
    assert latest == [("pos", '"Hà Nội"', 0), ("web", '"Vinh"', 0)]

"""SQL in files: named statements, and migrations that can be run again."""

from __future__ import annotations

from importlib.resources import files

import msgspec
import pytest

from cdp.records import AnchorAssigned
from cdp.warehouse.base import Warehouse
from cdp.warehouse.rows import TABLES, change_rows, encode_rows
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


async def test_whoever_was_one_person_before_there_were_views_is_surely_one(warehouse: Warehouse) -> None:
    """The surer view begins as the map that there was; doing it again takes nothing back that came since."""
    columns = ("profile_id", "anchor_id", "kind", "present", "version", "at")
    anchor, gone, kept, sure = (f"00000000-0000-0000-0000-00000000000{number}" for number in range(1, 5))
    rows = [(gone, 1, 1), (gone, 0, 2), (kept, 1, 2)]
    lines = [
        msgspec.json.encode(dict(zip(columns, (p, anchor, "observation", n, v, 0), strict=True))) for p, n, v in rows
    ]
    await warehouse.insert("identity_map", columns, b"\n".join(lines))
    file = files("cdp.warehouse").joinpath("migrations", "0005_two_views.sql")
    present = "SELECT toString(profile_id), toString(likely_id), version FROM sure_map FINAL WHERE present = 1"

    async def migrate() -> None:
        for statement in statements(file.read_text(encoding="utf-8")):
            await warehouse.command(statement)

    await migrate()
    assert await warehouse.rows(present) == [(kept, kept, 2)]
    change = AnchorAssigned(anchor, kept, 3, 0, previous_id=kept, sure_id=sure)
    for row in change_rows(change):
        await warehouse.insert(TABLES[type(row)], row.__struct_fields__, encode_rows([row]))
    await migrate()
    assert await warehouse.rows(present) == [(sure, kept, 3)]

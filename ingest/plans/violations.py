"""What is known of violations: which rules were broken, how often, since when."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from cdp import clock
from cdp.errors import InvalidError
from cdp.service import Platform
from cdp.warehouse.sql import load

QUERIES = load("ingest.plans")


class Filter(NamedTuple):
    """Which violations: "" and the whole of time let everything pass. `until` is excluded."""

    type: str = ""
    event: str = ""
    path: str = ""
    keyword: str = ""
    mode: str = ""
    since: int = clock.EARLIEST
    until: int = clock.LATEST


class Broken(NamedTuple):
    """A rule that events broke, each counted once; and the latest of them."""

    type: str
    event: str
    path: str
    keyword: str
    violations: int
    first_seen: int
    last_seen: int
    message_id: str
    trace_id: str
    reason: str
    mode: str


class After(NamedTuple):
    """Where a page begins: after the rule with this number, type, event, path and keyword."""

    fewer_than: int
    after_type: str
    after_event: str
    after_path: str
    after_keyword: str


BEGINNING = After(2**63, "", "", "", "")


async def violations(
    platform: Platform, source: str, wanted: Filter, *, limit: int, after: str = ""
) -> tuple[list[Broken], str]:
    """Rules that were broken, the most often broken first; and the cursor of those after, "" at the end.

    Raises `InvalidError` for an unknown cursor.
    """
    begin = BEGINNING if not after else _after(after)
    parameters = {"source": source, "limit": limit + 1, **wanted._asdict(), **begin._asdict()}
    rows = await platform.warehouse.rows(QUERIES["violations"], parameters)
    found = [Broken(*row[:7], *row[7]) for row in rows[:limit]]
    if len(rows) <= limit:
        return found, ""
    last = found[-1]
    return found, _cursor(After(last.violations, last.type, last.event, last.path, last.keyword))


def _cursor(after: After) -> str:
    return msgspec.json.encode(after).hex()


def _after(cursor: str) -> After:
    try:
        return msgspec.json.decode(bytes.fromhex(cursor), type=After)
    except (ValueError, msgspec.MsgspecError):
        raise InvalidError("This cursor was not given by an earlier page.", path="after") from None


def document(one: Broken) -> dict[str, Any]:
    """A broken rule as the API shows it."""
    return {
        **one._asdict(),
        "first_seen": clock.to_text(one.first_seen),
        "last_seen": clock.to_text(one.last_seen),
    }

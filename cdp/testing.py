"""What tests of any wing need from the ground: a clock that moves only when told to, events as they lie on the log,
what a trait is, in plain words.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from cdp.records import RawEvent, encode
from cdp.traits import Rule

START = 1_795_249_800_000  # 2026-11-21T08:30:00.000Z


class FrozenClock:
    """A `Clock` that stands still. Set `moment`, or `advance` it."""

    def __init__(self, moment: int = START) -> None:
        self.moment = moment

    def now(self) -> int:
        """The moment it was set to, in milliseconds since the epoch."""
        return self.moment

    def advance(self, milliseconds: int) -> int:
        """Move on, and return the new moment."""
        self.moment += milliseconds
        return self.moment


def accepted_event(body: Mapping[str, Any], message_id: str = "m-1") -> RawEvent:
    """An event as the collector hands it on; a track event unless its `type` says otherwise."""
    return msgspec.json.decode(encode({"type": "track", "messageId": message_id, **body}), type=RawEvent)


class Statement(NamedTuple):
    """What a source said of a trait. `value` as Python has it (None takes back); `rank` orders statements."""

    value: Any
    source: str
    verified: bool
    rank: int


def reconciled(rule: Rule, statements: Iterable[Statement]) -> Any:
    """Which value the rule chooses of all that was ever said, in plain words: the oracle of profiles and segments.

    None where there is none.
    """
    said = sorted(statements, key=lambda one: one.rank)
    if rule.name != "most_recent" and any(one.verified for one in said):
        said = [one for one in said if one.verified]
    if rule.name == "source_priority":
        heard = {one.source for one in said}
        trusted = next((source for source in rule.sources if source in heard), None)
        said = [one for one in said if trusted in (None, one.source)]
    if rule.name == "most_frequent":
        taken_back = max((place for place, one in enumerate(said) if one.value is None), default=-1)
        said = said[taken_back + 1 :]
        texts = [comparable(one.value) for one in said]
        most = max((texts.count(text) for text in texts), default=0)
        said = [one for one, text in zip(said, texts, strict=True) if texts.count(text) == most]
    return said[-1].value if said else None


def comparable(value: Any) -> str:
    """The same text for values that JSON as ClickHouse writes it does not tell apart: 5 and 5.0."""
    match value:
        case float() if value.is_integer() and abs(value) < 2**63 and str(value) != "-0.0":
            return str(int(value))
        case list():
            return f"[{','.join(map(comparable, value))}]"
        case dict():
            return f"{{{','.join(f'{json.dumps(name)}:{comparable(one)}' for name, one in value.items())}}}"
        case _:
            return json.dumps(value)

"""Kinds of input that routes of every wing take."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from cdp import clock


def _moment(given: Any) -> int:
    if not isinstance(given, str):
        raise ValueError("must be text as ISO 8601 has it")
    try:
        return clock.from_text(given)
    except (ValueError, OverflowError) as error:
        raise ValueError("must be a moment as ISO 8601 has it, for example 2026-11-21T08:30:00Z") from error


# ISO 8601 text (without a zone, UTC is meant) → milliseconds since the epoch. pydantic's datetime takes numbers too.
Moment = Annotated[
    int,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-21T08:30:00Z"]}),
]

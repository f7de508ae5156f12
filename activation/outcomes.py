"""What became of one member, sorted by what happens next; and what an HTTP status usually means.

Delivered      the destination has it
Retry(after)   not now: again later, with growing waits, until `CDP_ACTIVATION__RETRY_HOURS` are over
Failed         the destination refuses this member for good: set aside, visible, can be replayed
Dropped        there is nothing to send for this member
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from activation.requests import Reply
from cdp.clock import from_datetime

# Refusals that are about the address or the credentials: every member would fail, until somebody corrects a setting.
SETTING_AT_FAULT = {
    401: "the credentials are refused",
    403: "access is refused",
    404: "nothing is at this address",
    405: "the address takes no such request",
    407: "a proxy wants credentials",
    410: "the address is gone for good",
}
PASSING = {408, 421, 425, 429}


@dataclass(frozen=True, slots=True)
class Delivered:
    """The destination has it."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Again later. `after` is the wait in seconds that the destination itself asked for."""

    reason: str
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """Refused for good."""

    reason: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """Nothing to send."""

    reason: str


Outcome = Delivered | Retry | Failed | Dropped


def of_reply(reply: Reply) -> Outcome:
    """What an HTTP status says about all members of a request, where the platform has no better way to tell."""
    status = reply.status
    if 200 <= status < 300:
        return Delivered()
    if status in PASSING or status >= 500:
        return Retry(f"HTTP {status}", retry_after(reply))
    if 300 <= status < 400:
        return Retry(f"HTTP {status}: redirects are not followed; set the final address")
    if status in SETTING_AT_FAULT:
        return Retry(f"HTTP {status}: {SETTING_AT_FAULT[status]}", retry_after(reply))
    return Failed(f"HTTP {status}")


def retry_after(reply: Reply) -> float | None:
    """The wait in seconds that the header Retry-After asks for, as seconds or as a date; None without a usable one."""
    text = reply.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (from_datetime(moment.astimezone(UTC)) - reply.at) / 1000)

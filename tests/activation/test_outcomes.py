"""What an HTTP status says."""

from __future__ import annotations

import pytest

from activation.outcomes import Delivered, Failed, Outcome, Retry, of_reply, retry_after
from activation.requests import Reply
from activation.testing import AT


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, Delivered),
        (202, Delivered),
        (204, Delivered),
        (301, Retry),
        (302, Retry),
        (400, Failed),
        (401, Retry),
        (403, Retry),
        (404, Retry),
        (408, Retry),
        (409, Failed),
        (410, Retry),
        (413, Failed),
        (422, Failed),
        (425, Retry),
        (429, Retry),
        (500, Retry),
        (503, Retry),
        (599, Retry),
    ],
)
def test_a_status_says_what_happens_next(status: int, kind: type[Outcome]) -> None:
    """What is about the member fails; what is about the address, the credentials or the moment is tried again."""
    assert isinstance(of_reply(Reply(status, AT)), kind)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("Sat, 21 Nov 2026 08:31:00 GMT", 60.0),
        ("Sat, 21 Nov 2026 08:29:00 GMT", 0.0),
        ("Saturday, 21-Nov-26 08:31:00 GMT", 60.0),
        ("Sat, 21 Nov 2026 15:31:00 +0700", 60.0),
        ("99999999999999999999", 999999999.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    """Both forms of RFC 9110 are understood, relative to the moment of the reply; anything else is no wait."""
    assert retry_after(Reply(503, AT, {"retry-after": text})) == seconds


def test_a_busy_destination_names_its_wait() -> None:
    """429 and 503 carry Retry-After into the outcome."""
    assert of_reply(Reply(429, AT, {"retry-after": "9"})) == Retry("HTTP 429", 9.0)
    assert of_reply(Reply(503, AT)) == Retry("HTTP 503", None)

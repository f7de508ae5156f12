"""Whether a person may be sent."""

from __future__ import annotations

from typing import Any

import pytest

from activation.consent import refusal


@pytest.mark.parametrize(
    ("purposes", "traits", "allowed"),
    [
        ((), {}, True),
        ((), {"consent": {"advertising": False}}, True),
        (("advertising",), {}, True),
        (("advertising",), {"consent": None}, True),
        (("advertising",), {"consent": {}}, False),
        (("advertising",), {"consent": {"advertising": True}}, True),
        (("advertising",), {"consent": {"advertising": False}}, False),
        (("advertising",), {"consent": {"advertising": "yes"}}, False),
        (("advertising",), {"consent": {"advertising": 1}}, False),
        (("advertising",), {"consent": {"email": True}}, False),
        (("advertising",), {"consent": True}, False),
        (("advertising",), {"consent": "all"}, False),
        (("advertising", "email"), {"consent": {"advertising": True}}, False),
        (("advertising", "email"), {"consent": {"advertising": True, "email": True}}, True),
    ],
)
def test_consent(purposes: tuple[str, ...], traits: dict[str, Any], allowed: bool) -> None:
    """Said to be false, or not said while others are: no. Never asked: yes. As Segment's table has it."""
    assert (refusal(purposes, traits) == "") is allowed

"""What people are shown of a request."""

from __future__ import annotations

from pydantic import SecretStr

from activation.requests import HttpRequest
from activation.showing import readable, shown
from cdp.vault import MASK


def test_a_secret_is_masked_wherever_it_stands() -> None:
    """In the address, a header, and the body; the longer of two secrets first."""
    request = HttpRequest(
        (0,),
        "POST",
        "https://acme.example/abc123/x",
        {"authorization": SecretStr("Bearer x"), "x-key": "abc123456"},
        b'{"key": "abc123456", "deep": [{"abc123": 1}]}',
    )

    assert shown(request, ["abc123", "abc123456"]) == {
        "method": "POST",
        "url": f"https://acme.example/{MASK}/x",
        "headers": {"authorization": MASK, "x-key": MASK},
        "body": {"key": MASK, "deep": [{MASK: 1}]},
    }


def test_bodies_are_readable() -> None:
    """JSON as JSON, anything else as text."""
    assert readable(b'{"a": 1}') == {"a": 1}
    assert readable(b"\xff plain") == "\ufffd plain"

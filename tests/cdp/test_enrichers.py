"""Enrichers can add to events, and never harm them."""

from __future__ import annotations

from typing import Any

import structlog

from cdp.enrichers import FAILED, Enrichers


class Adding:
    """Adds a letter to both parts."""

    name = "adding"

    def enrich(self, source: str, kind: str, context: bytes, properties: bytes) -> tuple[bytes, bytes]:
        return context + b"+", properties + source.encode()


class Broken:
    """Fails always."""

    name = "broken"

    def enrich(self, source: str, kind: str, context: bytes, properties: bytes) -> tuple[bytes, bytes]:
        raise KeyError("secret of a person")


def failures() -> float:
    """How often the broken one failed."""
    return FAILED.labels("broken")._value.get()


def test_one_after_the_other() -> None:
    """Each gets what the one before made; none leaves all as it is."""
    assert Enrichers([Adding(), Adding()]).enrich("s", "track", b"c", b"p") == (b"c++", b"pss")
    assert Enrichers().enrich("s", "track", b"c", b"p") == (b"c", b"p")


def test_a_failure_harms_nothing() -> None:
    """The event goes on as it was, the failure is counted each time, and told once, without a word of the event."""
    enrichers, before = Enrichers([Adding(), Broken(), Adding()]), failures()
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            assert enrichers.enrich("s", "track", b"c", b"p") == (b"c++", b"pss")
    assert failures() == before + 3
    told: list[Any] = [line for line in logs if line["event"] == "enricher.failed"]
    assert told == [
        {"event": "enricher.failed", "log_level": "error", "enricher": "broken", "source": "s", "error": "KeyError"}
    ]

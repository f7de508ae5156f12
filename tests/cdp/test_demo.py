"""Tests of `cdp demo`: the shop is the same for the same seed, and what it sends becomes people, members and lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cdp.clock import DAY, HOUR, from_text
from cdp.demo.shop import Shop
from tests.processes import Embedded, events

NOW = from_text("2026-11-21T08:30:00.000Z")


def test_the_same_seed_makes_the_same_shop() -> None:
    """The same seed on the same day gives the same events, so that sending them twice changes nothing."""
    first, again = (Shop(50, seed=7, now=NOW).fortnight() for _ in range(2))

    assert first == again
    assert first != Shop(50, seed=8, now=NOW).fortnight()
    assert len({event["messageId"] for event in first}) == len(first)


def test_a_fortnight_is_in_order_and_over_by_now() -> None:
    """Events come in the order of their time; none is in the future, and only lapsed customers reach further back."""
    times = [from_text(event["timestamp"]) for event in Shop(200, seed=1, now=NOW).fortnight()]

    assert times == sorted(times)
    assert max(times) <= NOW
    assert max(times) > NOW - HOUR
    assert min(times) < NOW - 30 * DAY


def test_the_demo_ends_with_members_and_lines(tmp_path: Path) -> None:
    """Every event is stored, each of the three segments has members, and the file destination was told of them."""
    product = Embedded(tmp_path)
    product.start()
    try:
        answer = demo(product)
        stored = sum(1 for _ in events(product))
        told = {key: lines_of(tmp_path / f"data/exports/demo-{key}.jsonl") for key in answer["segments"]}
    finally:
        product.stop()

    assert answer["quarantined"] == 0
    assert stored == answer["events"] > 60
    assert {"vip", "cart-abandoned", "lapsed"} == answer["segments"].keys()
    assert min(answer["segments"].values()) > 0
    assert min(told.values()) > 0


def demo(product: Embedded) -> dict[str, Any]:
    """Run the command as a person would; returns what it says with --json."""
    command = [sys.executable, "-c", "from cdp.cli import main; main()", "demo", "--people", "60", "--json"]
    environment = {**os.environ, **product.environment}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, timeout=90)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def lines_of(file: Path, *, timeout: float = 20) -> int:
    """How many lines the file has, once it is there: deliveries follow memberships by a moment."""
    end = time.monotonic() + timeout
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.05)
    return len(file.read_text(encoding="utf-8").splitlines())

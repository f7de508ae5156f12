"""How fast, and when again."""

from __future__ import annotations

import asyncio
import random

from hypothesis import given
from hypothesis import strategies as st

from activation.pace import PATIENCE, Breaker, Rate, backoff
from cdp.settings import ActivationSettings

SETTINGS = ActivationSettings()


@given(st.integers(1, 10_000), st.integers())
def test_waits_grow_up_to_the_longest(tries: int, seed: int) -> None:
    """Full jitter: between nothing and the doubled base, never above the longest wait."""
    wait = backoff(tries, SETTINGS, random.Random(seed))

    assert 0 <= wait <= min(SETTINGS.retry_max_seconds, SETTINGS.retry_base_seconds * 2 ** min(tries - 1, 60))


def tripped(now: int = 0) -> Breaker:
    """A breaker that has just opened."""
    breaker = Breaker(SETTINGS, random.Random(1))
    for _ in range(PATIENCE):
        breaker.failed(now)
    return breaker


def test_it_opens_after_failures_in_a_row() -> None:
    """Failures that a success interrupts do not count together."""
    breaker = Breaker(SETTINGS, random.Random(1))
    for _ in range(PATIENCE - 1):
        breaker.failed(0)
    breaker.worked()
    for _ in range(PATIENCE - 1):
        breaker.failed(0)

    assert breaker.position(0) == "closed"
    assert tripped().position(0) == "open"
    assert tripped().admits(0, 8) == 0


def test_it_is_tried_with_one_request_and_closes() -> None:
    """After the wait one request goes through; if it works, all do."""
    breaker = tripped()
    later = int(breaker.remaining(0) * 1000) + 1

    assert breaker.position(later) == "half-open"
    assert breaker.admits(later, 8) == 1
    breaker.worked()
    assert breaker.admits(later, 8) == 8


def test_a_probe_that_fails_opens_it_for_longer() -> None:
    """The waits double, up to the longest."""
    breaker, now, waits = tripped(), 0, []
    for _ in range(20):
        waits.append(breaker.remaining(now))
        now += int(breaker.remaining(now) * 1000) + 1
        breaker.failed(now)

    assert all(later > earlier for earlier, later in zip(waits[:6:2], waits[2:8:2], strict=True))
    assert max(waits) <= SETTINGS.retry_max_seconds


def test_failures_of_what_was_under_way_do_not_count_twice() -> None:
    """Eight requests that fail together open it once."""
    breaker = tripped()
    before = breaker.remaining(0)
    for _ in range(8):
        breaker.failed(0)

    assert breaker.remaining(0) == before


def test_the_destination_s_own_wait_is_kept() -> None:
    """Retry-After keeps everybody away at once, but not for longer than anything is retried."""
    breaker = Breaker(SETTINGS, random.Random(1))
    breaker.failed(0, after=90)

    assert breaker.admits(89_999, 8) == 0
    assert breaker.admits(90_000, 8) == 8
    breaker.failed(90_000, after=1e9)
    assert breaker.remaining(90_000) == SETTINGS.retry_hours * 3600


async def test_a_rate_spaces_requests() -> None:
    """The n-th request starts no sooner than n gaps after the first."""
    rate, loop = Rate(200), asyncio.get_running_loop()
    start = loop.time()
    await asyncio.gather(*(rate.turn() for _ in range(11)))

    assert loop.time() - start >= 10 / 200


async def test_no_rate_no_wait() -> None:
    """Without a rate nothing waits."""
    await asyncio.gather(*(Rate(None).turn() for _ in range(1000)))

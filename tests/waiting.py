"""Waiting for something to become true, in place of timed assertions."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(probe: Callable[[], T | Awaitable[T]], timeout: float = 10) -> T:
    """Call `probe` (plain or async) until it returns something truthy without an AssertionError; return that.

    After `timeout` seconds the last AssertionError is raised, or one that shows the last falsy answer.
    """
    deadline = time.monotonic() + timeout
    pause = 0.005
    while True:
        failure: AssertionError | None = None
        answer: object = None
        try:
            answer = probe()
            if inspect.isawaitable(answer):
                answer = await answer
            if answer:
                return answer  # type: ignore[return-value]
        except AssertionError as error:
            failure = error
        if time.monotonic() > deadline:
            raise failure or AssertionError(f"not within {timeout:g} s; the last answer was {answer!r}")
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def until(probe: Callable[[], T], *, timeout: float = 30) -> T:
    """The same for tests that have no event loop; what a probe does not find yet may also be a key or a place."""
    deadline = time.monotonic() + timeout
    while True:
        answer: object = None
        failure: Exception | None = None
        try:
            if answer := probe():
                return answer
        except (AssertionError, KeyError, IndexError) as error:
            failure = error
        if time.monotonic() > deadline:
            raise failure or AssertionError(f"not within {timeout:g} s; the last answer was {answer!r}")
        time.sleep(0.05)

"""Graphs and resolvers on real parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from cdp.settings import Settings
from cdp.state import Outbox
from cdp.testing import FrozenClock
from identity.graph import Graph
from identity.policy import Policy

MakeGraph = Callable[..., Graph]


@pytest.fixture
def prefix(settings: Settings) -> str:
    """The prefix of this test's keys."""
    return settings.state.prefix


@pytest.fixture
def make_graph(state: Redis, prefix: str, clock: FrozenClock) -> MakeGraph:
    """Graphs on this test's state; the arguments change the policy."""

    def make(client: Redis | None = None, **changes: Any) -> Graph:
        return Graph(client or state, prefix, replace(Policy(), **changes), clock, partitions=4)

    return make


@pytest.fixture
def outbox(state: Redis, prefix: str) -> Outbox:
    """An outbox of this test."""
    return Outbox(state, f"{prefix}outbox")

    """Seeds of random worlds, printed so that a failure can be repeated."""
    return iter(range(1_000_000))

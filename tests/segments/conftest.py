"""A world for each test."""

from __future__ import annotations

import pytest

from cdp.service import Platform
from tests.segments.world import World


@pytest.fixture
async def world(platform: Platform) -> World:
    """People, segments and a segmenter that has every partition."""
    made = World(platform)
    await made.start()
    return made

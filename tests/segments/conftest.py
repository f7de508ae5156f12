"""A world for each test, and golden files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cdp.service import Platform
from tests.segments.world import World


@pytest.fixture
async def world(platform: Platform) -> World:
    """People, segments and a segmenter that has every partition."""
    made = World(platform)
    await made.start()
    return made


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compares a text with the file of that name in `golden/`; with GOLDEN=write in the environment, writes it."""

    def compare(name: str, text: str) -> None:
        file = Path(__file__).parent / "golden" / name
        if os.environ.get("GOLDEN") == "write":
            file.parent.mkdir(exist_ok=True)
            file.write_text(text + "\n", encoding="utf-8")
        assert file.read_text(encoding="utf-8") == text + "\n"

    return compare

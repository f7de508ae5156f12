"""A shop's page with the official browser SDK."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.npm import bundle

HERE = Path(__file__).parent / "browser"


@pytest.fixture(scope="session")
def analytics_next(node_modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the shop's page and its script: @segment/analytics-next from npm, bundled."""
    folder = tmp_path_factory.mktemp("shop")
    shutil.copy(HERE / "shop.html", folder)
    bundle([HERE / "shop.js"], folder)
    return folder

"""Chromium and the official browser SDK; what is missing skips with its reason, in CI it fails."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.parts import CHROMIUM_FLAGS, chromium, missing

HERE = Path(__file__).parent / "browser"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium. Not for the session: while it is open no other event loop can run in this thread."""
    executable = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def analytics_next(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the shop's page and its script: @segment/analytics-next from npm, bundled."""
    if not (HERE / "node_modules").is_dir():
        if shutil.which("npm") is None:
            missing("npm, to install @segment/analytics-next")
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=HERE, check=True)
    folder = tmp_path_factory.mktemp("shop")
    shutil.copy(HERE / "shop.html", folder)
    bundle = ["node_modules/.bin/esbuild", "shop.js", "--bundle", "--log-level=error", f"--outfile={folder}/bundle.js"]
    subprocess.run(bundle, cwd=HERE, check=True)
    return folder

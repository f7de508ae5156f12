"""Chromium and the official browser SDK; what is missing skips with its reason, in CI it fails."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

HERE = Path(__file__).parent / "browser"
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def missing(what: str) -> NoReturn:
    """Skip for want of a part; in CI nothing may be skipped for that."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must have {what}")
    pytest.skip(f"needs {what}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium. Not for the session: while it is open no other event loop can run in this thread."""
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        missing("Chromium (Debian: apt-get install chromium)")
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

"""JavaScript that tests run: what tests/sdks/package-lock.json names, installed once and bundled as a shop does."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.parts import CHROMIUM_FLAGS, chromium, missing

SDKS = Path(__file__).parent / "sdks"
MODULES = SDKS / "node_modules"
LOCK = SDKS / "package-lock.json"
INSTALLED = MODULES / "installed.json"


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The folder of installed packages."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            missing(f"{program}, for the official SDKs in JavaScript")
    with LOCK.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one npm at a time
        if not INSTALLED.is_file() or INSTALLED.read_bytes() != LOCK.read_bytes():
            command = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"]
            done = subprocess.run(command, cwd=SDKS, capture_output=True, text=True)
            if done.returncode:
                missing(f"the packages of {LOCK.name}, and npm could not install them:\n{done.stdout}{done.stderr}")
            shutil.copy(LOCK, INSTALLED)
    return MODULES


def bundle(scripts: Iterable[Path], folder: Path) -> None:
    """Bundle each script with the packages it imports, into a file of the same name in the folder."""
    options = ["--bundle", "--minify", "--log-level=error", '--define:process.env.NODE_ENV="production"']
    command = [str(MODULES / ".bin/esbuild"), *map(str, scripts), *options, f"--outdir={folder}"]
    subprocess.run(command, env={**os.environ, "NODE_PATH": str(MODULES)}, check=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium. Not for the session: while it is open no other event loop can run in this thread."""
    executable = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
        yield running
        running.close()

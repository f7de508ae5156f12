"""Parts that tests drive from outside Python: where they are, and what follows when they are not."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def missing(what: str) -> NoReturn:
    """Skip the test for want of a part; in CI fail it, because there nothing may be skipped for that."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must have {what}", pytrace=False)
    pytest.skip(f"needs {what}")


def chromium() -> str:
    """The path of a Chromium."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    return found or missing("Chromium (Debian: apt-get install chromium)")

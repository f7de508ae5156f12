"""The stage, and those who perform on it: programs in Node and Python, and pages in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.npm import bundle
from tests.sdks.sdks import SDKS
from tests.sdks.stage import HERE, Pages, Programs, Stage

PAGE = '<!doctype html><meta charset="utf-8"><title>Áo dài</title><script src="{driver}"></script>'


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The running product."""
    running = Stage(tmp_path_factory.mktemp("stage"))
    try:
        running.product.start()
        yield running
    finally:
        running.product.stop()


@pytest.fixture(scope="session")
def pages_folder(node_modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a page for each driver."""
    folder = tmp_path_factory.mktemp("pages")
    drivers = sorted({sdk.driver for sdk in SDKS.values() if sdk.in_browser})
    bundle([HERE / "drivers" / driver for driver in drivers], folder)
    for driver in drivers:
        (folder / driver).with_suffix(".html").write_text(PAGE.format(driver=driver))
    return folder


@pytest.fixture(scope="module")
def pages(browser: Any, pages_folder: Path) -> Iterator[Pages]:
    """Chromium, for SDKs in web pages."""
    opened = Pages(browser, pages_folder)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """Processes, for SDKs in Python."""
    started = Programs(tmp_path_factory.mktemp("programs"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def node_programs(node_modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """Processes, for SDKs in Node."""
    started = Programs(tmp_path_factory.mktemp("node-programs"))
    yield started
    started.close()

"""A real Apache Kafka for tests: one broker for all workers of a run, started from Maven's jars.

Without Java or Maven the tests that ask for it are skipped with the reason; where CI=true they fail instead.
"""

from __future__ import annotations

import importlib.util
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.parts import missing
from tests.shared import Part, folder_of, shared

SCRIPT = Path(__file__).parent.parent / "deploy" / "kafka" / "broker.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kafka_broker_script", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


script = _load()


def start_broker(folder: Path) -> Any:
    """A started broker with its data in the folder; skips the test (in CI: fails it) where there can be none."""
    if reason := script.missing():
        missing(f"Kafka: {reason}")
    try:
        script.fetch()
    except script.BrokerError as error:
        missing(f"Kafka: {error}")
    broker = script.Broker(folder)
    broker.start()
    return broker


@pytest.fixture(scope="session")
def kafka_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of this run's broker, `host:port`."""
    folder = folder_of(tmp_path_factory, "kafka")

    def start() -> Part:
        broker = start_broker(folder / uuid.uuid4().hex)
        part = Part(broker.bootstrap, broker.pid)
        broker.leave()
        return part

    with shared(folder, start) as bootstrap:
        yield bootstrap

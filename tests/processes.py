"""The product as its users run it: real processes, started, killed and started again.

`Embedded` is one `cdp up`. `Scaled` is one process a role over Kafka, a Valkey and a ClickHouse server.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.clickhouse_http import ClickHouseServer

WRITE_KEY = "wk_acceptance"
ADMIN_TOKEN = "cdp_acceptance_admin_token_0123456789"
ROLES = ("collector", "resolver", "loader", "segmenter", "dispatcher", "api")


# Below what systems give to whoever asks for any port: so nobody gets it between our asking and our listening.
PORTS = range(15_000, 30_000)


def free_port() -> int:
    """A port nobody listens on at this moment, and nobody else is likely to take in the next."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Process:
    """One running command of the product, its output in a file."""

    def __init__(self, name: str, arguments: list[str], environment: dict[str, str], folder: Path) -> None:
        self.name = name
        self._arguments = [sys.executable, "-c", "from cdp.cli import main; main()", *arguments]
        self._environment = {**os.environ, **environment}
        self.output = folder / f"{name}.out"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Run it (again)."""
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                self._arguments, env=self._environment, cwd=self._folder, stdout=output, stderr=output
            )

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def interrupt(self) -> None:
        """Ctrl-C, without waiting for what comes of it."""
        if self.running():
            assert self._process is not None
            self._process.send_signal(signal.SIGINT)

    def stop(self) -> int:
        """Ctrl-C; returns the exit status."""
        if self._process is None or self._process.poll() is not None:
            return 0
        self.interrupt()
        return self.wait()

    def wait(self) -> int:
        """The exit status, once it has ended."""
        if self._process is None:
            return 0
        try:
            return self._process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop on SIGINT:\n{self.tail()}") from None

    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def tail(self, characters: int = 4_000) -> str:
        """The end of its output."""
        return self.output.read_text(errors="replace")[-characters:] if self.output.exists() else ""


class Installation:
    """Processes that together are the product. `collector_url` takes events, `api_url` answers questions."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.collector_port, self.api_port = free_port(), free_port()
        self.environment = {
            "CDP_DATA_DIR": str(folder / "data"),
            "CDP_BOOTSTRAP__WRITE_KEY": WRITE_KEY,
            "CDP_BOOTSTRAP__ADMIN_TOKEN": ADMIN_TOKEN,
            "CDP_ACTIVATION__ALLOW_PRIVATE_ADDRESSES": "true",
            **environment,
        }
        self.processes: dict[str, Process] = {}

    @property
    def collector_url(self) -> str:
        """Where events go."""
        return f"http://127.0.0.1:{self.collector_port}"

    @property
    def api_url(self) -> str:
        """Where questions go."""
        return f"http://127.0.0.1:{self.api_port}"

    def start(self) -> None:
        """Start everything and wait until it is ready; what does not get ready is stopped."""
        try:
            for process in self.processes.values():
                process.start()
            self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything at once, as Ctrl-C does."""
        for process in self.processes.values():
            process.interrupt()
        for process in self.processes.values():
            process.wait()

    def wait_ready(self, *, timeout: float = 90) -> None:
        """Wait until the collector and the API answer /readyz with 200."""
        end = time.monotonic() + timeout
        for url in (self.collector_url, self.api_url):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                        break
                dead = [process for process in self.processes.values() if not process.running()]
                assert not dead, f"{dead[0].name} ended:\n{dead[0].tail()}"
                assert time.monotonic() < end, f"{url} is not ready:\n" + "\n".join(
                    f"--- {process.name}\n{process.tail()}" for process in self.processes.values()
                )
                time.sleep(0.1)

    def api(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Call the API with the admin token."""
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        return httpx.request(method, f"{self.api_url}{path}", headers=headers, timeout=30, **arguments)

    def metrics(self) -> dict[str, float]:
        """Every sample of the API's /metrics, by its name with labels."""
        text = httpx.get(f"{self.api_url}/metrics", timeout=30).text
        samples = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in samples}


class Embedded(Installation):
    """`cdp up`: one process, nothing beside it."""

    def __init__(self, folder: Path, **environment: str) -> None:
        super().__init__(folder, dict(environment))
        self.api_port = self.collector_port
        self.environment["CDP_HTTP__PORT"] = str(self.collector_port)
        self.processes = {"up": Process("up", ["up"], self.environment, folder)}


class Scaled(Installation):
    """One process a role."""

    def __init__(
        self, folder: Path, *, kafka: str, state: str, warehouse: ClickHouseServer, **environment: str
    ) -> None:
        super().__init__(
            folder,
            {
                "CDP_LOG__URL": f"kafka://{kafka}",
                "CDP_LOG__TOPIC_PREFIX": f"t{uuid.uuid4().hex[:8]}.",
                "CDP_STATE__URL": state,
                "CDP_STATE__PREFIX": f"{uuid.uuid4().hex[:8]}:",
                "CDP_WAREHOUSE__DSN": warehouse.dsn(f"t{uuid.uuid4().hex[:8]}"),
                **environment,
            },
        )
        ports = {"collector": self.collector_port, "api": self.api_port}
        for role in ROLES:
            own = {"CDP_HTTP__PORT": str(ports[role])} if role in ports else {}
            self.processes[role] = Process(role, ["run", role], {**self.environment, **own}, folder)


def events(installation: Installation, **filters: str | int) -> Iterator[dict[str, Any]]:
    """The stored events, as the API gives them."""
    response = installation.api("GET", "/api/v1/events", params={"limit": 1_000_000, **filters})
    response.raise_for_status()
    for line in response.text.splitlines():
        yield httpx.Response(200, content=line).json()

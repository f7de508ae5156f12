#!/usr/bin/env python3
"""A local Apache Kafka for development and tests: one process, broker and controller, from jars that Maven fetches.

    python deploy/kafka/broker.py up [--port 9092]      fetch the jars once, start a broker, print its address
    python deploy/kafka/broker.py down                  stop it and delete its data

Needs Java 17 or newer, and Maven the first time. Nothing but Python's standard library. Tests use `Broker` themselves.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

HERE = Path(__file__).resolve().parent
JARS = HERE / "jars"
RUN = HERE / "run"
START_SECONDS = 90

PROPERTIES = """
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller}
inter.broker.listener.name=PLAINTEXT
log.dirs={logs}
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
auto.create.topics.enable=false
log.index.size.max.bytes=1048576
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
"""

# Small and quick to start: a test broker lives for minutes.
JVM = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
LOGGING = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true")


class BrokerError(Exception):
    """The broker cannot be started; the message says why."""


def missing() -> str:
    """What a broker needs and this machine lacks; empty when nothing."""
    if shutil.which("java") is None:
        return "Java is not installed"
    if not fetched() and shutil.which("mvn") is None:
        return "Kafka's jars are not fetched yet and Maven is not installed"
    return ""


def fetched() -> bool:
    """Whether the jars of this pom are there."""
    mark = JARS / "pom.xml"
    return mark.is_file() and mark.read_bytes() == (HERE / "pom.xml").read_bytes()


def fetch() -> None:
    """Copy the jars into the folder `jars`, unless they are there. Raises `BrokerError`."""
    with (HERE / "pom.xml").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one Maven at a time
        if not fetched():
            _fetch()


def _fetch() -> None:
    with tempfile.TemporaryDirectory(dir=HERE) as folder:
        jars = Path(folder) / "jars"
        command = ["mvn", "-B", "-q", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies"]
        options = ["-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
        if done.returncode:
            raise BrokerError(f"Maven could not fetch Kafka's jars:\n{done.stdout}{done.stderr}")
        shutil.copy(HERE / "pom.xml", jars)
        shutil.rmtree(JARS, ignore_errors=True)
        jars.rename(JARS)


class Broker:
    """A broker with its data in `folder`. It can be killed and started again with the same data and port."""

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        """`port` of 0 takes a free one."""
        self.folder = folder
        self.port = port or free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None, "the broker has not been started"
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers. Raises `BrokerError`."""
        if reason := missing():
            raise BrokerError(reason)
        fetch()
        if not self._properties.exists():
            self._format()
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [*self._java(), "kafka.Kafka", str(self._properties)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._wait()

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def leave(self) -> None:
        """Let it run on, whatever becomes of this process."""
        if self._process is not None:
            self._process.returncode = 0  # else Python minds that nobody waited for it
            self._process = None

    def pause(self) -> None:
        """Let it hang: its sockets stay open, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    @property
    def _output(self) -> Path:
        return self.folder / "broker.out"

    def _java(self) -> list[str]:
        return ["java", *JVM, *LOGGING, "-cp", str(JARS / "*")]

    def _format(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        text = PROPERTIES.format(port=self.port, controller=free_port(), logs=self.folder / "logs")
        draft = self.folder / "draft.properties"
        draft.write_text(text, encoding="utf-8")
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        command = [*self._java(), "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", f"--config={draft}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BrokerError(f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}")
        draft.rename(self._properties)

    def _wait(self) -> None:
        assert self._process is not None
        end = time.monotonic() + START_SECONDS
        while not answers(self.port):
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise BrokerError(f"Kafka did not start:\n{self._output.read_text(errors='replace')[-4000:]}")
            time.sleep(0.1)


def answers(port: int) -> bool:
    """Whether a broker at this port knows of a living broker (itself)."""
    # Metadata request, version 1, correlation id 0, client "up", no topics: the answer begins with the brokers' count.
    body = struct.pack(">hhih2si", 3, 1, 0, 2, b"up", 0)
    with contextlib.suppress(OSError, struct.error), socket.create_connection(("127.0.0.1", port), 1) as peer:
        peer.settimeout(2)
        peer.sendall(struct.pack(">i", len(body)) + body)
        head = peer.recv(12, socket.MSG_WAITALL)
        return bool(struct.unpack(">iii", head)[2])
    return False


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def up(port: int) -> None:
    """Start a broker that outlives this command."""
    if answers(port):
        print(f"127.0.0.1:{port}")
        return
    down()
    broker = Broker(RUN, port=port)
    broker.start()
    (RUN / "broker.json").write_text(json.dumps({"pid": broker.pid, "port": port}), encoding="utf-8")
    print(broker.bootstrap)


def down() -> None:
    """Stop the broker that `up` started, and delete its data."""
    state = RUN / "broker.json"
    if state.exists():
        _end(int(json.loads(state.read_text(encoding="utf-8"))["pid"]))
    shutil.rmtree(RUN, ignore_errors=True)


def _end(pid: int) -> None:
    command = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    if "kafka.Kafka" not in command.stdout:  # it ended by itself, and the number may be somebody else's now
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        for _ in range(100):
            time.sleep(0.1)
            os.kill(pid, 0)
        os.kill(pid, signal.SIGKILL)


def main() -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="A local Apache Kafka for development and tests.")
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="start a broker and print its address")
    start.add_argument("--port", type=int, default=9092, help="port to listen on (default: %(default)s)")
    commands.add_parser("down", help="stop it and delete its data")
    chosen = parser.parse_args()
    try:
        up(chosen.port) if chosen.command == "up" else down()
    except BrokerError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`make bench`: what an event costs, as CPU time and as ratios to a bare uvicorn in the same run.

    python -m tests.load.bench [--quick] [--kafka BOOTSTRAP] [--json]

Machines are noisy: quote the ratios. Every figure of one table comes from one run, the servers measured in turn, and
each cell is the median of its rounds. CPU time is the operating system's account of the server's process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvloop

from tests.load import client, instructions, linkage, payload, stages
from tests.processes import ADMIN_TOKEN, WRITE_KEY, Embedded, Process, free_port

TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run every benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: for a first look")
    parser.add_argument("--kafka", help="bootstrap address of a Kafka to measure as well")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    scale = 0.1 if arguments.quick else 1.0
    figures = {
        "machine": machine(),
        "collector": collector(scale, arguments.kafka),
        "stages": stages.costs(),
        "instructions": instructions.ratio() if instructions.is_possible() else None,
        "pipeline": pipeline(scale),
        "latency": latency(max(20, int(200 * scale))),
        "idle": idle(),
        "linkage": linkage.beside_splink(int(30_000 * scale)),
    }
    print(json.dumps(figures, indent=1) if arguments.json else table(figures))


# --- the collector --------------------------------------------------------------------------------

REFERENCE = "bare uvicorn"
ROUNDS = 5


def collector(scale: float, kafka: str | None) -> dict[str, dict[str, float]]:
    """CPU µs per event, and times the reference's of the same round, for single posts and batches of 100."""
    singles = [client.request("/v1/track", payload.single(n), write_key=WRITE_KEY) for n in range(int(20_000 * scale))]
    batches = [client.request("/v1/batch", payload.batch(n), write_key=WRITE_KEY) for n in range(int(2_000 * scale))]
    servers: dict[str, Callable[[Path], Server]] = {
        REFERENCE: served("bare"),
        "FastAPI + pydantic": served("fastapi"),
        "collector, no log": served("nolog"),
        "collector, SQLite log": sqlite_collector,
    }
    if shutil.which("node"):
        servers["Node http + JSON.parse"] = node
    if kafka:
        servers["collector, Kafka log"] = lambda folder: kafka_collector(folder, kafka)
        servers["FastAPI + send() to Kafka"] = served("naive", kafka)
    rounds: dict[str, dict[str, list[float]]] = {name: {"single": [], "batch": []} for name in servers}
    with open_servers(servers) as running:
        for _ in range(ROUNDS):
            for name, server in running.items():
                rounds[name]["single"].append(server.cost(singles, events=1, connections=64))
                rounds[name]["batch"].append(server.cost(batches, events=100, connections=8))
    return {name: _figures(costs, rounds[REFERENCE]) for name, costs in rounds.items()}


def _figures(costs: dict[str, list[float]], reference: dict[str, list[float]]) -> dict[str, float]:
    figures = {kind: statistics.median(found) for kind, found in costs.items()}
    for kind, found in costs.items():
        figures[f"{kind} ratio"] = statistics.median(a / b for a, b in zip(found, reference[kind], strict=True))
    return figures


class Server:
    """A process that answers HTTP."""

    def __init__(self, pid: int, port: int, stop: Callable[[], object]) -> None:
        self.pid, self.port, self.stop = pid, port, stop

    def cost(self, requests: list[bytes], *, events: int, connections: int) -> float:
        """CPU microseconds per event, after a short warm-up."""
        warm = requests[: max(connections, len(requests) // 20)]
        uvloop.run(client.run(self.port, warm, connections=connections))
        before = cpu_seconds(self.pid)
        result = uvloop.run(client.run(self.port, requests, connections=connections))
        assert set(result.answers) == {200}, result.answers
        return (cpu_seconds(self.pid) - before) / (len(requests) * events) * 1e6


@contextmanager
def open_servers(servers: dict[str, Callable[[Path], Server]]) -> Iterator[dict[str, Server]]:
    """Start them all; stop them and remove their folders afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="cdp-bench-"))
    running: dict[str, Server] = {}
    try:
        for name, start in servers.items():
            own = folder / name.replace(" ", "-")
            own.mkdir()
            running[name] = start(own)
        yield running
    finally:
        for server in running.values():
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def served(name: str, *more: str) -> Callable[[Path], Server]:
    """One of `tests.load.served`."""

    def start(folder: Path) -> Server:
        port = free_port()
        return _started([sys.executable, "-m", "tests.load.served", name, str(port), *more], port)

    return start


def node(folder: Path) -> Server:
    """The peer in JavaScript."""
    port = free_port()
    return _started(["node", str(Path(__file__).with_name("node.mjs")), str(port)], port)


def _started(command: list[str], port: int) -> Server:
    process = subprocess.Popen(command)
    wait_listening(port)

    def stop() -> None:
        process.terminate()
        process.wait()

    return Server(process.pid, port, stop)


def sqlite_collector(folder: Path) -> Server:
    """Our collector alone, on the embedded log."""
    return _collector(folder, {})


def kafka_collector(folder: Path, bootstrap: str) -> Server:
    """Our collector alone, on Kafka."""
    return _collector(folder, {"CDP_LOG__URL": f"kafka://{bootstrap}", "CDP_LOG__TOPIC_PREFIX": f"bench{os.getpid()}."})


def _collector(folder: Path, environment: dict[str, str]) -> Server:
    port = free_port()
    process = Process(
        "collector",
        ["run", "collector"],
        {
            "CDP_DATA_DIR": str(folder),
            "CDP_HTTP__PORT": str(port),
            "CDP_BOOTSTRAP__WRITE_KEY": WRITE_KEY,
            "CDP_BOOTSTRAP__ADMIN_TOKEN": ADMIN_TOKEN,
            **environment,
        },
        folder,
    )
    process.start()
    wait_for(f"http://127.0.0.1:{port}/readyz")
    return Server(process.pid, port, process.stop)


# --- the whole product ----------------------------------------------------------------------------


def pipeline(scale: float) -> dict[str, float]:
    """CPU µs per event of everything behind the log, and events a second from the first request to the last row."""
    count = int(600 * scale)
    requests = [client.request("/v1/batch", payload.batch(n), write_key=WRITE_KEY) for n in range(count)]
    events = count * 100
    with temporary() as folder:
        backlog = _collector(folder / "data", {})
        uvloop.run(client.run(backlog.port, requests, connections=8))
        backlog.stop()
        product = Embedded(folder)
        product.start()
        behind = family_seconds(product)
        start = time.monotonic()
        wait_stored(product, events)
        drained = time.monotonic() - start
        behind = {name: seconds - behind.get(name, 0) for name, seconds in family_seconds(product).items()}
        product.stop()
    with temporary() as folder:
        product = Embedded(folder)
        product.start()
        start = time.monotonic()
        uvloop.run(client.run(product.collector_port, requests, connections=8))
        accepted = time.monotonic() - start
        wait_stored(product, events)
        stored = time.monotonic() - start
        product.stop()
    return {
        "consumer CPU µs/event": behind["up"] / events * 1e6,
        "Valkey CPU µs/event": behind.get("valkey", 0.0) / events * 1e6,
        "consumer events/s (backlog)": events / drained,
        "end-to-end accepted events/s": events / accepted,
        "end-to-end stored events/s": events / stored,
    }


def latency(samples: int) -> dict[str, float]:
    """Milliseconds from the request to the membership's change on the tail, one event at a time on an idle product."""
    with temporary() as folder:
        product = Embedded(folder)
        product.start()
        definition = {
            "name": "Buyers",
            "conditions": {"event": "Order Completed", "count": {"at_least": 1}, "within": "30d"},
        }
        product.api("PUT", "/api/v1/segments/buyers", json=definition).raise_for_status()
        waits = asyncio.run(_latencies(product, samples))
        product.stop()
    waits.sort()
    return {
        "event → membership p50 ms": waits[len(waits) // 2],
        "event → membership p99 ms": waits[min(len(waits) - 1, int(len(waits) * 0.99))],
    }


async def _latencies(product: Embedded, samples: int) -> list[float]:
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    waits = []
    async with (
        httpx.AsyncClient(timeout=30) as http,
        http.stream("GET", f"{product.api_url}/api/v1/tail?stage=membership", headers=headers) as tail,
    ):
        lines = tail.aiter_lines()
        for number in range(samples):
            body = {
                "userId": f"latency-{number}",
                "event": "Order Completed",
                "properties": {"total": 100_000},
            }
            start = time.perf_counter()
            answer = await http.post(f"{product.collector_url}/v1/track", json=body, auth=(WRITE_KEY, ""))
            answer.raise_for_status()
            async for line in lines:
                if line.startswith("data:") and "entered" in line:
                    break
            waits.append((time.perf_counter() - start) * 1e3)
            await asyncio.sleep(0.05)
    return waits


def idle() -> dict[str, float]:
    """Memory and CPU of the product when nothing happens."""
    with temporary() as folder:
        product = Embedded(folder)
        product.start()
        time.sleep(10)
        before = family_seconds(product)
        time.sleep(20)
        used = {name: seconds - before[name] for name, seconds in family_seconds(product).items()}
        memory = {name: resident_bytes(pid) / 1e6 for name, pid in family(product).items()}
        product.stop()
    return {
        "idle CPU %": sum(used.values()) / 20 * 100,
        "memory of cdp MB": memory["up"],
        "memory of Valkey MB": memory.get("valkey", 0.0),
    }


# --- measuring ------------------------------------------------------------------------------------


def family(product: Embedded) -> dict[str, int]:
    """The product's process and the Valkey it started."""
    pid = product.processes["up"].pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    started = Path(f"/proc/{pid}/task").glob("*/children")
    children = [child for path in started for child in path.read_text().split()] or children
    return {"up": pid, **({"valkey": int(children[0])} if children else {})}


def family_seconds(product: Embedded) -> dict[str, float]:
    """CPU seconds used so far, by process."""
    return {name: cpu_seconds(pid) for name, pid in family(product).items()}


def cpu_seconds(pid: int) -> float:
    """User and system CPU seconds of a process's threads so far, to the nanosecond where the system counts them."""
    counts = [path.read_text().split()[0] for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    if counts:
        return sum(map(int, counts)) / 1e9
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_bytes(pid: int) -> int:
    """Memory of a process that is really in use."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def wait_listening(port: int, *, timeout: float = 60) -> None:
    """Wait until somebody listens."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"nobody listens on port {port} after {timeout:g} s")


def wait_for(url: str, *, timeout: float = 60) -> None:
    """Wait until the address answers 200."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise SystemExit(f"{url} did not answer within {timeout:g} s")


def wait_stored(product: Embedded, events: int, *, timeout: float = 600) -> None:
    """Wait until so many events are in the warehouse."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        rows = product.metrics()
        stored = sum(value for name, value in rows.items() if name.startswith("cdp_events_total") and "stored" in name)
        if stored >= events:
            return
        time.sleep(0.25)
    raise SystemExit(f"only {stored:g} of {events} events were stored within {timeout:g} s")


@contextmanager
def temporary() -> Iterator[Path]:
    """A folder that goes away."""
    folder = Path(tempfile.mkdtemp(prefix="cdp-bench-"))
    try:
        (folder / "data").mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def machine() -> dict[str, Any]:
    """What it ran on."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": cpu.partition(":")[2].strip() or platform.processor(),
        "cores": os.cpu_count(),
        "memory GiB": round(memory, 1),
        "python": platform.python_version(),
    }


def table(figures: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        ", ".join(f"{name} {value}" for name, value in figures["machine"].items()),
        "",
        "| CPU µs/event | single post | × bare | batch of 100 | × bare |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {name} | {cost['single']:.1f} | {cost['single ratio']:.2f} "
        f"| {cost['batch']:.2f} | {cost['batch ratio']:.1f} |"
        for name, cost in figures["collector"].items()
    ]
    lines += ["", "| of a batch's event, in the collector | µs | × orjson.loads |", "| --- | ---: | ---: |"]
    full = figures["stages"]["orjson.loads"]
    lines += [f"| {name} | {cost:.2f} | {cost / full:.2f} |" for name, cost in figures["stages"].items()]
    if (counted := figures["instructions"]) is not None:
        lines += ["", f"Instructions of decode and judge, by callgrind: {counted:.2f} × those of orjson.loads."]
    lines += ["", "| the whole product, embedded | |", "| --- | ---: |"]
    for part in ("pipeline", "latency", "idle"):
        lines += [f"| {name} | {value:,.1f} |" for name, value in figures[part].items()]
    lines += ["", *linkage.table(figures["linkage"])]
    return "\n".join(lines)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()

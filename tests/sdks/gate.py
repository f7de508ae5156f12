"""The gate between an SDK and the collector: writes down what passes, and lets coming requests suffer as told."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit

# These headers concern one connection; all others pass.
OF_A_CONNECTION = frozenset({"connection", "keep-alive", "transfer-encoding"})
COUNTS = "/v1/m"


class Passage(NamedTuple):
    """A request and what became of it; status 0 means the connection was cut. Header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    status: int

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status}"

    @property
    def is_events(self) -> bool:
        """Whether it brings events."""
        return self.method == "POST" and self.path != COUNTS


class Reply(NamedTuple):
    """An answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


# What a request with events suffers: it gets the request's way to the collector, and returns the answer to give, or
# None to cut the connection.
Forward = Callable[[], Reply]
Fault = Callable[[Forward], Reply | None]


def break_down(_: Forward) -> Reply:
    """Something before the collector broke: nothing is stored."""
    return Reply(500, [("Content-Type", "text/html"), ("Access-Control-Allow-Origin", "*")], b"<h1>Broken</h1>")


def cut(_: Forward) -> None:
    """The connection breaks before the collector has the request."""
    return


def lose(forward: Forward) -> None:
    """The collector stores what came, and the connection breaks before its answer arrives."""
    forward()


class Gate(ThreadingHTTPServer):
    """A port of its own in front of a collector. `faults` are suffered by requests with events, one each, in order."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, collector: str, faults: Iterable[Fault] = ()) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.collector = urlsplit(collector)
        self.faults = list(faults)
        self.passages: list[Passage] = []
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Where SDKs send to."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def statuses(self) -> list[int]:
        """The answers to requests with events."""
        return [passage.status for passage in self.passages if passage.is_events]

    def due(self) -> Fault | None:
        """What this request suffers."""
        with self._lock:
            return self.faults.pop(0) if self.faults else None

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients leave when they like."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Gate

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        fault = self.server.due() if self.command == "POST" and path != COUNTS else None
        reply = fault(lambda: self._forward(body)) if fault else self._forward(body)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.passages.append(Passage(self.command, path, headers, reply.status if reply else 0))
        if reply:
            self._give(reply)
        else:
            self.close_connection = True

    do_GET = do_OPTIONS = do_POST

    def _forward(self, body: bytes) -> Reply:
        """The collector's answer, its CORS headers included. The Host is kept: settings lead back here by it."""
        host = self.server.collector.netloc
        with contextlib.closing(http.client.HTTPConnection(host, timeout=60)) as collector:
            collector.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in OF_A_CONNECTION:
                    collector.putheader(name, value)
            collector.endheaders(body)
            answer = collector.getresponse()
            headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in OF_A_CONNECTION]
            return Reply(answer.status, headers, answer.read())

    def _give(self, reply: Reply) -> None:
        self.send_response_only(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        if "content-length" not in {name.lower() for name, _ in reply.headers}:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Silence: the tests speak."""


@contextlib.contextmanager
def opened(gate: Gate) -> Iterator[Gate]:
    """The gate, open."""
    threading.Thread(target=gate.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    yield gate
    gate.shutdown()
    gate.server_close()

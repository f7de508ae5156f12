"""Where plays are performed: the product in processes of its own, a gate for each play, and those who perform."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import httpx

from tests.processes import WRITE_KEY, Embedded, Process, free_port
from tests.sdks.gate import Forward, Gate, Reply
from tests.sdks.sdks import Sdk
from tests.sdks.story import Call, differences
from tests.waiting import until

HERE = Path(__file__).parent
# The narrow collector's limits.
MOST_BYTES = 12_000
# Adds a frame to a page, and waits until it is loaded.
FRAME = """([name, address]) => new Promise((loaded) => {
  const frame = document.createElement("iframe");
  Object.assign(frame, { name, src: address, onload: loaded });
  document.body.append(frame);
})"""
FETCH = """async ([url, headers]) => {
  const batch = [{ type: "track", event: "Viewed", anonymousId: "reader" }];
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify({ batch }) });
  return [answer.status, answer.headers.get("Retry-After")];
}"""
# The name of events that use up a limit.
SPENT = "Spent"


def basic(key: str) -> str:
    """The authorization that SDKs send."""
    return f"Basic {b64encode(f'{key}:'.encode()).decode()}"


def write_key(source: str) -> str:
    """The write key of a source."""
    return f"wk_{source}"


class Play(NamedTuple):
    """What one SDK is told, and through which gate; its source has its name."""

    name: str
    sdk: Sdk
    gate: Gate
    calls: list[Call]

    def script(self) -> dict[str, Any]:
        """The play as drivers read it."""
        return {
            "name": self.name,
            "url": self.gate.url,
            "write_key": write_key(self.name),
            "calls": self.calls,
            "options": self.sdk.options,
        }


class Stage:
    """`cdp up`, and beside it a second collector on the same log, a narrow one: one request at a time, small bodies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.product = Embedded(folder)
        port = free_port()
        self.narrow_url = f"http://127.0.0.1:{port}"
        self.product.processes["narrow"] = Process(
            "narrow",
            ["run", "collector"],
            {
                **self.product.environment,
                "CDP_HTTP__PORT": str(port),
                "CDP_COLLECTOR__MAX_IN_FLIGHT": "1",
                "CDP_COLLECTOR__BODY_TIMEOUT_SECONDS": "600",
                "CDP_COLLECTOR__MAX_BODY_BYTES": str(MOST_BYTES),
            },
            folder,
        )

    def put_source(self, name: str, **fields: Any) -> None:
        """Define a source."""
        body = {"name": name, "write_keys": [{"key": write_key(name)}], **fields}
        answer = self.product.api("PUT", f"/api/v1/sources/{name}", json=body)
        assert answer.is_success, answer.text

    def stored(self, play: Play) -> list[dict[str, Any]]:
        """The stored events of the play's source, without those that used up its limit."""
        answer = self.product.api("GET", "/api/v1/events", params={"source": play.name})
        events = map(json.loads, answer.text.splitlines())
        return [event for event in events if event["name"] != SPENT]

    def differences(self, play: Play) -> list[str]:
        """What is not as the play tells it."""
        return differences(play.calls, self.stored(play))

    def assert_stored(self, play: Play, *, timeout: float = 60) -> None:
        """Every call of the play is stored once, as it was made, and nothing else is."""
        with contextlib.suppress(AssertionError):
            until(lambda: 200 in play.gate.statuses and not self.differences(play), timeout=timeout)
        wrong = self.differences(play)
        assert not wrong, "\n".join([*wrong, f"through the gate: {', '.join(map(str, play.gate.passages))}"])


class Occupation:
    """A request that keeps the narrow collector's hands full, until so many others have been turned away."""

    def __init__(self, url: str, *, until_turned_away: int) -> None:
        self._left = until_turned_away
        self._lock = threading.Lock()
        host, _, port = url.removeprefix("http://").partition(":")
        credentials = b64encode(f"{WRITE_KEY}:".encode()).decode()
        lines = (
            "POST /v1/batch HTTP/1.1",
            f"Host: {host}",
            f"Authorization: Basic {credentials}",
            "Content-Length: 99",
        )
        self._sender = socket.create_connection((host, int(port)))
        self._sender.sendall("\r\n".join([*lines, "", "{"]).encode())
        until(lambda: httpx.post(f"{url}/v1/batch", auth=(WRITE_KEY, ""), json={"batch": []}).status_code == 503)

    def fault(self, forward: Forward) -> Reply:
        """Suffered by the first request of each of the others."""
        reply = forward()
        with self._lock:
            self._left -= 1
            if not self._left:
                self.close()
        return reply

    def close(self) -> None:
        """Leave the collector free."""
        self._sender.close()


class Troupe(Protocol):
    """Those who perform plays, all at once."""

    def perform(self, plays: Iterable[Play]) -> None:
        """Begin."""
        ...

    def failures(self) -> dict[str, list[str]]:
        """Once all calls are made: what each play's SDK says has failed."""
        ...


class Programs:
    """Performs plays outside browsers: a process for each driver tells all its plays at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[tuple[str, subprocess.Popen[bytes]]] = []

    def perform(self, plays: Iterable[Play]) -> None:
        """Begin."""
        by_driver = sorted(plays, key=lambda play: play.sdk.driver)
        for driver, own in groupby(by_driver, key=lambda play: play.sdk.driver):
            self._start(driver, [play.script() for play in own])

    def _start(self, driver: str, scripts: list[dict[str, Any]]) -> None:
        file, *arguments = driver.split()
        name = "-".join([file, *arguments])
        path = self._folder / f"{name}.json"
        path.write_text(json.dumps(scripts))
        runtime = "node" if file.endswith(".mjs") else sys.executable
        command = [runtime, str(HERE / "drivers" / file), *arguments, str(path)]
        with path.with_suffix(".out").open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=self._folder)
        self._processes.append((name, process))

    def failures(self) -> dict[str, list[str]]:
        """Once all are done: what each play's SDK said had failed. Raises `AssertionError` for a driver that broke."""
        found: dict[str, list[str]] = {}
        for name, process in self._processes:
            process.wait(100)
            said = (self._folder / f"{name}.out").read_text()
            results = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
            assert process.returncode == 0, f"{name}: {said[-4_000:]}"
            found |= {result["name"]: result["errors"] for result in results}
        return found

    def close(self) -> None:
        """End who is still at it."""
        for _, process in self._processes:
            process.kill()
            process.wait()


class Pages:
    """Performs plays in Chromium, all at once, on an origin that is not the collector's.

    A play that tells who somebody is has a browser of its own; all others with an SDK are frames of one page, each of
    an origin of its own, so that none finds in its storage what another remembers.
    """

    def __init__(self, browser: Any, folder: Path) -> None:
        self._browser = browser
        self._pages: dict[str, Any] = {}
        self._frames: dict[str, Any] = {}
        handler = functools.partial(QuietFiles, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        self._host = f"site.localhost:{self._server.server_port}"
        self.url = f"http://{self._host}"

    def perform(self, plays: Iterable[Play]) -> None:
        """Begin."""
        for play in plays:
            shared = len(play.calls) == 1
            frame = self._framed(play) if shared else self._paged(play.name, play).main_frame
            frame.evaluate("play => { window.performed = perform(play) }", play.script())
            self._frames[play.name] = frame

    def _paged(self, name: str, play: Play) -> Any:
        page = self._pages[name] = self._browser.new_context().new_page()
        page.goto(self._address(play))
        return page

    def _framed(self, play: Play) -> Any:
        page = self._pages.get(play.sdk.name) or self._paged(play.sdk.name, play)
        page.evaluate(FRAME, [play.name, self._address(play)])
        return page.frame(play.name)

    def _address(self, play: Play) -> str:
        return f"http://{play.name}.{self._host}/{play.sdk.driver.removesuffix('.js')}.html"

    def fetch(self, url: str, headers: Mapping[str, str]) -> tuple[int, str | None]:
        """What a script of a page may read of the answer to an event: its status, and Retry-After."""
        page = self._browser.new_page()
        page.goto(self.url)
        status, seconds = page.evaluate(FETCH, [url, dict(headers)])
        page.close()
        return status, seconds

    def failures(self) -> dict[str, list[str]]:
        """Once all calls are made: what went wrong with each play."""
        for frame in self._frames.values():
            frame.evaluate("window.performed")
        return {name: frame.evaluate("window.failures") for name, frame in self._frames.items()}

    def leave(self, play: Play) -> None:
        """Let a page go, as when people close it."""
        self._pages[play.name].goto("about:blank")

    def close(self) -> None:
        """Close everything."""
        for page in self._pages.values():
            page.context.close()
        self._server.shutdown()
        self._server.server_close()


class QuietFiles(http.server.SimpleHTTPRequestHandler):
    """Serves the pages, and says nothing."""

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""

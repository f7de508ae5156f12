"""Tests of `cdp up` as a process: what it prints, how it stops, and what a later start finds."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cdp import credentials
from tests.waiting import until

COMMAND = [sys.executable, "-c", "from cdp.cli import main; main()", "up"]


class Up:
    """One `cdp up` on a free port."""

    def __init__(self, folder: Path, *words: str, **environment: str) -> None:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("CDP_")}
        self._errors = (folder / "errors").open("ab")
        self.process = subprocess.Popen(
            [*COMMAND, *words],
            cwd=folder,
            env={**plain, "CDP_HTTP__PORT": "0", **environment},
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def greeting(self) -> str:
        """What it prints once it is ready."""
        assert self.process.stdout
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if "Ctrl-C stops" in line:
                return "".join(lines)
        raise AssertionError(f"ended with {self.process.wait()}: {''.join(lines)}")

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send the signal, and return the exit code."""
        self.process.send_signal(number)
        try:
            return self.process.wait(30)
        finally:
            self.close()

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()
        self._errors.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Starts `cdp up` in this test's folder; whatever still runs at the end is killed."""
    started: list[Up] = []

    def up(*words: str, **environment: str) -> Up:
        started.append(Up(tmp_path, *words, **environment))
        return started[-1]

    yield up
    for one in started:
        one.close()
    stop_valkey(tmp_path)


def stop_valkey(folder: Path) -> None:
    """End a Valkey that a killed process left behind."""
    from redis import Redis
    from redis.exceptions import RedisError

    from cdp.state import socket_path

    with Redis(unix_socket_path=str(socket_path((folder / "cdp-data" / "state").resolve()))) as client:
        try:
            client.shutdown(nosave=True)
        except RedisError:
            return


def ask(command: list[str]) -> tuple[int, Any]:
    """Run a printed curl with httpx: what it asks, and the answer."""
    url = command[1]
    headers = dict(command[i + 1].split(": ", 1) for i, word in enumerate(command) if word == "-H")
    body = next((command[i + 1] for i, word in enumerate(command) if word == "-d"), None)
    user = next((command[i + 1] for i, word in enumerate(command) if word == "-u"), None)
    auth = (user.removesuffix(":"), "") if user else None
    answer = httpx.request("POST" if body else "GET", url, headers=headers, content=body, auth=auth)
    return answer.status_code, answer.json()


@pytest.mark.slow
def test_what_it_prints_works(start: Callable[..., Up], tmp_path: Path) -> None:
    """The printed curls send an event and read the profile; Ctrl-C ends it well; the next start finds everything."""
    first = start()
    greeting = first.greeting()
    assert re.search(r"write key +wk_\S{20,}\n +admin token +cdp_\S{40,}", greeting)
    assert re.search(r'<script async src="http://127.0.0.1:\d+/cdp.js" data-write-key="wk_\S+"></script>', greeting)

    assert ask(sending(greeting))[0] == 200
    profile = until(lambda: found if (found := ask(reading(greeting)))[0] == 200 else None)[1]
    assert {"type": "user_id", "value": "lan"}.items() <= profile["identifiers"][0].items()
    assert first.stop() == 0

    second = start()
    again = second.greeting()
    assert without_port(again) == without_port(greeting)
    assert until(lambda: ask(reading(again)))[1]["profile_id"] == profile["profile_id"]
    assert second.stop(signal.SIGTERM) == 0
    assert "Traceback" not in (tmp_path / "errors").read_text()


def sending(greeting: str) -> list[str]:
    """The printed curl that sends an event."""
    return next(c for c in curls(greeting) if "/v1/track" in c[1])


def reading(greeting: str) -> list[str]:
    """The printed curl that reads the profile."""
    return next(c for c in curls(greeting) if "/api/v1/profiles/" in c[1])


def curls(greeting: str) -> list[list[str]]:
    """Each printed curl, as a shell would take it apart."""
    text = greeting.replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line.strip().startswith("curl ")]


def without_port(text: str) -> str:
    """The text, whatever the port."""
    return re.sub(r"127\.0\.0\.1:\d+", "HERE", text)


@pytest.mark.slow
def test_a_second_one_on_the_same_folder_is_refused(start: Callable[..., Up], tmp_path: Path) -> None:
    """It says whose folder it is; the first goes on."""
    first = start()
    url = re.search(r"runs at (\S+)", first.greeting())
    assert url
    second = start()
    assert second.process.wait(60) == 1
    assert f"process {first.process.pid}" in (tmp_path / "errors").read_text()
    assert httpx.get(f"{url[1]}/readyz").status_code == 200
    assert first.stop() == 0


@pytest.mark.slow
def test_after_kill_9_it_starts_and_goes_on(start: Callable[..., Up]) -> None:
    """An acknowledged event is not lost with the process, and the lock does not stay."""
    first = start()
    greeting = first.greeting()
    assert ask(sending(greeting))[0] == 200
    first.process.kill()
    first.process.wait()

    second = start()
    again = second.greeting()
    assert without_port(again) == without_port(greeting)
    until(lambda: ask(reading(again))[0] == 200)
    assert second.stop() == 0


@pytest.mark.slow
def test_it_speaks_json_to_scripts(start: Callable[..., Up], tmp_path: Path) -> None:
    """With --json it prints address, write key and token as one object; given ones are honoured."""
    up = start("--json", CDP_BOOTSTRAP__WRITE_KEY="wk_given", CDP_BOOTSTRAP__ADMIN_TOKEN="cdp_given")
    assert up.process.stdout
    text = ""
    while "}" not in text:
        text += up.process.stdout.readline()
    told = json.loads(text)

    assert (told["write_key"], told["admin_token"]) == ("wk_given", "cdp_given")
    kept = credentials.read(tmp_path / "cdp-data")
    assert (kept.url, kept.write_key, kept.admin_token) == (told["url"], "wk_given", "cdp_given")
    headers = {"Authorization": "Bearer cdp_given"}
    assert httpx.get(f"{told['url']}/api/v1/status", headers=headers).status_code == 200
    assert up.stop() == 0

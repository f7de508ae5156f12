"""Tests of what tests share: one part for all who ask, for as long as somebody needs it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.shared import Part, shared
from tests.waiting import until


def test_the_first_starts_it_and_the_last_ends_it(tmp_path: Path) -> None:
    """Who comes while somebody is in there gets what runs; who comes after all have left gets a new one."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> Part:
        started.append(subprocess.Popen(["sleep", "600"]))
        return Part(f"address {len(started)}", started[-1].pid)

    first = shared(tmp_path, start)
    assert first.__enter__() == "address 1"
    with shared(tmp_path, start) as address:
        assert address == "address 1"
        first.__exit__(None, None, None)
        os.kill(started[0].pid, 0)
    until(lambda: started[0].poll() is not None)

    with shared(tmp_path, start) as address:
        assert address == "address 2"
    until(lambda: started[1].poll() is not None)

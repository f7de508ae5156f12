"""How many machine instructions reading a batch takes, beside `orjson.loads` of the same bytes, counted by callgrind.

Counts do not depend on the machine's noise, so this ratio can be a gate where CPU time cannot. `make bench` prints it.

    python -m tests.load.instructions orjson|read TIMES BODY      (the work itself, run under valgrind)
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import orjson

from ingest.sources.segment import Limits, Opened, SegmentReader

EVENTS = 100
# Instructions of starting the interpreter are taken out by running twice, once with twice the work.
TIMES = 12
# As the default settings have them.
LIMITS = Limits(event_bytes=512_000, batch_events=5_000, depth=32, keys=1_000, id_chars=500, name_chars=500)


def work(name: str, times: int, body: bytes) -> None:
    """Do it so many times."""
    reader = SegmentReader(LIMITS)
    for _ in range(times):
        if name == "orjson":
            orjson.loads(body)
            continue
        opened = reader.open_batch(body)
        assert isinstance(opened, Opened)
        assert len(reader.read(opened).accepted) == EVENTS


def counted(name: str, body: Path) -> int:
    """Instructions per event."""
    return (_collected(name, 2 * TIMES, body) - _collected(name, TIMES, body)) // (TIMES * EVENTS)


def ratio() -> float:
    """Instructions of decoding and judging a batch, of those that `orjson.loads` takes for it."""
    from tests.load import payload

    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder) / "body.json"
        body.write_bytes(payload.batch(1))
        return counted("read", body) / counted("orjson", body)


def is_possible() -> bool:
    """Whether valgrind is here."""
    return shutil.which("valgrind") is not None


def _collected(name: str, times: int, body: Path) -> int:
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, "-m", __name__]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONMALLOC": "pymalloc"}
    done = subprocess.run([*command, name, str(times), str(body)], capture_output=True, text=True, env=environment)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None:
        raise RuntimeError(done.stderr[-2_000:])
    return int(found[1])


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]).read_bytes())

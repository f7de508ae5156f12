"""A process that appends: `python -m tests.cdp.streams.appender FILE NAME COUNT [LIMIT_BYTES]`.

It prints a line per append: `stored` with partition, offset and value, or `refused` with the reason.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from pathlib import Path

import structlog

from cdp.clock import SystemClock
from cdp.errors import TransientError
from cdp.settings import Settings
from cdp.streams.base import Draft
from cdp.streams.sqlite import SqliteLog
from cdp.topics import EVENTS_RAW


async def append(path: Path, name: str, count: int) -> None:
    """Append from four tasks at once."""
    log = SqliteLog(path, Settings(), SystemClock())
    await log.start()

    async def work(task: int) -> None:
        for turn in range(count // 4):
            value = f"{name}-{task}-{turn}"
            try:
                [offset] = await log.append([Draft(EVENTS_RAW.name, task, value.encode() + b"." * 3_000)])
                print("stored", task, offset, value, flush=True)
            except TransientError as error:
                print("refused", log.trouble() and error.message, flush=True)

    await asyncio.gather(*(work(task) for task in range(4)))
    await log.close()


if __name__ == "__main__":
    if len(sys.argv) > 4:  # no file may grow over this: what a full disk does to a process
        limit = int(sys.argv[4])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(append(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))

"""A file that somebody brings: streamed to the disk, never whole in memory, and made a job once it is there durably."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterable
from pathlib import Path
from typing import NamedTuple

import structlog

from cdp.errors import InvalidError, TransientError
from cdp.records import new_trace_id
from cdp.service import Platform
from ingest.imports.job import Job, Jobs, folder_of, new_key
from ingest.imports.mapping import Mapping
from ingest.imports.reading import FILE
from ingest.imports.tables import format_of

log = structlog.get_logger(__name__)

BLOCK = 1 << 20


class Wish(NamedTuple):
    """What is to be done with a file. `told` is the mapping as far as people gave one."""

    name: str
    source: str
    told: Mapping
    dry_run: bool
    again: bool
    by: str


async def take(platform: Platform, parts: AsyncIterable[bytes], wish: Wish) -> tuple[str, bool]:
    """Take a file, and make it a job. Returns the job's key; or that of an earlier one which imported the same already.

    Raises `InvalidError` for an empty, too large or unreadable file, `TransientError` when the disk is full.
    """
    jobs, now = Jobs(platform.registry), platform.clock.now()
    key = new_key(now)
    folder = folder_of(platform.settings, key)
    try:
        folder.mkdir(mode=0o700, parents=True)
        size, digest = await _written(folder / FILE, parts, most=platform.settings.imports.max_file_bytes)
        if not wish.told.format:
            await asyncio.to_thread(format_of, folder / FILE)
        told = frozenset({wish.told.digest()}) if wish.told.columns else None
        if not wish.again and (earlier := jobs.earlier(key, digest, wish.source, told)):
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            return earlier, True
        job = Job(
            name=wish.name,
            source=wish.source,
            state="reading",
            sha256=digest,
            bytes=size,
            trace_id=new_trace_id(),
            started_at=now,
            told=wish.told.model_dump(exclude_defaults=True),
            dry_run=wish.dry_run,
            again=wish.again,
        )
        await jobs.put(key, job, wish.by)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise TransientError(f"The file cannot be kept: {error.strerror}.", retry_after=60) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    log.info("import.taken", job=key, source=wish.source, bytes=size)
    return key, False


async def _written(path: Path, parts: AsyncIterable[bytes], *, most: int) -> tuple[int, str]:
    """Write what arrives. Returns its size in bytes and its SHA-256; it is durable then."""
    digest, size, waiting = hashlib.sha256(), 0, bytearray()

    def write(block: bytes) -> None:
        file.write(block)
        digest.update(block)

    with path.open("wb") as file:
        async for part in parts:
            size += len(part)
            if size > most:
                raise InvalidError(f"The file is larger than {most} bytes (CDP_IMPORTS__MAX_FILE_BYTES).", path="body")
            waiting += part
            if len(waiting) >= BLOCK:
                await asyncio.to_thread(write, bytes(waiting))
                waiting.clear()
        await asyncio.to_thread(write, bytes(waiting))
        file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())
    return size, digest.hexdigest()

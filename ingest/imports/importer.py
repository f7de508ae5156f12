"""The importer: reads the files that people brought, and sends them in, in the process that took them.

Two tasks follow the definitions of imports. One reads (in a child process), one sends:

1. skip      what earlier imports stored already, and an order whose content is as it was
2. wait      while many events wait to be resolved: live traffic goes first
3. take      a chunk goes to the intake, as any request's events do
4. note      how far it is, durably; a crash before this repeats one chunk, whose events keep their ids

A lock on the job's folder, which dies with its holder, keeps two processes from one job.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import structlog
from msgspec import structs

from cdp import clock
from cdp.errors import CdpError, ConflictError, InvalidError, NotFoundError, TransientError
from cdp.records import encode
from cdp.registry import Entry
from cdp.service import Health, Platform
from cdp.topics import EVENTS_RAW, EVENTS_RESOLVED, Topic
from cdp.vault import open_vault
from ingest.envelopes import Receipt
from ingest.imports import reading
from ingest.imports.job import AT_WORK, KIND, REPORT, WAITING, Counts, Job, Jobs, State, discard, folder_of
from ingest.imports.known import TOGETHER, Stored, count_known
from ingest.imports.mapping import read_mapping
from ingest.imports.rows import UPDATED
from ingest.imports.stage import Stage, Staged
from ingest.intake import Intake
from ingest.source import KIND as SOURCE
from ingest.source import Source, source_of
from ingest.sources.segment import Fault, Opened, Reading, Refusal

log = structlog.get_logger(__name__)

AUTHOR = "importer"
# Events that go to the intake at once.
CHUNK = 1_000
# Who works on events after the intake, and on what: an import has ended when they have.
WALK: tuple[tuple[str, Topic], ...] = (("resolver", EVENTS_RAW), ("loader", EVENTS_RESOLVED))
# Seconds between looks at others' work, and after which a job that another process held is looked at again.
LOOK, AGAIN = 0.2, 15.0
LONGEST_WAIT = 30.0
TIDY = 3_600.0
CURRENCY = "VND"

Work = Callable[[str, Job], Awaitable[None]]


class Progress(NamedTuple):
    """How far a job is in this process."""

    rows: int = 0
    counts: Counts = Counts()


class RowPaths:
    """Sets aside rows that are known to be wrong, and says where in the file a fault is. An `Inspection`."""

    def __init__(self) -> None:
        self.staged: Sequence[Staged] = ()

    def wanted(self, source: Source) -> bool:
        """Always: it serves the importer's own intake."""
        return True

    def inspect(self, source: Source, opened: Opened, reading: Reading) -> Reading:
        """See `Inspection`."""
        accepted, faults = [], [self._placed(fault) for fault in reading.faults]
        for place, (key, event) in zip(reading.places(), reading.accepted, strict=True):
            if (trouble := self.staged[place].trouble) is None:
                accepted.append((key, event))
            else:
                raw = self.staged[place].body
                fault = Fault(trouble.code, trouble.reason, "", place, raw, event.id, key)
                faults.append(self._placed(fault))
        faults.sort(key=lambda fault: fault.place)
        return reading._replace(accepted=accepted, faults=faults)

    def _placed(self, fault: Fault) -> Fault:
        staged = self.staged[fault.place]
        if staged.trouble is not None:
            code, reason, inside = staged.trouble
            fault = fault._replace(code=code, reason=reason, message_id=fault.message_id or staged.message_id)
        else:
            inside = fault.path.partition("].")[2]
        return fault._replace(path=f"row {staged.row}.{inside}" if inside else f"row {staged.row}")


class Importer:
    """The role."""

    name = "importer"

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._jobs = Jobs(platform.registry)
        self._paths = RowPaths()
        self._intake = Intake(platform, [self._paths])
        self._chunk = min(CHUNK, platform.settings.collector.max_batch_events)
        self._progress: dict[str, Progress] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._woken: list[asyncio.Event] = []
        self._trouble = ""
        platform.registry.watch(self._changed)

    async def start(self) -> None:
        """Go on with what an earlier process left, and follow what comes."""
        self._tasks = [asyncio.create_task(self._tidy(), name="importer:tidy")]
        states: tuple[tuple[frozenset[State], Work], ...] = (
            (frozenset({"reading"}), self._read),
            (frozenset({"sending", "settling"}), self._send),
        )
        for wanted, work in states:
            woken = asyncio.Event()
            self._woken.append(woken)
            self._tasks.append(asyncio.create_task(self._follow(wanted, work, woken), name=f"importer:{min(wanted)}"))

    async def stop(self) -> None:
        """Leave off; what is under way goes on at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks, self._woken = [], []

    def health(self) -> Health:
        """Red while something that an import needs is away."""
        waiting = sum(1 for _, job in self._jobs.all() if job.state in AT_WORK)
        return Health(not self._trouble, self._trouble, {"imports": waiting})

    def progress(self, key: str) -> Progress | None:
        """How far a job is, if this process works on it."""
        return self._progress.get(key)

    def _changed(self, kind: str, key: str, entry: Entry | None) -> None:
        if kind != KIND:
            return
        if entry is None:
            discard(folder_of(self._platform.settings, key), all_of_it=True)
            self._progress.pop(key, None)
        elif entry.body["state"] == "cancelled":
            discard(folder_of(self._platform.settings, key))
        self._wake()

    # --- following the definitions

    def _wake(self) -> None:
        for woken in self._woken:
            woken.set()

    async def _follow(self, wanted: frozenset[State], work: Work, woken: asyncio.Event) -> None:
        """Do the jobs in these states, the oldest first, one at a time."""
        while True:
            woken.clear()
            for key in [key for key, job in self._jobs.all() if job.state in wanted]:
                await self._do(key, wanted, work)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AGAIN):
                    await woken.wait()

    async def _do(self, key: str, wanted: frozenset[State], work: Work) -> None:
        with held(folder_of(self._platform.settings, key)) as ours:
            if ours:
                await self._work(key, wanted, work)
        if ours:
            self._wake()  # whose the job is now may have looked while it was still held

    async def _work(self, key: str, wanted: frozenset[State], work: Work) -> None:
        wait = 0.0
        while (job := self._jobs.find(key)) is not None and job.state in wanted:
            try:
                await work(key, job)
                self._trouble, wait = "", 0.0
            except TransientError as error:
                self._trouble = error.message
                wait = max(error.retry_after, min(wait * 2, LONGEST_WAIT))
                log.warning("import.waits", job=key, reason=error.message, seconds=wait)
                await asyncio.sleep(wait)
            except ConflictError:
                continue  # somebody decided otherwise meanwhile: look again
            except (CdpError, OSError, sqlite3.Error) as error:
                await self._fail(key, getattr(error, "message", f"{type(error).__name__}: {error}"))
            except Exception as error:
                log.exception("import.failed", job=key)
                await self._fail(key, f"Something unexpected: {type(error).__name__}. The service's log tells more.")

    async def _fail(self, key: str, reason: str) -> None:
        with contextlib.suppress(ConflictError, NotFoundError):
            now = self._platform.clock.now()
            await self._jobs.change(key, AUTHOR, among=AT_WORK, state="failed", reason=reason, ended_at=now)
        log.info("import.ended", job=key, state="failed")

    async def _tidy(self) -> None:
        """Every now and then remove what nobody wants any more of people's files."""
        while True:
            try:
                await self.sweep()
            except (CdpError, OSError) as error:
                log.warning("import.untidy", reason=str(error))
            await asyncio.sleep(TIDY)

    async def sweep(self) -> None:
        """Remove folders that belong to no job, files of those that ended, and those that nobody started in time."""
        settings, now = self._platform.settings, self._platform.clock.now()
        oldest = now - round(settings.imports.keep_days * clock.DAY)
        for folder in await asyncio.to_thread(lambda: list(folder_of(settings).glob("*"))):
            job = self._jobs.find(folder.name)
            if job is None:
                if folder.stat().st_mtime * 1000 < now - clock.DAY:
                    await asyncio.to_thread(discard, folder, all_of_it=True)
            elif job.state in ("finished", "cancelled"):
                await asyncio.to_thread(discard, folder)
            elif job.state in WAITING and job.started_at < oldest:
                with contextlib.suppress(ConflictError, NotFoundError):
                    reason = "Nobody started it in time."
                    await self._jobs.change(
                        folder.name, AUTHOR, among=WAITING, state="cancelled", reason=reason, ended_at=now
                    )

    # --- reading

    async def _read(self, key: str, job: Job) -> None:
        folder = folder_of(self._platform.settings, key)
        if not (folder / reading.FILE).exists():
            raise InvalidError("The file is gone: bring it again.")
        result = await self._child(key, job, folder)
        if "error" in result:
            raise InvalidError(result["error"]["message"])
        report, mapping = result["report"], result["mapping"]
        if job.dry_run:
            report["people"] = await self._people(folder, report)
        await asyncio.to_thread(write_whole, folder / REPORT, encode(report))
        ready: State = "ready" if job.dry_run or report["problems"] else "sending"
        await self._jobs.change(
            key,
            AUTHOR,
            among=frozenset({"reading"}),
            state=ready,
            mapping=mapping,
            digest=read_mapping(mapping).digest(),
            rows=report["rows"],
            events=report["events"],
            problems=report["problems"],
            counts=Counts(),
            reason="" if ready == "sending" or job.dry_run else report["problems"][0],
        )
        log.info("import.read", job=key, rows=report["rows"], events=report["events"], state=ready)

    async def _people(self, folder: Path, report: dict[str, Any]) -> dict[str, int]:
        with contextlib.closing(Stage(folder / reading.ROWS)) as stage:
            known = await count_known(self._platform.warehouse, stage)
        nobody = report["without_identifier"]
        return {"known": known, "new": report["events"] - known - nobody, "nobody": nobody}

    async def _child(self, key: str, job: Job, folder: Path) -> dict[str, Any]:
        """Read the file in a process of its own, and note how far that is. It is ended with this task."""
        result = folder / reading.RESULT
        result.unlink(missing_ok=True)
        write_whole(folder / reading.TASK, encode(self._task(job)))
        arguments = [sys.executable, "-P", "-m", reading.__name__, str(folder)]
        with (folder / "errors.txt").open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                # Sorting what does not fit into memory happens beside the file, not where others may look.
                env={**os.environ, "SQLITE_TMPDIR": str(folder), "ARROW_DEFAULT_MEMORY_POOL": "system"},
            )
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                self._progress[key] = Progress(rows=msgspec.json.decode(line)["rows"])
                if (now := self._jobs.find(key)) is None or now.state != "reading":
                    raise ConflictError("Somebody ended it.")
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if not result.exists():
            raise InvalidError(f"Reading the file ended unexpectedly ({code}): is it larger than memory allows?")
        return dict(msgspec.json.decode(result.read_bytes()))

    def _task(self, job: Job) -> reading.Task:
        settings = self._platform.settings
        source = self._source(job)
        return reading.Task(
            name=job.name,
            source=job.source,
            region=settings.identity.default_region,
            currency=source.body.enrichment.default_currency or CURRENCY,
            timezone=settings.imports.timezone,
            mapping=job.told,
            memory_bytes=settings.imports.memory_bytes,
        )

    def _source(self, job: Job) -> Source:
        """The source as it is now. Raises `InvalidError` where it takes nothing any more."""
        entry = self._platform.registry.find(SOURCE, job.source)
        source = source_of(entry, lambda: open_vault(self._platform.settings)) if entry else None
        if source is None or not source.body.enabled:
            raise InvalidError(f"The source {job.source!r} is {'disabled' if source else 'deleted'}.")
        return source

    # --- sending

    async def _send(self, key: str, job: Job) -> None:
        if job.state == "sending":
            earlier = "" if job.again else self._jobs.earlier(key, job.sha256, job.source, frozenset({job.digest}))
            if earlier:
                counts = Counts(sent=job.events, unchanged=job.events)
                await self._finish(
                    key, counts=counts, earlier=earlier, reason=f"It was imported already, as {earlier}."
                )
                return
            counts = await self._send_all(key, job)
            await self._jobs.change(key, AUTHOR, among=frozenset({"sending"}), state="settling", counts=counts)
        await self._settled()
        await self._finish(key)

    async def _finish(self, key: str, **fields: Any) -> None:
        now = self._platform.clock.now()
        among: frozenset[State] = frozenset({"sending", "settling"})
        job = await self._jobs.change(key, AUTHOR, among=among, state="finished", ended_at=now, **fields)
        await asyncio.to_thread(discard, folder_of(self._platform.settings, key))
        log.info("import.ended", job=key, state="finished", **msgspec.to_builtins(job.counts))

    async def _send_all(self, key: str, job: Job) -> Counts:
        path = folder_of(self._platform.settings, key) / reading.ROWS
        if not path.exists():
            raise InvalidError("The rows that were read are gone: bring the file again.")
        stored = Stored(self._platform.warehouse, job.source, job.trace_id)
        with contextlib.closing(await asyncio.to_thread(Stage, path)) as stage:
            number, noted = await asyncio.to_thread(stage.progress)
            counts = msgspec.convert(noted, Counts)
            while block := await asyncio.to_thread(stage.waiting, TOGETHER, number):
                known = await stored.among(block)
                for start in range(0, len(block), self._chunk):
                    chunk = block[start : start + self._chunk]
                    if (now := self._jobs.find(key)) is None or now.state != "sending":
                        raise ConflictError("Somebody ended it.")
                    counts = await self._send_chunk(job, chunk, known, counts)
                    number = chunk[-1].number
                    await asyncio.to_thread(stage.sent, number, structs.asdict(counts))
                    self._progress[key] = Progress(job.rows, counts)
        return counts

    async def _send_chunk(self, job: Job, chunk: Sequence[Staged], known: dict[str, str], counts: Counts) -> Counts:
        fresh = [one for one in (news(staged, known) for staged in chunk) if one is not None]
        accepted = quarantined = 0
        if fresh:
            await self._room()
            self._paths.staged = fresh
            opened = opened_chunk(self._intake, fresh)
            receipt = Receipt(job.source, job.trace_id, self._platform.clock.now(), None)
            taken = await self._intake.take(self._source(job), opened, receipt)
            accepted, quarantined = taken.accepted, len(fresh) - taken.accepted
        updated = sum(1 for one in fresh if one.updated_id == one.message_id and one.trouble is None)
        return Counts(
            sent=counts.sent + len(chunk),
            accepted=counts.accepted + accepted,
            updated=counts.updated + updated,
            unchanged=counts.unchanged + len(chunk) - len(fresh),
            quarantined=counts.quarantined + quarantined,
        )

    async def _room(self) -> None:
        """Wait while many events, whosesoever, wait to be resolved."""
        most = self._platform.settings.imports.waiting_events
        group, topic = WALK[0]
        while sum((await self._platform.log.backlog(group, topic)).records.values()) > most:  # noqa: ASYNC110 - no event
            await asyncio.sleep(LOOK)

    async def _settled(self) -> None:
        """Wait until everything that was sent is stored, so that whoever looks finds it."""
        for group, topic in WALK:
            ends = await self._platform.log.end_offsets(topic)
            while not await self._has_reached(group, topic, ends):  # noqa: ASYNC110 - others' work raises no event here
                await asyncio.sleep(LOOK)

    async def _has_reached(self, group: str, topic: Topic, ends: dict[int, int]) -> bool:
        committed = await self._platform.log.committed(group, topic)
        return all(committed.get(number, 0) >= end for number, end in ends.items())


def news(staged: Staged, known: dict[str, str]) -> Staged | None:
    """What is to be sent: the event, as an update where an earlier file had the order with other content; or None."""
    if staged.message_id not in known:
        return staged
    if not staged.updated_id or known[staged.message_id] == staged.digest or staged.updated_id in known:
        return None
    body = msgspec.json.decode(staged.body) | {"event": UPDATED, "messageId": staged.updated_id}
    return staged._replace(message_id=staged.updated_id, body=encode(body))


def opened_chunk(intake: Intake, chunk: Sequence[Staged]) -> Opened:
    """A chunk as the intake takes it: as one body, which is read at once, unless a row is no event at all.

    It is vouched for: whoever may import is no stranger.
    """
    if all(one.body[:1] == b"{" for one in chunk):
        opened = intake.reader.open_batch(b'{"batch":[%s]}' % b",".join(one.body for one in chunk))
        if not isinstance(opened, Refusal) and len(opened.events or opened.pieces) == len(chunk):
            return opened._replace(vouched=True)
    return Opened([one.body for one in chunk], vouched=True)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Whether the folder is here and nobody else works in it; nobody else will until the block ends."""
    if not folder.is_dir():
        yield False
        return
    with (folder / "lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole and durably, or as it was."""
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)

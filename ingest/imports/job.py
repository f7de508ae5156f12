"""A job: the import of one file. A definition of kind `import`, so that it survives everything and all can see it.

    reading ─► ready ─► sending ─► settling ─► finished
       │         │          └──────────┴─────► cancelled, failed
       └─► failed└─► cancelled

Routes and the importer only ever write the definition; whoever follows the registry acts on it. What is large or
perishable lies in the job's folder, with the process that took the file: `file`, `rows.sqlite`, `report.json`.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct, structs

from cdp import clock
from cdp.errors import ConflictError, NotFoundError
from cdp.registry import Entry, Registry
from cdp.settings import Settings

KIND = "import"
MAPPING_KIND = "mapping"
REPORT = "report.json"
# Of a moment's text, what a key has of it.
DIGITS = str.maketrans({"T": "-", "-": None, ":": None, ".": None})

State = Literal["reading", "ready", "sending", "settling", "finished", "failed", "cancelled"]
STATES: tuple[State, ...] = get_args(State)
AT_WORK: frozenset[State] = frozenset({"reading", "sending", "settling"})
WAITING: frozenset[State] = frozenset({"ready", "failed"})


class Counts(Struct, omit_defaults=True):
    """What became of the events of a file, so far."""

    sent: int = 0
    accepted: int = 0
    updated: int = 0
    unchanged: int = 0
    quarantined: int = 0


class Job(Struct, omit_defaults=True):
    """A job, as its definition has it. Moments in milliseconds.

    `told` is the mapping that people gave, `mapping` the whole one. `earlier` is the job that imported the same before.
    """

    name: str
    source: str
    state: State
    sha256: str
    bytes: int
    trace_id: str
    started_at: int
    told: dict[str, Any] = {}
    mapping: dict[str, Any] = {}
    digest: str = ""
    dry_run: bool = False
    again: bool = False
    rows: int = 0
    events: int = 0
    counts: Counts = msgspec.field(default_factory=Counts)
    problems: list[str] = []
    reason: str = ""
    earlier: str = ""
    ended_at: int = 0

    @property
    def kind(self) -> str:
        """What its rows are, as far as that is known."""
        return str(self.mapping.get("kind") or self.told.get("kind") or "")


def job_of(entry: Entry) -> Job:
    """The job that a definition holds."""
    return msgspec.convert(entry.body, Job)


def body_of(job: Job) -> dict[str, Any]:
    """The definition that a job is kept as."""
    return dict(msgspec.to_builtins(job))


class Jobs:
    """The jobs of an installation."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def get(self, key: str) -> Job:
        """A job. Raises `NotFoundError`."""
        return job_of(self._registry.get(KIND, key))

    def entry(self, key: str) -> Entry:
        """A job's definition. Raises `NotFoundError`."""
        return self._registry.get(KIND, key)

    def find(self, key: str) -> Job | None:
        """A job, or None."""
        entry = self._registry.find(KIND, key)
        return job_of(entry) if entry else None

    def all(self) -> Iterator[tuple[str, Job]]:
        """Every job with its key, the oldest first."""
        for entry in self._registry.all(KIND):
            yield entry.key, job_of(entry)

    async def put(self, key: str, job: Job, by: str) -> None:
        """Make a job, or write it whole."""
        await self._registry.put(KIND, key, body_of(job), by=by)

    async def change(self, key: str, by: str, *, among: frozenset[State] = frozenset(STATES), **fields: Any) -> Job:
        """Change fields of a job whose state is one of `among`.

        Raises `NotFoundError`, and `ConflictError` for another state or a change that somebody else made meanwhile.
        """
        entry = self.entry(key)
        job = job_of(entry)
        if job.state not in among:
            raise ConflictError(f"The import is {job.state}: this can be done while it is {', '.join(sorted(among))}.")
        changed = structs.replace(job, **fields)
        await self._registry.put(KIND, key, body_of(changed), by=by, expected=entry.version)
        return changed

    def earlier(self, key: str, sha256: str, source: str, digests: frozenset[str] | None) -> str:
        """The finished job that imported the same bytes for the same source; with `digests`, under such a mapping."""
        for other, job in self.all():
            same = job.state == "finished" and not job.earlier and (job.sha256, job.source) == (sha256, source)
            if same and other != key and (digests is None or job.digest in digests):
                return other
        return ""


def new_key(now: int) -> str:
    """A fresh key; keys sort by time. `now` in milliseconds."""
    return f"{clock.to_text(now)[:23].translate(DIGITS)}-{secrets.token_hex(3)}"


def folder_of(settings: Settings, key: str = "") -> Path:
    """Where a job's files lie; without a key, where all do."""
    folder = settings.data_dir / "imports"
    return folder / key if key else folder


def report_of(settings: Settings, key: str) -> dict[str, Any]:
    """A job's report. Raises `NotFoundError` where it is not read yet, or lies with another process."""
    try:
        found: dict[str, Any] = msgspec.json.decode((folder_of(settings, key) / REPORT).read_bytes())
    except FileNotFoundError:
        raise NotFoundError("There is no report yet; it lies with the process that took the file.") from None
    return found


def discard(folder: Path, *, all_of_it: bool = False) -> None:
    """Remove what people's files left behind; the report stays unless everything goes."""
    if all_of_it:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name != REPORT:
            path.unlink(missing_ok=True)

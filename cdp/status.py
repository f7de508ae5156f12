"""How the product is: its roles, its parts, how far each consumer group is behind, and where the events went.

`/healthz` says that the process lives and how its roles are; `/readyz` whether it can work now; `/metrics` the same as
figures; `/api/v1/status` everything, for people and scripts.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from msgspec.structs import asdict
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from pydantic import BaseModel, ConfigDict, Field

from cdp import __version__, clock, conservation
from cdp.auth import platform, require
from cdp.errors import CdpError, TransientError
from cdp.service import Platform
from cdp.streams.base import Log, Partition
from cdp.telemetry import exposition, gauge, without_password
from cdp.topics import DEFINITIONS, Topic
from cdp.warehouse.sql import load

log = structlog.get_logger(__name__)

QUERIES = load("cdp")
# Seconds that a part may take to answer before it counts as away.
PATIENCE = 4.0

Readers = Mapping[str, tuple[Topic, ...]]


class RoleHealth(BaseModel):
    """A role that runs in the answering process."""

    name: str = Field(description="The role.")
    ok: bool = Field(description="Whether it does its work.")
    detail: str = Field("", description="What is wrong, and what to do.")
    figures: dict[str, float] = Field({}, description="What the role counts by itself.")


class PartHealth(BaseModel):
    """The log, the state or the warehouse."""

    name: str = Field(description="`log`, `state` or `warehouse`.")
    kind: str = Field(
        description="What it is, for example `sqlite`, `kafka`, `embedded`, `redis`, `chdb`, `clickhouse`."
    )
    ok: bool = Field(description="Whether it answers.")
    version: str = Field("", description="The version it names.")
    skew_ms: int | None = Field(
        None, description="Milliseconds by which its clock is ahead of ours; null if it has none."
    )
    detail: str = Field("", description="What is wrong.")


class ConsumerLag(BaseModel):
    """How far a consumer group is behind on a topic."""

    group: str = Field(description="The group, called like its role.")
    topic: str = Field(description="The topic it reads.")
    messages: int = Field(description="Messages not yet committed.")
    records: int = Field(description="Records in them.")
    oldest_ms: int = Field(description="Age of the oldest of them in milliseconds; 0 when there is none.")


class SourceCounts(BaseModel):
    """Events of one source, by what became of them."""

    source: str = Field(description="The source.")
    accepted: int = Field(description="Taken in.")
    stored: int = Field(description="Stored in the warehouse.")
    duplicate: int = Field(description="Dropped as a repeat of a messageId.")
    quarantined: int = Field(description="Kept aside with a reason.")
    suppressed: int = Field(description="Dropped because the person is suppressed.")
    filtered: int = Field(description="Dropped for want of consent.")
    in_flight: int = Field(description="On their way.")
    difference: int = Field(description="Accepted minus all others: 0 whenever nothing moves.")


class Health(BaseModel):
    """The answer of /healthz."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"status": "ok", "roles": [{"name": "resolver", "ok": True}]}]}
    )

    status: Literal["ok", "degraded"] = Field(description="`degraded`: a role cannot work now; it keeps trying.")
    roles: list[RoleHealth] = Field(description="The roles of this process.")


class Readiness(BaseModel):
    """The answer of /readyz."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"ready": True, "parts": [{"name": "log", "kind": "sqlite", "ok": True}]}]}
    )

    ready: bool = Field(description="Whether each part answers and each role works.")
    parts: list[PartHealth] = Field(description="The parts this process works with.")
    roles: list[RoleHealth] = Field(description="The roles of this process.")


class Status(BaseModel):
    """The answer of /api/v1/status."""

    version: str = Field(description="Version of streamcdp.")
    at: str = Field(description="When this was true.")
    parts: list[PartHealth] = Field(description="The log, the state and the warehouse.")
    roles: list[RoleHealth] = Field(description="The roles of the answering process.")
    consumers: list[ConsumerLag] = Field(description="Every consumer group of the installation, wherever it runs.")
    conservation: list[SourceCounts] = Field(
        description="Per source: accepted = stored + duplicate + quarantined + suppressed + filtered + in_flight."
    )


def role_health(opened: Platform) -> list[RoleHealth]:
    """How each role of this process is."""
    healths = [(role.name, role.health()) for role in opened.roles]
    return [RoleHealth(name=name, ok=ok, detail=text, figures=dict(figures)) for name, (ok, text, figures) in healths]


async def part_health(opened: Platform) -> list[PartHealth]:
    """Whether each open part answers, and what it is."""
    settings = opened.settings
    probes = [_probe("log", _scheme(settings.log.url), lambda: _ask_log(opened))]
    if "state" in opened.parts:
        probes.append(_probe("state", _scheme(settings.state.url), lambda: _ask_state(opened)))
    if "warehouse" in opened.parts:
        probes.append(_probe("warehouse", _scheme(settings.warehouse.dsn), lambda: _ask_warehouse(opened)))
    return list(await asyncio.gather(*probes))


async def _probe(name: str, kind: str, ask: Callable[[], Awaitable[dict[str, Any]]]) -> PartHealth:
    try:
        async with asyncio.timeout(PATIENCE):
            return PartHealth(name=name, kind=kind, ok=True, **await ask())
    except TimeoutError:
        return PartHealth(name=name, kind=kind, ok=False, detail=f"no answer within {PATIENCE:g} s")
    except Exception as error:
        return PartHealth(name=name, kind=kind, ok=False, detail=without_password(f"{error}") or type(error).__name__)


def _scheme(url: str) -> str:
    return url.partition(":")[0]


async def _ask_log(opened: Platform) -> dict[str, Any]:
    await opened.log.end_offsets(DEFINITIONS)
    if trouble := opened.log.trouble():
        raise TransientError(trouble)
    return {"version": sqlite3.sqlite_version} if opened.settings.log.url.startswith("sqlite:") else {}


async def _ask_state(opened: Platform) -> dict[str, Any]:
    sent = time.time_ns() // 1_000_000
    seconds, micros = await opened.state.time()
    answered = time.time_ns() // 1_000_000
    server = await opened.state.info("server")
    version = server.get("valkey_version") or server.get("redis_version", "")
    return {"version": str(version), "skew_ms": _skew(seconds * 1_000 + micros // 1_000, sent, answered)}


async def _ask_warehouse(opened: Platform) -> dict[str, Any]:
    sent = time.time_ns() // 1_000_000
    [(version, moment)] = await opened.warehouse.rows(QUERIES["warehouse_version"])
    return {"version": str(version), "skew_ms": _skew(moment, sent, time.time_ns() // 1_000_000)}


def _skew(theirs: int, sent: int, answered: int) -> int:
    """Their clock minus ours; what may as well be the time of the way counts as none."""
    return theirs - sent if theirs < sent else max(0, theirs - answered)


async def consumer_lags(opened: Platform, readers: Readers, *, ages: bool = True) -> list[ConsumerLag]:
    """How far each group is behind on each topic it reads. Without `ages`, what that costs to know is spared."""
    asked = [_lag(opened, group, topic, ages=ages) for group, topics in readers.items() for topic in topics]
    return list(await asyncio.gather(*asked))


async def _lag(opened: Platform, group: str, topic: Topic, *, ages: bool) -> ConsumerLag:
    backlog = await opened.log.backlog(group, topic)
    oldest = await oldest_waiting(opened.log, group, topic) if ages and backlog.messages else None
    return ConsumerLag(
        group=group,
        topic=topic.name,
        messages=backlog.messages,
        records=sum(backlog.records.values()),
        oldest_ms=0 if oldest is None else max(0, opened.clock.now() - oldest),
    )


async def oldest_waiting(log: Log, group: str, topic: Topic) -> int | None:
    """When the oldest message that the group has not committed was appended; None when there is none."""
    committed, ends = await log.committed(group, topic), await log.end_offsets(topic)
    behind = {
        Partition(topic.name, number): committed.get(number, 0)
        for number, end in ends.items()
        if end > committed.get(number, 0)
    }
    found = [await _first(log, topic, place, offset) for place, offset in behind.items()]
    return min((moment for moment in found if moment is not None), default=None)


async def _first(log: Log, topic: Topic, place: Partition, offset: int) -> int | None:
    reader = await log.reader([topic], start={place: offset})
    try:
        messages = await reader.read(limit=1, timeout=1)
    finally:
        await reader.close()
    return next((message.timestamp for message in messages if message.place == place), None)


async def source_counts(opened: Platform) -> list[SourceCounts]:
    """Where each source's events went."""
    return [SourceCounts(**asdict(counts)) for counts in await conservation.counts(opened)]


async def figures(opened: Platform, readers: Readers) -> bytes:
    """Everything for Prometheus. What cannot be known while a part is away is left out; `cdp_part_up` tells which."""
    parts = await part_health(opened)
    families = [_build(), _roles(opened), _role_figures(opened), _parts(parts)]
    if all(part.ok for part in parts):
        try:
            families += _lags(await consumer_lags(opened, readers, ages=False))
            if {"state", "warehouse"} <= opened.parts:
                families += await conservation.figures(opened)
        except CdpError as error:
            log.warning("metrics.incomplete", reason=error.message)
    return exposition(families)


def _build() -> Metric:
    return gauge("cdp_build_info", "The version that runs.", ["version"], [([__version__], 1)])


def _roles(opened: Platform) -> Metric:
    samples = [([role.name], float(role.ok)) for role in role_health(opened)]
    return gauge("cdp_role_up", "Whether a role of this process does its work.", ["role"], samples)


def _role_figures(opened: Platform) -> Metric:
    samples = [([role.name, key], value) for role in role_health(opened) for key, value in role.figures.items()]
    return gauge("cdp_role_figure", "What a role counts by itself.", ["role", "figure"], samples)


def _parts(parts: list[PartHealth]) -> Metric:
    samples = [([part.name, part.kind], float(part.ok)) for part in parts]
    return gauge("cdp_part_up", "Whether a part answers.", ["part", "kind"], samples)


def _lags(lags: list[ConsumerLag]) -> list[Metric]:
    labels = ["group", "topic"]
    messages = [([lag.group, lag.topic], float(lag.messages)) for lag in lags]
    records = [([lag.group, lag.topic], float(lag.records)) for lag in lags]
    return [
        gauge("cdp_lag_messages", "Messages that a consumer group has not committed.", labels, messages),
        gauge("cdp_lag_records", "Records in the messages that a consumer group has not committed.", labels, records),
    ]


probes = APIRouter(tags=["health"])
router = APIRouter(prefix="/api/v1/status", tags=["status"])

Opened = Annotated[Platform, Depends(platform)]


@probes.get("/healthz", summary="Is the process alive")
async def healthz(opened: Opened) -> Health:
    """200 as long as the process answers: restart it when it does not. `degraded` roles keep trying by themselves."""
    roles = role_health(opened)
    return Health(status="ok" if all(role.ok for role in roles) else "degraded", roles=roles)


@probes.get("/readyz", summary="Can it work now", responses={503: {"model": Readiness, "description": "Not now."}})
async def readyz(opened: Opened) -> Response:
    """200 when each part answers and each role works, else 503."""
    parts, roles = await part_health(opened), role_health(opened)
    ready = all(part.ok for part in parts) and all(role.ok for role in roles)
    answer = Readiness(ready=ready, parts=parts, roles=roles)
    return JSONResponse(answer.model_dump(), status_code=200 if ready else 503)


@probes.get("/metrics", summary="Figures for Prometheus", response_class=PlainTextResponse)
async def metrics(request: Request, opened: Opened) -> Response:
    """Roles, parts, lag, and the conservation counts, in Prometheus' text format."""
    return Response(await figures(opened, request.app.state.readers), media_type=CONTENT_TYPE_LATEST)


@router.get("", summary="How the installation is")
async def read_status(
    request: Request, opened: Opened, _: Annotated[object, Depends(require("status:read"))]
) -> Status:
    """Parts, roles, how far each consumer group is behind, and where each source's events went."""
    return Status(
        version=__version__,
        at=clock.to_text(opened.clock.now()),
        parts=await part_health(opened),
        roles=role_health(opened),
        consumers=await consumer_lags(opened, request.app.state.readers),
        conservation=await source_counts(opened),
    )

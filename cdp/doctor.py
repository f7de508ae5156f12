"""What is configured, what answers, what is healthy, and what to do if not.

The same checks run inside the service (`POST /api/v1/status/checks`), where the embedded parts are, and in `cdp doctor`
itself when no service runs.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Awaitable, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from cdp import status
from cdp.auth import platform, require
from cdp.errors import CdpError, TransientError
from cdp.records import Definition, encode
from cdp.registry import Registry
from cdp.service import Platform
from cdp.settings import Settings
from cdp.streams.base import Draft, Log, Partition
from cdp.telemetry import MASK, without_password
from cdp.topics import DEFINITIONS

# Free space below which the embedded parts are in danger.
LITTLE_SPACE = 1_000_000_000
# Clocks further apart than this make windows and orders wrong.
SKEW_MS = 2_000
# A consumer whose oldest message has waited longer than this is behind.
BEHIND_MS = 60_000


class Finding(BaseModel):
    """What one check found."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"check": "log", "ok": True, "detail": "sqlite"}]})

    check: str = Field(description="What was looked at.")
    ok: bool = Field(description="Whether it is well.")
    detail: str = Field("", description="What was found.")
    remedy: str = Field("", description="What to do if it is not well.")


class Findings(BaseModel):
    """What all checks found."""

    ok: bool = Field(description="Whether everything is well.")
    settings: dict[str, str] = Field(description="Each setting that differs from its default; secrets are masked.")
    findings: list[Finding] = Field(description="One a check.")


PARTS = ("log", "state", "warehouse")
SEE_LOG = "The service's log lines say more."
REMEDIES = {
    "log": "Is CDP_LOG__URL right, and the broker up? Embedded: is the disk full, or the data folder read-only?",
    "state": "Is CDP_STATE__URL right, and the server up? Embedded: state/valkey.log in the data folder says more.",
    "warehouse": "Is CDP_WAREHOUSE__DSN right, and the server up? Embedded: only one process may open the folder.",
}


def configured(settings: Settings) -> dict[str, str]:
    """Each setting that differs from its default, as its variable and value; secrets are masked."""
    return dict(_differing(settings, Settings.model_construct(), "CDP"))


def _differing(room: BaseModel, default: BaseModel, prefix: str) -> Iterator[tuple[str, str]]:
    for name in type(room).model_fields:
        value, usual = getattr(room, name), getattr(default, name)
        variable = f"{prefix}_{name.upper()}" if prefix == "CDP" else f"{prefix}__{name.upper()}"
        if isinstance(value, BaseModel):
            yield from _differing(value, usual, variable)
        elif value != usual:
            yield variable, _shown(value)


def _shown(value: Any) -> str:
    return MASK if isinstance(value, SecretStr) else without_password(str(value))


def report(settings: Settings, findings: list[Finding]) -> Findings:
    """What all checks found, and what is configured."""
    return Findings(ok=all(one.ok for one in findings), settings=configured(settings), findings=findings)


async def examine(opened: Platform, readers: status.Readers) -> list[Finding]:
    """Everything, from inside the service."""
    findings = [check_folder(opened.settings), *[await check_part(opened, name) for name in PARTS]]
    findings += [
        Finding(check=f"role {role.name}", ok=role.ok, detail=role.detail, remedy=_unless(role.ok, SEE_LOG))
        for role in status.role_health(opened)
    ]
    findings += await _all_or_failed("consumers", _consumers(opened, readers))
    findings += await _all_or_failed("events", _conservation(opened))
    return [*findings, check_definitions(opened.registry)]


async def _all_or_failed(name: str, looking: Awaitable[list[Finding]]) -> list[Finding]:
    try:
        return await looking
    except Exception as error:
        return [failed(name, error)]


def check_folder(settings: Settings) -> Finding:
    """The data folder: closed to others, and not nearly full."""
    folder = settings.data_dir
    if not folder.is_dir():
        return Finding(check="data folder", ok=True, detail=f"{folder} is made at the first start")
    free = shutil.disk_usage(folder).free
    detail = f"{folder.resolve()}, {free / 1e9:.1f} GB free"
    if free < LITTLE_SPACE:
        return Finding(check="data folder", ok=False, detail=detail, remedy="Make room, or move CDP_DATA_DIR.")
    if folder.stat().st_mode & 0o077 and folder.stat().st_uid == os.getuid():
        return Finding(
            check="data folder", ok=False, detail=f"{detail}, open to other users", remedy=f"chmod 700 {folder}"
        )
    return Finding(check="data folder", ok=True, detail=detail)


async def check_part(opened: Platform, name: str) -> Finding:
    """The log, the state or the warehouse."""
    try:
        if name == "log":
            return await check_log(opened.log, opened.clock.now())
        return _part(next(part for part in await status.part_health(opened) if part.name == name))
    except Exception as error:
        return failed(name, error)


def failed(name: str, error: Exception) -> Finding:
    """What to say of a check that itself failed."""
    detail = error.message if isinstance(error, CdpError) else f"{type(error).__name__}: {error}"
    return Finding(check=name, ok=False, detail=without_password(detail), remedy=REMEDIES.get(name, SEE_LOG))


async def check_log(log: Log, now: int) -> Finding:
    """Append a record, and read it back."""
    began = time.perf_counter()
    value = encode(Definition("probe", "doctor", {"at": now}, now, "doctor"))
    [offset] = await log.append([Draft(DEFINITIONS.name, 0, value)])
    reader = await log.reader([DEFINITIONS], start={Partition(DEFINITIONS.name, 0): offset})
    try:
        messages = await reader.read(limit=1, timeout=5)
    finally:
        await reader.close()
    if not messages or messages[0].value != value:
        raise TransientError("What was appended did not come back within 5 s.")
    took = (time.perf_counter() - began) * 1e3
    return Finding(check="log", ok=True, detail=f"a record was appended and read back in {took:.0f} ms")


def _part(part: status.PartHealth) -> Finding:
    skewed = part.skew_ms is not None and abs(part.skew_ms) > SKEW_MS
    detail = f"{part.kind} {part.version}{f', {part.detail}' if part.detail else ''}"
    if skewed:
        detail += f", its clock is {part.skew_ms} ms ahead of this machine's"
    remedy = "Synchronise the clocks (NTP)." if part.ok and skewed else REMEDIES[part.name]
    ok = part.ok and not skewed
    return Finding(check=part.name, ok=ok, detail=detail.strip(), remedy=_unless(ok, remedy))


async def _consumers(opened: Platform, readers: status.Readers) -> list[Finding]:
    findings = []
    for lag in await status.consumer_lags(opened, readers):
        ok = lag.oldest_ms <= BEHIND_MS
        detail = f"{lag.records} records waiting, the oldest for {lag.oldest_ms / 1000:.1f} s"
        remedy = _unless(ok, f"Does a process run the role {lag.group}? `cdp run {lag.group}`")
        findings.append(Finding(check=f"{lag.group} on {lag.topic}", ok=ok, detail=detail, remedy=remedy))
    return findings


async def _conservation(opened: Platform) -> list[Finding]:
    findings = []
    for counts in await status.source_counts(opened):
        ok = counts.difference == 0
        detail = ", ".join(f"{name} {value}" for name, value in counts if name != "source")
        remedy = _unless(ok, "Events are missing or counted twice: please report this with the output of `cdp status`.")
        findings.append(Finding(check=f"events of {counts.source}", ok=ok, detail=detail, remedy=remedy))
    return findings


def check_definitions(registry: Registry) -> Finding:
    """There is a source to send to and a token to ask with."""
    sources = [entry.key for entry in registry.all("source") if entry.body.get("enabled", True)]
    tokens = len(registry.all("token"))
    ok = bool(sources) and tokens > 0
    detail = f"{len(sources)} enabled sources, {tokens} API tokens"
    return Finding(check="definitions", ok=ok, detail=detail, remedy=_unless(ok, "`cdp up` makes what is missing."))


def _unless(ok: bool, remedy: str) -> str:
    return "" if ok else remedy


router = APIRouter(prefix="/api/v1/status/checks", tags=["status"])


@router.post("", summary="Examine the installation")
async def examine_installation(
    request: Request,
    opened: Annotated[Platform, Depends(platform)],
    _: Annotated[object, Depends(require("status:write"))],
) -> Findings:
    """What `cdp doctor` shows: a record is appended to the log and read back, each part asked, each role looked at."""
    return report(opened.settings, await examine(opened, request.app.state.readers))

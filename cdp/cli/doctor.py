"""`cdp doctor`: what is configured, what answers, what is healthy, and what to do if not."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from cdp.cli.command import AsJson, Token, Url
from cdp.cli.connection import UnreachableError, connect
from cdp.cli.output import Output
from cdp.settings import Settings

if TYPE_CHECKING:
    from cdp.doctor import Finding

UNWELL = 1


def doctor(url: Url = None, token: Token = None, as_json: AsJson = False) -> None:
    """Say what is configured, reachable and healthy, and what to do if not. Exit code 1 if anything is not well."""
    from cdp import telemetry

    settings = Settings.load()
    telemetry.configure(settings.telemetry.model_copy(update={"log_level": "error"}))
    try:
        with connect(url, token) as service:
            answer = service.post("/api/v1/status/checks")
            where = f"The service at {service.url} was asked."
    except UnreachableError as error:
        if url is not None:
            raise
        answer = asyncio.run(_examine(settings))
        where = f"No service runs ({error.message.partition(' (')[0].rstrip('.')}); the parts were opened here."
    _print({"where": where, **answer}, Output(as_json=as_json))
    sys.exit(0 if answer["ok"] else UNWELL)


async def _examine(settings: Settings) -> dict[str, Any]:
    from cdp.doctor import report

    return report(settings, [one async for one in _examined(settings)]).model_dump()


async def _examined(settings: Settings) -> AsyncIterator[Finding]:
    """Open part after part and look at it; one that does not open hides no other."""
    from cdp.doctor import PARTS, check_folder

    yield check_folder(settings)
    for name in PARTS:
        yield await _looked_at(settings, name)


async def _looked_at(settings: Settings, name: str) -> Finding:
    from cdp.doctor import check_part, failed
    from cdp.wiring import opened

    wanted = frozenset({name}) - {"log"}
    try:
        async with opened(settings, wanted, say=_silent, patience=0) as platform:
            return await check_part(platform, name)
    except Exception as error:
        return failed(name, error)


def _silent(_: str) -> None:
    """The findings tell it."""


def _print(told: dict[str, Any], out: Output) -> None:
    if out.as_json:
        out.document(told)
        return
    print("Settings that differ from their defaults:")
    for variable, value in told["settings"].items() or [("(none)", "")]:
        print(f"  {variable}{' = ' if value else ''}{value}")
    print(f"\n{told['where']}")
    for finding in told["findings"]:
        print(f"  {'ok  ' if finding['ok'] else 'BAD '} {finding['check']}: {finding['detail'] or 'well'}")
        if finding["remedy"]:
            print(f"       {finding['remedy']}")

"""`cdp up` and `cdp run`: the product itself."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import Annotated

import typer

from cdp.cli.command import AsJson
from cdp.cli.output import Output
from cdp.settings import Settings

INTERRUPTED = 130
# Seconds after which another Ctrl-C means "at once"; before, a wrapper has only passed on the same one.
IMPATIENCE = 1.0


def up(as_json: AsJson = False) -> None:
    """Run the whole product in this process, until Ctrl-C."""
    settings = Settings.load()
    from cdp.wiring import role_names

    _serve(settings, role_names(), Output(as_json=as_json))


def run_role(
    role: Annotated[
        str, typer.Argument(help="collector, resolver, loader, segmenter, dispatcher or api.", show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Run one role in this process, until Ctrl-C: for Kafka, Redis and a ClickHouse server."""
    settings = Settings.load()
    from cdp.wiring import role_names

    if role not in (known := role_names()):
        raise typer.BadParameter(f"There is no role {role!r}; choose among {', '.join(known)}.")
    _serve(settings, [role], Output(as_json=as_json))


def _serve(settings: Settings, names: list[str], out: Output) -> None:
    import uvloop

    from cdp import telemetry

    telemetry.configure(settings.telemetry)
    try:
        uvloop.run(_until_told(settings, names, out))
    except asyncio.CancelledError:
        out.say("Stopped.")


async def _until_told(settings: Settings, names: list[str], out: Output) -> None:
    """Work until SIGINT or SIGTERM cancels this task, which stops everything in order; a later one ends at once."""
    from cdp import bootstrap, heap
    from cdp.wiring import running

    task = asyncio.current_task()
    assert task is not None
    told_at = 0.0

    def stop() -> None:
        nonlocal told_at
        if not told_at:
            told_at = time.monotonic()
            task.cancel()
        elif time.monotonic() - told_at > IMPATIENCE:
            os._exit(INTERRUPTED)

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    async with running(settings, names, say=_wait_line) as service:
        credentials = service.credentials
        greeting = bootstrap.greeting(credentials, public_url=settings.http.public_url)
        if out.as_json:
            out.document(
                {"url": credentials.url, "write_key": credentials.write_key, "admin_token": credentials.admin_token}
            )
        elif credentials.write_key:
            print(greeting)
        else:
            print(f"{', '.join(names)} runs{f' at {credentials.url}' if credentials.url else ''}. Ctrl-C stops.")
        sys.stdout.flush()
        heap.settle()
        await asyncio.Event().wait()


def _wait_line(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)

"""`cdp tail`: events, live."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import typer

from cdp.cli.command import asks
from cdp.cli.connection import Service
from cdp.cli.output import Output, clock_of

COLOURS = {"raw": "cyan", "quarantined": "red", "resolved": "blue", "membership": "green", "delivery": "magenta"}
# What a line shows of each stage, in this order.
FIELDS = {
    "raw": ("source", "type", "event", "user_id", "anonymous_id", "message_id"),
    "quarantined": ("source", "code", "path", "reason", "quarantine_id"),
    "resolved": ("source", "type", "event", "profile_id"),
    "membership": ("segment", "change", "profile_id", "reason"),
    "delivery": ("destination", "segment", "action", "outcome", "attempt", "reason", "profile_id"),
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    asks(app.command("tail"))(follow)


def follow(
    service: Service,
    out: Output,
    *,
    stage: Annotated[
        str | None, typer.Option(help="Only this stage: raw, quarantined, resolved, membership or delivery.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Only events of this source, and what follows from them.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="Only events of this type.")] = None,
    event: Annotated[str | None, typer.Option(help="Only events of this name.")] = None,
    profile: Annotated[str | None, typer.Option(help="Only this profile id.")] = None,
    segment: Annotated[str | None, typer.Option(help="Only changes of this segment.")] = None,
    destination: Annotated[str | None, typer.Option(help="Only deliveries to this destination.")] = None,
    trace: Annotated[str | None, typer.Option(help="Only this trace id.")] = None,
) -> None:
    """Watch events live, from raw to delivery, until Ctrl-C."""
    query = {
        "stage": stage,
        "source": source,
        "type": kind,
        "event": event,
        "profile": profile,
        "segment": segment,
        "destination": destination,
        "trace": trace,
    }
    try:
        with service.lines("/api/v1/tail", query, endless=True) as lines:
            _print(lines, out)
    except KeyboardInterrupt:
        return


def _print(lines: Iterable[str], out: Output) -> None:
    if out.as_json:
        for text in _documents(lines):
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)
    console.print(Text("Watching; Ctrl-C ends.", style="dim"))
    for text in _documents(lines):
        line = json.loads(text)
        console.print(Text(rendered(line), style=COLOURS.get(line["stage"], "")))


def _documents(lines: Iterable[str]) -> Iterator[str]:
    return (line.removeprefix("data:").strip() for line in lines if line.startswith("data:"))


def rendered(line: dict[str, Any]) -> str:
    """A line for people."""
    shown = [f"{name}={line[name]}" for name in FIELDS.get(line["stage"], ()) if line.get(name) not in (None, "")]
    return f"{clock_of(line['at'])}  {line['stage']:<11} {line['trace_id'][:8]:<8}  {'  '.join(shown)}"

"""`cdp events`: the stored events, as JSON lines."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cdp.cli.command import asks
from cdp.cli.connection import Service
from cdp.cli.output import Output


def register(app: typer.Typer) -> None:
    """Add the command."""
    asks(app.command("events"))(show)


def show(
    service: Service,
    out: Output,
    *,
    source: Annotated[str | None, typer.Option(help="Only events of this source.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="Only events of this type, for example track.")] = None,
    event: Annotated[str | None, typer.Option(help="Only events of this name.")] = None,
    message_id: Annotated[str | None, typer.Option(help="Only events with this messageId.")] = None,
    since: Annotated[str | None, typer.Option(help="Only events received at this moment or later (ISO 8601).")] = None,
    until: Annotated[str | None, typer.Option(help="Only events received before this moment (ISO 8601).")] = None,
    order: Annotated[str | None, typer.Option(help="newest or oldest first.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most events.")] = 100,
) -> None:
    """Print stored events, one JSON object a line."""
    query = {
        "source": source,
        "type": kind,
        "event": event,
        "message_id": message_id,
        "since": since,
        "until": until,
        "order": order,
        "limit": limit,
    }
    with service.lines("/api/v1/events", query) as lines:
        for line in lines:
            sys.stdout.write(f"{line}\n")

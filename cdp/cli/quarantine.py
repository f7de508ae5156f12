"""`cdp quarantine`: events kept aside with a reason."""

from __future__ import annotations

from typing import Annotated

import typer

from cdp.cli.command import Limit, asks, group
from cdp.cli.connection import Service
from cdp.cli.output import Output

app = group("quarantine", "Events kept aside with a reason: read them, send them in again.")
PATH = "/api/v1/quarantine"


@asks(app.command("list"))
def list_events(
    service: Service,
    out: Output,
    *,
    source: Annotated[str | None, typer.Option(help="Only of this source.")] = None,
    code: Annotated[str | None, typer.Option(help="Only with this reason's code.")] = None,
    limit: Limit = 100,
) -> None:
    """List what is kept aside, the latest first."""
    columns = ["id", "received_at", "source", "code", "path", "reason"]
    out.table(service.pages(PATH, limit=limit, source=source, code=code), columns, empty="Nothing is kept aside.")


@asks(app.command("replay"))
def replay(
    service: Service, out: Output, *, ids: Annotated[list[str], typer.Argument(help="Ids of quarantined events.")]
) -> None:
    """Send events in again, as they are."""
    answers = [service.post(f"{PATH}/{one}/replay") for one in ids]
    out.done(answers, f"{len(answers)} events are on their way again.")

"""`cdp quarantine`: events kept aside with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cdp.cli.command import Limit, asks, group, read_json
from cdp.cli.connection import Service
from cdp.cli.output import Output
from cdp.errors import InvalidError

app = group("quarantine", "Events kept aside with a reason: read, correct, send in again.")
PATH = "/api/v1/quarantine"
Id = Annotated[str, typer.Argument(help="Id of a quarantined event.")]
Ids = Annotated[list[str], typer.Argument(help="Ids of quarantined events.")]
MOST_AT_ONCE = 1_000


@asks(app.command("list"))
def list_events(
    service: Service,
    out: Output,
    *,
    source: Annotated[str | None, typer.Option(help="Only of this source.")] = None,
    code: Annotated[str | None, typer.Option(help="Only for this reason's code.")] = None,
    status: Annotated[str | None, typer.Option(help="quarantined (if absent), replayed, discarded or any.")] = None,
    limit: Limit = 100,
) -> None:
    """List what is kept aside, the latest received first."""
    columns = ["id", "received_at", "source", "code", "path", "reason"]
    found = service.pages(PATH, limit=limit, source=source, code=code, status=status)
    out.table(found, columns, empty="Nothing is kept aside.")


@asks(app.command("get"))
def get(service: Service, out: Output, *, event_id: Id) -> None:
    """Print one event, with its body as it was received."""
    out.record(service.get(f"{PATH}/{event_id}"))


@asks(app.command("replay"))
def replay(
    service: Service,
    out: Output,
    *,
    ids: Ids,
    file: Annotated[Path | None, typer.Option(help="The corrected event, as JSON; for one id.")] = None,
) -> None:
    """Send events in again, as they are or corrected. Each is judged like a fresh one."""
    if file is None:
        _decide(service, out, "replay", ids)
    elif len(ids) == 1:
        answer = service.post(f"{PATH}/{ids[0]}/replay", {"body": read_json(file)})
        out.done(answer, f"{ids[0]} is on its way again.")
    else:
        raise InvalidError("--file corrects one event: name one id.")


@asks(app.command("discard"))
def discard(service: Service, out: Output, *, ids: Ids) -> None:
    """Mark events as decided about. They are kept."""
    _decide(service, out, "discard", ids)


def _decide(service: Service, out: Output, verb: str, ids: list[str]) -> None:
    results: list[dict[str, Any]] = []
    for start in range(0, len(ids), MOST_AT_ONCE):
        results += service.post(f"{PATH}/{verb}", {"ids": ids[start : start + MOST_AT_ONCE]})["results"]
    out.table(results, ["id", "status", "path", "message"], empty="")
    if any(one["status"] == "refused" for one in results):
        raise typer.Exit(1)

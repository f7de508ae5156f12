"""`cdp destination` and `cdp sync`: where segments are sent, and which."""

from __future__ import annotations

from typing import Annotated

import typer

from cdp.cli.command import Limit, asks, group
from cdp.cli.connection import Service
from cdp.cli.definitions import Key, add_delete, add_get, add_list, add_put
from cdp.cli.output import Output

app = group("destination", "Where segments are sent, and what became of each delivery.")
syncs = group("sync", "Which segment is sent to which destination.")
PATH, SYNCS = "/api/v1/destinations", "/api/v1/syncs"

add_list(app, PATH, ["key", "name", "connector", "enabled"], "destination")
add_get(app, PATH, "destination")
add_put(app, PATH, "destination")
add_delete(app, PATH, "destination")
add_list(syncs, SYNCS, ["key", "segment", "destination"], "sync")
add_get(syncs, SYNCS, "sync")
add_put(syncs, SYNCS, "sync")
add_delete(syncs, SYNCS, "sync")


@asks(app.command("catalog"))
def catalog(service: Service, out: Output) -> None:
    """List the connectors that a destination can name; --json shows their settings too."""
    out.table(service.get(f"{PATH}/catalog")["items"], ["name", "title", "transport"], empty="No connectors.")


@asks(app.command("status"))
def status(service: Service, out: Output, *, key: Key) -> None:
    """Show how a destination is: who waits, who was set aside, what went wrong last."""
    out.record(service.get(f"{PATH}/{key}/status"))


@asks(app.command("test"))
def test(service: Service, out: Output, *, key: Key) -> None:
    """Send one made-up member, and say what became of it."""
    out.record(service.post(f"{PATH}/{key}/test"))


@asks(app.command("dry-run"))
def dry_run(
    service: Service,
    out: Output,
    *,
    key: Key,
    segment: Annotated[str | None, typer.Option(help="A segment that is sent there.")] = None,
    profile: Annotated[str | None, typer.Option(help="A profile id; else a made-up person.")] = None,
    action: Annotated[str, typer.Option(help="add or remove.")] = "add",
) -> None:
    """Print the requests that would be sent for one change; nothing is sent."""
    out.document(service.post(f"{PATH}/{key}/dry-run", {"segment": segment, "profile_id": profile, "action": action}))


@asks(app.command("deliveries"))
def deliveries(
    service: Service,
    out: Output,
    *,
    key: Key,
    outcome: Annotated[str | None, typer.Option(help="Only delivered, retrying, failed or dropped ones.")] = None,
    segment: Annotated[str | None, typer.Option(help="Only of this segment.")] = None,
    profile: Annotated[str | None, typer.Option(help="Only of this profile id.")] = None,
    limit: Limit = 100,
) -> None:
    """List the attempts, newest first."""
    found = service.pages(f"{PATH}/{key}/deliveries", limit=limit, outcome=outcome, segment=segment, profile_id=profile)
    columns = ["at", "action", "outcome", "segment", "profile_id", "attempt", "reason"]
    out.table(found, columns, empty="No deliveries.")


@asks(app.command("replay"))
def replay(service: Service, out: Output, *, key: Key) -> None:
    """Send again what was set aside as failed."""
    out.record(service.post(f"{PATH}/{key}/replay"))


@asks(app.command("reconcile"))
def reconcile(service: Service, out: Output, *, key: Key) -> None:
    """Compare who should be there with who is, and send the difference."""
    out.record(service.post(f"{PATH}/{key}/reconcile"))

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
add_list(syncs, SYNCS, ["key", "segment", "destination", "enabled"], "sync")
add_get(syncs, SYNCS, "sync")
add_put(syncs, SYNCS, "sync")
add_delete(syncs, SYNCS, "sync")


@asks(app.command("status"))
def status(service: Service, out: Output, *, key: Key) -> None:
    """Show how the destination is: its ledger, its breaker, what waits."""
    out.record(service.get(f"{PATH}/{key}/status"))


@asks(app.command("test"))
def test(service: Service, out: Output, *, key: Key) -> None:
    """Try the destination with one harmless request."""
    out.record(service.post(f"{PATH}/{key}/test"))


@asks(app.command("deliveries"))
def deliveries(
    service: Service,
    out: Output,
    *,
    key: Key,
    outcome: Annotated[str | None, typer.Option(help="delivered, retrying, failed or dropped.")] = None,
    limit: Limit = 100,
) -> None:
    """List deliveries, the latest first."""
    columns = ["at", "action", "outcome", "segment", "profile_id", "attempt", "reason"]
    out.table(service.pages(f"{PATH}/{key}/deliveries", limit=limit, outcome=outcome), columns, empty="No deliveries.")


@asks(app.command("replay"))
def replay(service: Service, out: Output, *, key: Key) -> None:
    """Send again what was set aside as failed."""
    out.record(service.post(f"{PATH}/{key}/replay"))

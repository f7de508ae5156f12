"""`cdp identity`: join, part and review people."""

from __future__ import annotations

from typing import Annotated

import typer

from cdp.cli.command import Limit, asks, group, read_json
from cdp.cli.connection import Service
from cdp.cli.definitions import File
from cdp.cli.output import Output

app = group("identity", "Join, part and review what identity resolution did.")
PATH = "/api/v1/identity"
Left = Annotated[str, typer.Argument(metavar="TYPE:VALUE", help="One person.")]
Right = Annotated[str, typer.Argument(metavar="TYPE:VALUE", help="The other.")]


@asks(app.command("merge"))
def merge(service: Service, out: Output, *, left: Left, right: Right) -> None:
    """Say that two are one person."""
    out.record(service.post(f"{PATH}/merge", {"left": left, "right": right}))


@asks(app.command("split"))
def split(service: Service, out: Output, *, left: Left, right: Right) -> None:
    """Say that two are not one person."""
    out.record(service.post(f"{PATH}/split", {"left": left, "right": right}))


@asks(app.command("simulate"))
def simulate(service: Service, out: Output, *, file: File) -> None:
    """Show what other rules would change, before anything changes."""
    out.record(service.post(f"{PATH}/simulate", read_json(file)))


@asks(app.command("review"))
def review(service: Service, out: Output, *, limit: Limit = 100) -> None:
    """List possible matches that wait for a decision."""
    out.table(
        service.pages(f"{PATH}/review", limit=limit), ["left", "right", "probability"], empty="Nothing to review."
    )


@asks(app.command("rebuild"))
def rebuild(service: Service, out: Output) -> None:
    """Make the live graph again from the ledger."""
    out.record(service.post(f"{PATH}/rebuild"))

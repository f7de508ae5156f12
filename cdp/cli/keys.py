"""`cdp key`: API tokens."""

from __future__ import annotations

from typing import Annotated

import typer

from cdp.cli.command import Limit, asks, group
from cdp.cli.connection import Service
from cdp.cli.output import Output

app = group("key", "API tokens: who may ask what.")
PATH = "/api/v1/keys"


@asks(app.command("create"))
def create(
    service: Service,
    out: Output,
    *,
    name: Annotated[str, typer.Argument(help="What it is for, in words.")],
    scope: Annotated[list[str], typer.Option(help="What it may do, for example profiles:read; repeat for more.")],
    expires_at: Annotated[str | None, typer.Option(help="When it stops to work (ISO 8601).")] = None,
) -> None:
    """Make a token. It is printed this once."""
    answer = service.post(PATH, {"name": name, "scopes": scope, "expires_at": expires_at})
    out.record(answer)


@asks(app.command("list"))
def list_keys(service: Service, out: Output, *, limit: Limit = 100) -> None:
    """List the tokens, without their secrets."""
    columns = ["key", "name", "scopes", "created_at", "expires_at"]
    out.table(service.pages(PATH, limit=limit), columns, empty="No tokens.")


@asks(app.command("delete"))
def delete(service: Service, out: Output, *, key: Annotated[str, typer.Argument(help="The token's key.")]) -> None:
    """Delete a token: it stops to work at once."""
    out.done(service.delete(f"{PATH}/{key}"), f"{key} is deleted.")

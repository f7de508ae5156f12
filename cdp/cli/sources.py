"""`cdp source`: where events come in."""

from __future__ import annotations

from typing import Annotated

import typer

from cdp.cli.command import asks, group
from cdp.cli.connection import Service
from cdp.cli.definitions import Key, add_delete, add_get, add_list, add_put
from cdp.cli.output import Output

app = group("source", "Where events come in, and their write keys.")
PATH = "/api/v1/sources"

add_list(app, PATH, ["key", "name", "enabled", "allowed_origins", "updated_at"], "source")
add_get(app, PATH, "source")


@asks(app.command("create"))
def create(
    service: Service,
    out: Output,
    *,
    key: Key,
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
) -> None:
    """Make a source with a write key of its own, and print it with the line to paste into a web page."""
    out.record(service.post(PATH, {"key": key, "name": name or key}))


add_put(app, PATH, "source")


@asks(app.command("rotate"))
def rotate(
    service: Service,
    out: Output,
    *,
    key: Key,
    grace_hours: Annotated[float, typer.Option(min=0, help="How long the key before goes on working.")] = 168,
) -> None:
    """Make a new write key; the one before goes on working for a while."""
    out.record(service.post(f"{PATH}/{key}/rotate", grace_hours=grace_hours))


add_delete(app, PATH, "source")

"""`cdp catalogue`: which events and traits there are, learnt from traffic."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from cdp.cli.command import Limit, asks, group
from cdp.cli.connection import Service
from cdp.cli.output import Output

app = group("catalogue", "Which events and traits there are, learnt from traffic.")
PATH = "/api/v1/catalogue"
Source = Annotated[str | None, typer.Option(help="Only of this source.")]


@asks(app.command("events"))
def events(
    service: Service,
    out: Output,
    *,
    source: Source = None,
    type_: Annotated[str | None, typer.Option("--type", help="Only events of this type.")] = None,
    limit: Limit = 1_000,
) -> None:
    """List the events that were stored, counted."""
    columns = ["source", "type", "name", "events", "first_seen", "last_seen"]
    found = service.pages(f"{PATH}/events", limit=limit, source=source, type=type_)
    out.table(found, columns, empty="No event was stored yet.")


@asks(app.command("event"))
def event(
    service: Service,
    out: Output,
    *,
    name: Annotated[str, typer.Argument(help="The name of a track event, or a type such as page.")],
    source: Source = None,
) -> None:
    """Describe an event: its properties, their types, in what share of the events they are, and examples."""
    _print(out, service.get(f"{PATH}/events/{quote(name, safe='')}", source=source))


@asks(app.command("traits"))
def traits(service: Service, out: Output, *, source: Source = None) -> None:
    """Describe the traits of people."""
    _print(out, service.get(f"{PATH}/traits", source=source))


def _print(out: Output, answer: dict[str, Any]) -> None:
    if out.as_json:
        out.document(answer)
        return
    for one in answer["items"]:
        kind = "" if one["name"] == one["type"] else f" ({one['type']})"
        head = f"{one['name']}{kind} of {one['source']}: {one['events']} since {one['first_seen']}"
        out.say(f"{head}; fields learnt from {one['looked_at']}")
        rows = [{**field, "share": f"{field['share']:.0%}"} for field in one["fields"]]
        out.table(rows, ["path", "types", "formats", "share", "examples", "last_seen"], empty="It has no fields.")
    if not answer["items"]:
        out.say("Nothing was stored yet.")

"""`cdp profile`: people."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from cdp.cli.command import asks, group
from cdp.cli.connection import Service
from cdp.cli.output import Output

app = group("profile", "People: who they are, and why they are one person.", default="show")
PATH = "/api/v1/profiles"
# What is shown of the parts that have more columns than a terminal.
COLUMNS = {
    "events": ["at", "source", "type", "name", "properties", "message_id"],
    "links": ["rule", "value", "probability", "left", "right"],
    "deliveries": ["at", "destination", "segment", "action", "outcome", "reason"],
}
Identifier = Annotated[
    str, typer.Argument(metavar="TYPE:VALUE", help="For example user_id:lan, email:lan@example.com, profile_id:0b1f….")
]


@asks(app.command("show"))
def show(
    service: Service,
    out: Output,
    *,
    identifier: Identifier,
    include: Annotated[
        str | None, typer.Option(help="Also these, comma-separated: events, links, deliveries, anchors.")
    ] = None,
) -> None:
    """Show a person. `cdp profile TYPE:VALUE` does the same."""
    answer = service.get(_path(identifier), include=include)
    if out.as_json:
        out.document(answer)
        return
    out.record({name: value for name, value in answer.items() if value is not None and not _tabular(value)})
    for name, value in answer.items():
        if _tabular(value):
            out.say(f"\n{name}")
            out.table(value, COLUMNS.get(name) or list(value[0]), empty="")


@asks(app.command("explain"))
def explain(
    service: Service,
    out: Output,
    *,
    identifier: Identifier,
    to: Annotated[
        str | None, typer.Option(metavar="TYPE:VALUE", help="Only the links that lead to this identifier.")
    ] = None,
) -> None:
    """Say why it is one person: the links between observations, in the order in which they lead on."""
    answer = service.get(f"{_path(identifier)}/explain", to=to)
    if out.as_json:
        out.document(answer)
        return
    out.say(f"{answer['profile_id']}, {len(answer['observations'])} observations")
    for number, step in enumerate(answer["steps"], 1):
        out.say(f"{number:>3}. {step}")
    if not answer["steps"]:
        out.say("One observation: nothing had to be linked.")


def _path(identifier: str) -> str:
    return f"{PATH}/{quote(identifier, safe=':@')}"


def _tabular(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)

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
Identifier = Annotated[
    str, typer.Argument(metavar="TYPE:VALUE", help="For example user_id:lan, email:lan@example.com, profile_id:0b1f….")
]


@asks(app.command("show"))
def show(
    service: Service,
    out: Output,
    *,
    identifier: Identifier,
    include: Annotated[str | None, typer.Option(help="Also these, comma-separated: events, links, deliveries.")] = None,
) -> None:
    """Show a person. `cdp profile TYPE:VALUE` does the same."""
    answer = service.get(_path(identifier), include=include)
    if out.as_json:
        out.document(answer)
        return
    plain = {name: value for name, value in answer.items() if not _tabular(value)}
    out.record(plain)
    for name, value in answer.items():
        if _tabular(value):
            out.say(f"\n{name}")
            out.table(value, list(value[0]), empty="")


@asks(app.command("explain"))
def explain(service: Service, out: Output, *, identifier: Identifier) -> None:
    """Show the links that make it one person."""
    out.document(service.get(f"{_path(identifier)}/explain"))


def _path(identifier: str) -> str:
    return f"{PATH}/{quote(identifier, safe=':@')}"


def _tabular(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)

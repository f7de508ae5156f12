"""`cdp segment`: groups of people."""

from __future__ import annotations

from typing import Annotated

import typer

from cdp.cli.command import Limit, asks, group, read_json
from cdp.cli.connection import Service
from cdp.cli.definitions import File, Key, add_delete, add_get, add_list, add_put
from cdp.cli.output import Output

app = group("segment", "Groups of people: define them, see who is in, who came and who went.")
PATH = "/api/v1/segments"

add_list(app, PATH, ["key", "name", "view", "members", "ready", "description"], "segment")
add_get(app, PATH, "segment")
add_put(app, PATH, "segment")
add_delete(app, PATH, "segment")


@asks(app.command("preview"))
def preview(service: Service, out: Output, *, file: File) -> None:
    """Count who would be in, and who meets each condition; nothing is stored."""
    body = {name: value for name, value in read_json(file).items() if name in ("conditions", "view")}
    answer = service.post(f"{PATH}/preview", body)
    if out.as_json:
        out.document(answer)
        return
    out.say(f"{answer['profiles']} of {answer['of']} profiles would be in.\n")
    out.table(answer["explain"], ["profiles", "path"], empty="")


@asks(app.command("members"))
def members(
    service: Service,
    out: Output,
    *,
    key: Key,
    at: Annotated[str | None, typer.Option(help="Who was in at this moment (ISO 8601).")] = None,
    limit: Limit = 100,
) -> None:
    """List who is in, or was at a moment."""
    out.table(service.pages(f"{PATH}/{key}/members", limit=limit, at=at), ["profile_id", "since"], empty="Nobody.")


@asks(app.command("changes"))
def changes(
    service: Service,
    out: Output,
    *,
    key: Key,
    profile: Annotated[str | None, typer.Option(help="Only of this profile id.")] = None,
    limit: Limit = 100,
) -> None:
    """List who came in and who went out, the latest first."""
    columns = ["at", "change", "profile_id", "sequence", "reason"]
    found = service.pages(f"{PATH}/{key}/changes", limit=limit, profile_id=profile)
    out.table(found, columns, empty="No changes.")


@asks(app.command("schema"))
def schema(service: Service, out: Output) -> None:
    """Print the JSON Schema of conditions, which says what each operator means."""
    out.document(service.get(f"{PATH}/schema"))

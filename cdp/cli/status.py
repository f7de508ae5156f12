"""`cdp status`: how the installation is."""

from __future__ import annotations

import typer

from cdp.cli.command import asks
from cdp.cli.connection import Service
from cdp.cli.output import Output


def register(app: typer.Typer) -> None:
    """Add the command."""
    asks(app.command("status"))(show)


def show(service: Service, out: Output) -> None:
    """Show parts, roles, how far each consumer is behind, and where each source's events went."""
    answer = service.get("/api/v1/status")
    if out.as_json:
        out.document(answer)
        return
    out.say(f"streamcdp {answer['version']} at {service.url}, {answer['at']}\n")
    out.table(answer["parts"], ["name", "kind", "ok", "version", "detail"], empty="")
    out.table(answer["roles"], ["name", "ok", "detail"], empty="")
    out.table(answer["consumers"], ["group", "topic", "messages", "records", "oldest_ms"], empty="No consumers.")
    counts = answer["conservation"]
    out.table(counts, list(counts[0]) if counts else [], empty="No events yet.")

"""`cdp webhook`: ready-made webhooks of other platforms, and a place to try one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cdp.cli.command import asks, group
from cdp.cli.connection import Service
from cdp.cli.output import Output
from cdp.errors import InvalidError

app = group("webhook", "Webhooks of other platforms: the presets, and what they make of a payload.")
PATH = "/api/v1/webhooks"
Name = Annotated[str, typer.Argument(help="Name of the preset.")]


@asks(app.command("presets"))
def list_presets(service: Service, out: Output) -> None:
    """List the ready-made platforms."""
    out.table(service.get(f"{PATH}/presets")["items"], ["name", "title", "follows"], empty="There are none.")


@asks(app.command("preset"))
def get_preset(service: Service, out: Output, *, name: Name) -> None:
    """Print one preset: how the platform signs, and which of its payloads become which events."""
    out.record(service.get(f"{PATH}/presets/{name}"))


@asks(app.command("try"))
def try_payload(
    service: Service,
    out: Output,
    *,
    file: Annotated[Path, typer.Argument(help="The body as the platform sends it, JSON or a form.")],
    preset: Annotated[str | None, typer.Option(help="Name of a preset.")] = None,
    source: Annotated[str | None, typer.Option(help="Key of a source, whose preset and mapping are taken.")] = None,
    header: Annotated[list[str] | None, typer.Option(help="A header, `Name: value`; may be repeated.")] = None,
) -> None:
    """Print the events that a payload would become. Nothing is stored."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(f"{file} cannot be read: {error}.") from error
    webhook = service.get(f"/api/v1/sources/{source}")["webhook"] or {} if source else {}
    trial = {
        "preset": preset or webhook.get("preset"),
        "mapping": webhook.get("mapping") or {},
        "body": webhook.get("body"),
        "source": source or "try",
        "text": text,
        "headers": dict(map(_header, header or ())),
    }
    out.record(service.post(f"{PATH}/try", trial))


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise InvalidError(f"{line!r} is no header: write `Name: value`.")
    return name.strip(), value.strip()

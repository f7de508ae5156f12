"""All commands of `cdp`, and what their errors mean to a shell.

Exit codes: 0 done, 1 refused or invalid, 2 misused, 3 nothing answers.
"""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from cdp import __version__
from cdp.cli import (
    catalogue,
    demo,
    destinations,
    doctor,
    events,
    identity,
    imports,
    keys,
    plans,
    profiles,
    quarantine,
    segments,
    sources,
    status,
    tail,
    up,
    webhooks,
)
from cdp.cli.command import AsJson
from cdp.cli.output import Output
from cdp.errors import CdpError, TransientError

REFUSED, UNREACHABLE = 1, 3

app = typer.Typer(
    name="cdp",
    help="A real-time, event-streaming customer data platform.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("up")(up.up)
app.command("run")(up.run_role)
app.command("doctor")(doctor.doctor)
for module in (imports, status, events, tail, demo):
    module.register(app)
for commands in (
    profiles.app,
    segments.app,
    destinations.app,
    destinations.syncs,
    sources.app,
    keys.app,
    webhooks.app,
    plans.app,
    quarantine.app,
    catalogue.app,
    identity.app,
):
    app.add_typer(commands)


@app.command("version")
def version(as_json: AsJson = False) -> None:
    """Print the version."""
    Output(as_json=as_json).done({"version": __version__}, f"streamcdp {__version__}")


def run() -> NoReturn:
    """Run the command that the arguments name, and exit."""
    try:
        app()
    except CdpError as error:
        print(f"cdp: {error.message}", file=sys.stderr)
        sys.exit(UNREACHABLE if isinstance(error, TransientError) else REFUSED)
    except BrokenPipeError:
        sys.exit(REFUSED)
    sys.exit(0)

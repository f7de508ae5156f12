"""How commands are made: one decorator that gives a function the running service and a place to print.

    @asks(app.command("list"))
    def list_segments(service: Service, out: Output, *, limit: int = 100) -> None: ...

becomes `cdp segment list --limit N --url … --token … --json`.
"""

from __future__ import annotations

import functools
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cdp.cli.connection import connect
from cdp.cli.output import Output
from cdp.errors import InvalidError

Url = Annotated[
    str | None, typer.Option("--url", envvar="CDP_URL", help="Address of the service; else that of the data folder.")
]
Token = Annotated[
    str | None, typer.Option("--token", envvar="CDP_TOKEN", help="API token; else that of the data folder.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SET_BY_SERVICE = frozenset({"key", "version", "created_at", "updated_at", "made", "members", "ready"})
Limit = Annotated[int, typer.Option(min=1, help="Most to print.")]


def _options(*, url: Url = None, token: Token = None, as_json: AsJson = False) -> None:
    """The options of every command that asks the service."""


def asks(register: Callable[[Callable[..., Any]], Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command that asks the running service: `function(service, out, …its own arguments)`."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(function, eval_str=True)
        shared = inspect.signature(_options, eval_str=True)

        @functools.wraps(function)
        def command(*, url: str | None, token: str | None, as_json: bool, **arguments: Any) -> None:
            with connect(url, token) as service:
                function(service, Output(as_json=as_json), **arguments)

        parameters = [*list(own.parameters.values())[2:], *shared.parameters.values()]
        parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
        del command.__wrapped__
        command.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        register(command)
        return function

    return decorate


def group(name: str, sentence: str, *, default: str | None = None) -> typer.Typer:
    """A group of commands, and of those that the wing of its name offers.

    With `default`, that command is meant where none is named: `cdp profile email:…`.
    """

    @functools.cache
    def offered() -> dict[str, Any]:
        """The wing's commands; a wing takes its time to load, so only when they are asked for."""
        from cdp.service import wing

        found = wing(name)
        return dict(typer.main.get_group(found.commands).commands) if found and found.commands else {}

    class Defaulting(TyperGroup):
        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            return super().get_command(ctx, cmd_name) or offered().get(cmd_name)

        def list_commands(self, ctx: Any) -> list[str]:
            return [*super().list_commands(ctx), *offered()]

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            if default and args and not args[0].startswith("-") and args[0] not in self.commands:
                args = [default, *args]
            return super().parse_args(ctx, args)

    return typer.Typer(name=name, help=sentence, no_args_is_help=True, cls=Defaulting)


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in a file; `-` is standard input. Raises `InvalidError`."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        found = json.loads(text)
    except OSError as error:
        raise InvalidError(f"{file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise InvalidError(f"{file} is not valid JSON: {error}.") from error
    if not isinstance(found, dict):
        raise InvalidError(f"{file} must hold one JSON object.")
    return found


def keyed(file: Path, key: str | None) -> tuple[str, dict[str, Any]]:
    """A definition from a file, and its key: as given, else the file's own `key`, else the file's name.

    What `get` prints can be put again: the fields that only the service sets are left out.
    """
    body = read_json(file)
    inside = body.get("key")
    return key or inside or file.stem, {name: value for name, value in body.items() if name not in SET_BY_SERVICE}

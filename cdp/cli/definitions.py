"""What the commands on definitions (segments, destinations, syncs, sources) have in common: list, get, put, delete."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cdp.cli.command import Limit, asks, keyed
from cdp.cli.connection import Service
from cdp.cli.output import Output

Key = Annotated[str, typer.Argument(help="Its key.")]
File = Annotated[Path, typer.Argument(help="A JSON file; - is standard input.")]
FileKey = Annotated[str | None, typer.Option("--key", help="Its key; else `key` in the file, else the file's name.")]


def add_list(app: typer.Typer, path: str, columns: Sequence[str], word: str) -> None:
    """`list`: a page after the other."""

    @asks(app.command("list", help=f"List the {word}s."))
    def list_definitions(service: Service, out: Output, *, limit: Limit = 100) -> None:
        out.table(service.pages(path, limit=limit), columns, empty=f"No {word}s.")


def add_get(app: typer.Typer, path: str, word: str) -> None:
    """`get KEY`: the definition as JSON."""

    @asks(app.command("get", help=f"Print a {word} as JSON, as `put` takes it."))
    def get_definition(service: Service, out: Output, *, key: Key) -> None:
        out.document(service.get(f"{path}/{key}"))


def add_put(app: typer.Typer, path: str, word: str) -> None:
    """`put FILE`: make or change."""

    @asks(app.command("put", help=f"Make or change a {word} from a JSON file."))
    def put_definition(service: Service, out: Output, *, file: File, key: FileKey = None) -> None:
        name, body = keyed(file, key)
        answer = service.put(f"{path}/{name}", body)
        out.done(answer, f"The {word} {name} is defined.")
        for setting, secret in answer.get("made", {}).items():
            out.say(f"{setting}: {secret}  (made now, shown this once)")


def add_delete(app: typer.Typer, path: str, word: str) -> None:
    """`delete KEY`."""

    @asks(app.command("delete", help=f"Delete a {word}."))
    def delete_definition(service: Service, out: Output, *, key: Key) -> None:
        out.done(service.delete(f"{path}/{key}"), f"The {word} {key} is deleted.")

"""The reference pages, written from the settings, the commands and the routes themselves.

python -m tests.docs.reference       writes docs/reference/{settings,cli,http}.md; `make docs` does the same
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import typer
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from cdp.api import GROUND, create_app
from cdp.cli.commands import app as commands
from cdp.clock import SystemClock
from cdp.openapi import operations
from cdp.service import Platform, wings
from cdp.settings import Settings

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
MADE = "<!-- Written by `make docs`; change the code instead. -->\n"


def main() -> None:
    """Write the pages."""
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")


# --- settings


def settings_page() -> str:
    """Every setting: its variable, its default, its sentence."""
    intro = (
        "# Settings\n\n" + MADE + "\n"
        "Each setting is an environment variable. `CDP_CONFIG` may name a TOML file with the same tree (`[http]`, "
        "`port = 8100`); variables win over the file. A wrong or misspelt setting stops the start with a sentence that "
        "names it. `cdp doctor` shows what differs from the defaults.\n"
    )
    rows = [("CDP_CONFIG", "", "TOML file with settings.")]
    sections = []
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, BaseModel):
            sections.append(_section(name, _variables(type(field.default), f"CDP_{name.upper()}__")))
        else:
            rows.append(_row(f"CDP_{name.upper()}", field))
    return intro + _section("", rows) + "".join(sections)


def _section(title: str, rows: Iterator[tuple[str, str, str]] | list[tuple[str, str, str]]) -> str:
    heading = f"\n## {title}\n" if title else ""
    lines = "".join(f"| `{variable}` | {default} | {sentence} |\n" for variable, default, sentence in rows)
    return f"{heading}\n| variable | default | what |\n| --- | --- | --- |\n{lines}"


def _variables(room: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, field in room.model_fields.items():
        yield _row(f"{prefix}{name.upper()}", field)


def _row(variable: str, field: FieldInfo) -> tuple[str, str, str]:
    return variable, _default(field), _cell(field.description or "") + _choices(field)


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None or value == "" or isinstance(value, SecretStr):
        return ""
    shown = json.dumps(value) if isinstance(value, (bool, tuple, list)) else str(value)
    return f"`{shown}`"


def _choices(field: FieldInfo) -> str:
    choices = [choice for choice in get_args(field.annotation) if isinstance(choice, str)]
    return f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


# --- commands


def cli_page() -> str:
    """Every command: its sentence, its arguments, its options."""
    intro = (
        "# Commands\n\n" + MADE + "\n"
        "`cdp up` and `cdp run` are the product itself; every other command talks to the running one through its API. "
        "It finds address and token in the data folder (`CDP_DATA_DIR`) of this machine; elsewhere give `--url` and "
        "`--token`, or `CDP_URL` and `CDP_TOKEN`. What is printed for people can be had as JSON with `--json`.\n\n"
        "Exit codes: 0 done, 1 refused or invalid, 2 misused, 3 nothing answers.\n"
    )
    return intro + "".join(_command(path, command) for path, command in command_tree())


def command_tree() -> Iterator[tuple[str, Any]]:
    """Each command that does something, with its whole name."""
    yield from _leaves("cdp", typer.main.get_command(commands))


def _leaves(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name in command.list_commands(None):  # with those that wings offer
        yield from _leaves(f"{path} {name}", command.get_command(None, name))


def _command(path: str, command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and one.name not in SHARED]
    usage = " ".join([path, *(_placeholder(one) for one in arguments)])
    lines = [f"| `{_placeholder(one)}` | {_cell(one.help or '')} |\n" for one in arguments]
    lines += [f"| `{', '.join(one.opts)}` | {_cell(one.help or '')}{_usual(one)} |\n" for one in options]
    table = "\n| | |\n| --- | --- |\n" + "".join(lines) if lines else ""
    return f"\n## {path}\n\n```\n{usage}\n```\n\n{command.help}\n{table}"


SHARED = ("url", "token", "as_json", "help")


def _placeholder(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    name = f"{name}…" if argument.nargs == -1 else name
    return name if argument.required else f"[{name}]"


def _usual(option: Any) -> str:
    usual = option.default
    if option.required:
        return " Required."
    return f" (`{usual}`)" if usual not in (None, False, ()) and not callable(usual) else ""


# --- routes


def http_page() -> str:
    """Every route: its sentence, its parameters, its scope."""
    document = openapi()
    intro = (
        "# HTTP\n\n" + MADE + "\n"
        "What is below `/api/v1` needs `Authorization: Bearer TOKEN`; `/openapi.json` describes every body with "
        "schemas and examples. Every error looks like this, `path` leading to the fault in the input:\n\n"
        '```json\n{"error": {"code": "invalid", "message": "Field required", "path": "conditions[0].op"}}\n```\n\n'
        "400 the input is wrong · 401 no valid token · 403 the token lacks the scope · 404 no such thing · 409 it "
        "exists already or changed meanwhile · 503 a part is away, `Retry-After` says when to try again. Lists answer "
        '`{"items": […], "next": …}`; give `next` as `after` to get the next page. The answer\'s `X-Request-Id` is the '
        "trace id, which a request may bring itself as W3C `traceparent`.\n"
    )
    return intro + "".join(_tag(tag, document) for tag in document["tags"])


def openapi() -> dict[str, Any]:
    """The OpenAPI document of the whole product; nothing has to run for it."""
    nothing: Any = None
    routers = [wing.router for wing in wings() if wing.router is not None]
    document: dict[str, Any] = create_app(
        Platform(Settings.model_construct(), SystemClock(), nothing, nothing), {}, [*routers, *GROUND]
    ).openapi()
    return document


def _tag(tag: dict[str, str], document: dict[str, Any]) -> str:
    shown = [
        _operation(path, method, operation)
        for path, method, operation in operations(document)
        if operation["tags"][0] == tag["name"]
    ]
    return f"\n## {tag['name']}\n\n{tag['description']}\n{''.join(shown)}" if shown else ""


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    parameters = [one for one in operation.get("parameters", ()) if one["in"] == "query"]
    table = "\n| query | |\n| --- | --- |\n" if parameters else ""
    table += "".join(f"| `{one['name']}` | {_cell(one.get('description', ''))} |\n" for one in parameters)
    return f"\n### {method.upper()} {path}\n\n{operation['summary']}. {operation.get('description', '')}\n{table}"


PAGES: dict[str, Callable[[], str]] = {"settings.md": settings_page, "cli.md": cli_page, "http.md": http_page}

if __name__ == "__main__":
    main()

"""`cdp import`: a file of customers, orders or events: look at it, correct what it means, send it in.

Also `cdp imports`, what was imported, and `cdp mapping`, what columns mean, saved under names.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from cdp.cli.command import Limit, asks, group, keyed
from cdp.cli.connection import RefusedError, Service
from cdp.cli.definitions import File, FileKey, Key, add_delete, add_list
from cdp.cli.output import Output
from cdp.errors import InvalidError, TransientError

T = TypeVar("T")
Json = dict[str, Any]

PATH, MAPPINGS = "/api/v1/imports", "/api/v1/mappings"
BLOCK = 1 << 18
# Seconds between looks, and that a service which is away is waited for: it goes on by itself when it is back.
LOOK, PATIENCE = 0.3, 900.0
SUFFIXES = (".toml", ".json")
BARE = re.compile(r"[A-Za-z0-9_-]+")

app = group("imports", "Files that were imported, or are being imported.")
mappings = group("mapping", "What the columns of files mean, saved under names.")


Kind = Literal["customers", "orders", "events"]


def register(to: typer.Typer) -> None:
    """Add the command and the groups."""
    asks(to.command("import"))(import_file)
    to.add_typer(app)
    to.add_typer(mappings)


def import_file(
    service: Service,
    out: Output,
    *,
    file: Annotated[Path, typer.Argument(help="A CSV, XLSX, JSONL or Parquet file.")],
    kind: Annotated[Kind | None, typer.Option(help="What its rows are; guessed if absent.")] = None,
    source: Annotated[
        str | None, typer.Option(help="The source that its events are of, where there are several.")
    ] = None,
    mapping: Annotated[
        str | None, typer.Option(help="What its columns mean: a TOML or JSON file, or the name of a saved mapping.")
    ] = None,
    save_mapping: Annotated[
        str | None, typer.Option(help="Keep what its columns mean: under a name, or in a file NAME.toml to edit.")
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="XLSX: the sheet.")] = None,
    encoding: Annotated[
        str | None, typer.Option(help="CSV: how letters are written, for example windows-1258.")
    ] = None,
    delimiter: Annotated[str | None, typer.Option(help="CSV: what stands between cells.")] = None,
    event: Annotated[str | None, typer.Option(help="Events: the name of each, where no column says it.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look at it and report; send nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Import it though it was imported before.")] = False,
) -> None:
    """Import a file: show what its columns are taken for and how good it is, ask, and send it in."""
    asked = not (dry_run or yes)
    if not file.is_file():
        raise InvalidError(f"There is no file {file}.")
    if asked and (out.as_json or not sys.stdin.isatty()):
        raise InvalidError("Nobody can be asked here: give --yes to import, or --dry-run to look at it.")
    told: Json = {
        "sheet": sheet,
        "encoding": encoding,
        "delimiter": delimiter,
        "event": event,
        "mapping": _told(mapping),
    }
    told |= {"kind": kind, "source": source, "again": again or None, "name": file.name, "dry_run": not yes}
    with Bars(quiet=out.as_json) as bars:
        job = service.upload(PATH, bars.parts(file), **told)
        if job["already"]:
            sentence = f"{file.name} was imported already, as {job['key']}. --again does it again."
            out.done({"import": job, "report": None}, sentence)
            return
        job = bars.read(service, job)
    report = _reported(service, out, job)
    if asked:
        job = _decided(service, out, job)
    if save_mapping:
        _save(service, out, save_mapping, job["mapping"])
    if dry_run:
        sentence = f"Nothing was sent. `cdp imports start {job['key']}` sends it in."
        out.done({"import": job, "report": report}, sentence)
        return
    if job["problems"]:
        raise InvalidError(job["problems"][0])
    _follow(service, out, job, report)


def _decided(service: Service, out: Output, job: Json) -> Json:
    """Ask what to do until that is to start, and start."""
    while (answer := _answer(job)) != "yes":
        if answer == "no":
            service.post(f"{PATH}/{job['key']}/cancel")
            print("Nothing was sent.")
            raise typer.Exit
        job = _edited(service, job)
        _reported(service, out, job)
    started: Json = service.post(f"{PATH}/{job['key']}/start")
    return started


def _reported(service: Service, out: Output, job: Json) -> Json:
    report: Json = _patiently(lambda: service.get(f"{PATH}/{job['key']}/report"))
    if not out.as_json:
        print_report(out, report)
    return report


def _follow(service: Service, out: Output, job: Json, report: Json) -> None:
    """Show how far it is until it has ended."""
    with Bars(quiet=out.as_json) as bars:
        job = bars.sent(service, job)
    out.done({"import": job, "report": report}, _outcome(job))
    if job["state"] != "finished":
        raise typer.Exit(1)


@asks(app.command("list"))
def list_imports(service: Service, out: Output, *, limit: Limit = 20) -> None:
    """List the imports, the latest first."""
    columns = ["key", "name", "source", "kind", "state", "rows", "accepted", "unchanged", "quarantined", "reason"]
    out.table(service.pages(PATH, limit=limit), columns, empty="Nothing was imported.")


ImportKey = Annotated[str, typer.Argument(help="The import's key.")]


@asks(app.command("get"))
def get(service: Service, out: Output, *, key: ImportKey) -> None:
    """Print one import, and how far it is."""
    out.record(service.get(f"{PATH}/{key}"))


@asks(app.command("report"))
def report_of(service: Service, out: Output, *, key: ImportKey) -> None:
    """Print the data-quality report of a file."""
    report = service.get(f"{PATH}/{key}/report")
    if out.as_json:
        out.document(report)
    else:
        print_report(out, report)


@asks(app.command("start"))
def start(service: Service, out: Output, *, key: ImportKey) -> None:
    """Send in what was read; one that failed goes on where it was."""
    job = service.post(f"{PATH}/{key}/start")
    with Bars(quiet=out.as_json) as bars:
        job = bars.sent(service, bars.read(service, job))
    out.done(job, _outcome(job))


@asks(app.command("cancel"))
def cancel(service: Service, out: Output, *, key: ImportKey) -> None:
    """Stop an import for good; what it sent stays."""
    out.done(service.post(f"{PATH}/{key}/cancel"), f"The import {key} is cancelled.")


add_delete(app, PATH, "import")
add_list(mappings, MAPPINGS, ["key", "kind", "columns", "updated_at"], "mapping")
add_delete(mappings, MAPPINGS, "mapping")


@asks(mappings.command("get"))
def get_mapping(service: Service, out: Output, *, key: Key) -> None:
    """Print a mapping, as `put` and `cdp import --mapping` take it."""
    found = service.get(f"{MAPPINGS}/{key}")
    if out.as_json:
        out.document(found)
    else:
        print(to_toml(found))


@asks(mappings.command("put"))
def put_mapping(service: Service, out: Output, *, file: File, key: FileKey = None) -> None:
    """Save a mapping from a TOML or JSON file."""
    name, body = keyed(file, key) if file.suffix != ".toml" else (key or file.stem, read_mapping(file))
    out.done(service.put(f"{MAPPINGS}/{name}", body), f"The mapping {name} is saved.")


class Bars:
    """Progress of the steps of an import. A service that goes away meanwhile is waited for."""

    def __init__(self, *, quiet: bool) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=Console(stderr=True), disable=quiet)

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def parts(self, file: Path) -> Iterator[bytes]:
        """The file, in parts that move the bar."""
        size = file.stat().st_size
        task = self._progress.add_task("Uploading", total=size, count=f"{size / 1e6:.1f} MB")
        with file.open("rb") as content:
            while part := content.read(BLOCK):
                yield part
                self._progress.advance(task, len(part))

    def read(self, service: Service, job: Json) -> Json:
        """Wait until the file is read. Raises `InvalidError` when it cannot be."""
        task = self._progress.add_task("Reading", total=None, count="")
        job = self._wait(service, job, task, {"reading"}, "rows_read", "rows")
        if job["state"] == "failed":
            raise InvalidError(job["reason"])
        return job

    def sent(self, service: Service, job: Json) -> Json:
        """Wait until everything is stored."""
        task = self._progress.add_task("Sending", total=job["events"], count="")
        return self._wait(service, job, task, {"ready", "sending", "settling"}, "sent", "events")

    def _wait(self, service: Service, job: Json, task: TaskID, states: set[str], done: str, of: str) -> Json:
        path = f"{PATH}/{job['key']}"
        job = _patiently(lambda: service.get(path))
        while job["state"] in states:
            self._progress.update(task, completed=job[done], count=_count(job, done, of))
            time.sleep(LOOK)
            job = _patiently(lambda: service.get(path))
        self._progress.update(task, total=job[of], completed=job[of], count=_count(job, done, of))
        return job


def _count(job: Json, done: str, of: str) -> str:
    words = f"{job[done]:,}" + (f" of {job[of]:,}" if job[of] else "")
    return f"{words} {'rows' if of == 'rows' else 'events'}" + (", settling" if job["state"] == "settling" else "")


def _patiently(ask: Callable[[], T]) -> T:
    """Ask until somebody answers. Raises `TransientError` when nobody has for long."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except TransientError:
            if time.monotonic() > end:
                raise
            time.sleep(1)


def _answer(job: Json) -> str:
    if job["problems"]:
        return "edit" if typer.confirm("Edit what the columns mean?", default=True) else "no"
    given = typer.prompt("Import it? [y]es, [n]o, [e]dit what the columns mean", default="y").strip().lower()
    return {"y": "yes", "e": "edit"}.get(given[:1], "no")


def _edited(service: Service, job: Json) -> Json:
    """Let the mapping be edited, and the file be read again under it."""
    text = to_toml(job["mapping"])
    while True:
        text = in_editor(text)
        try:
            service.put(f"{PATH}/{job['key']}/mapping", tomllib.loads(text))
        except (tomllib.TOMLDecodeError, RefusedError) as error:
            typer.confirm(f"{error} Edit it again?", default=True, abort=True)
            continue
        with Bars(quiet=False) as bars:
            return bars.read(service, job)


def in_editor(text: str) -> str:
    """The text as somebody left it in their editor (VISUAL or EDITOR)."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mapping.toml"
        file.write_text(text, encoding="utf-8")
        subprocess.run([*shlex.split(editor), str(file)], check=False)  # noqa: S603 - the user's own editor
        return file.read_text(encoding="utf-8")


def _outcome(job: Json) -> str:
    if job["state"] != "finished":
        return f"The import {job['key']} is {job['state']}: {job['reason'] or 'see `cdp imports get`'}"
    if job["earlier"]:
        return f"The same was imported already, as {job['earlier']}: nothing changed."
    parts = [f"{job['accepted']:,} events went in"]
    parts += [f"{job['updated']:,} of them updated orders"] if job["updated"] else []
    parts += [f"{job['unchanged']:,} were there already"] if job["unchanged"] else []
    if job["quarantined"]:
        parts.append(f"{job['quarantined']:,} were set aside (`cdp quarantine list --source {job['source']}`)")
    return f"{job['name']}: {'; '.join(parts)}."


# --- the report


def print_report(out: Output, report: Json) -> None:
    """The report for people."""
    rows = [
        {
            "column": column["name"],
            "means": column["field"] + (f" ({_ORDERS[column['order']]})" if column["order"] else ""),
            "sure": f"{column['confidence']:.0%}",
            "filled": column["filled"],
            "why": column["reason"],
        }
        for column in report["columns"]
    ]
    out.table(rows, ["column", "means", "sure", "filled", "why"], empty="No columns.")
    for line in lines_of(report):
        print(line)


_ORDERS = {"dmy": "day first", "mdy": "month first", "ymd": "year first"}


def lines_of(report: Json) -> Iterator[str]:
    """What is in the file, and what is wrong with it."""
    yield f"{report['rows']:,} rows of {report['kind']} make {report['events']:,} events."
    if len(report["names"]) > 1:
        yield "  " + ", ".join(f"{count:,} {name}" for name, count in report["names"].items())
    if report["first_at"]:
        yield f"  They happened from {report['first_at'][:10]} to {report['last_at'][:10]}."
    if people := report["people"]:
        yield f"People: {people['known']:,} known already, {people['new']:,} new."
    if repeats := report["repeats"]["count"]:
        yield f"Repeats: {repeats:,} of what an earlier row says (rows {_rows(report['repeats']['rows'])})."
    for kind, shared in report["shared"].items():
        if shared["rows_sharing"]:
            yield f"Shared: {kind}, by {shared['rows_sharing']:,} rows."
    yield from _values(report["values"])
    for code, aside in report["quarantine"].items():
        first = aside["rows"][0]
        where = f"row {first['row']}" + (f", {first['column']}" if first["column"] else "")
        yield f"Will be set aside: {aside['count']:,} ({code}), such as {where}: {first['reason']}"
    if report["missing"]:
        yield f"Missing: no column for {', '.join(report['missing'])}."
    if report["empty_columns"]:
        yield f"Empty: {', '.join(report['empty_columns'])}."
    yield from (f"Note: {note}" for note in report["notes"])
    yield from (f"Problem: {problem}" for problem in report["problems"])


def _values(values: Mapping[str, Json]) -> Iterator[str]:
    for field, seen in values.items():
        if seen.get("zeros_restored"):
            yield f"{field}: {seen['zeros_restored']:,} got the zero back that a spreadsheet took."
        if seen["bad"]:
            shown = ", ".join(f"row {one['row']} ({one['value']})" for one in seen["examples"][:3])
            why = seen["examples"][0]["reason"]
            yield f"{field}: {seen['bad']:,} of {seen['read']:,} are bad, such as {shown}. {why}"


def _rows(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:5])) + (" …" if len(numbers) > 5 else "")


# --- mappings as text


def read_mapping(file: Path) -> Json:
    """The mapping in a TOML or JSON file. Raises `InvalidError`."""
    try:
        text = file.read_text(encoding="utf-8")
        found = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise InvalidError(f"{file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise InvalidError(f"{file} is not valid {file.suffix[1:].upper()}: {error}.") from error
    if not isinstance(found, dict):
        raise InvalidError(f"{file} must hold a mapping.")
    return {name: value for name, value in found.items() if name not in ("key", "version", "updated_at")}


def to_toml(mapping: Mapping[str, Any]) -> str:
    """A mapping as TOML that people can edit; what is not set is left out."""
    skipped = ("columns", "key", "version", "updated_at")
    plain = {name: value for name, value in mapping.items() if name not in skipped and value not in ("", None)}
    lines = [f"{name} = {_toml(value)}" for name, value in plain.items()]
    columns = [
        f"{name if BARE.fullmatch(name) else _toml(name)} = {_toml_column(column)}"
        for name, column in mapping.get("columns", {}).items()
    ]
    return "\n".join([*lines, "", "[columns]", *columns, ""])


def _toml_column(column: Any) -> str:
    given = {name: value for name, value in column.items() if value} if isinstance(column, dict) else {"field": column}
    if set(given) == {"field"}:
        return _toml(given["field"])
    return "{" + ", ".join(f"{name} = {_toml(value)}" for name, value in given.items()) + "}"


def _toml(value: Any) -> str:
    # A JSON string is a TOML string, but for the one control character that JSON lets stand.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _told(mapping: str | None) -> str | None:
    """A saved mapping's name, or the mapping in a file as JSON."""
    if mapping is None or not mapping.endswith(SUFFIXES):
        return mapping
    return json.dumps(read_mapping(Path(mapping)), ensure_ascii=False, separators=(",", ":"))


def _save(service: Service, out: Output, name: str, mapping: Json) -> None:
    kept = {field: value for field, value in mapping.items() if value not in ("", None)}
    if name.endswith(".toml"):
        Path(name).write_text(to_toml(mapping), encoding="utf-8")
    elif name.endswith(".json"):
        Path(name).write_text(json.dumps(kept, ensure_ascii=False, indent=2), encoding="utf-8")
    else:
        service.put(f"{MAPPINGS}/{name}", kept)
    out.say(f"The mapping is kept as {name}.")

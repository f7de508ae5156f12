"""`cdp quarantine`: events kept aside with a reason, one or many at once."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cdp.cli.command import Limit, asks, group, read_json
from cdp.cli.connection import Service
from cdp.cli.output import Output
from cdp.errors import InvalidError

app = group("quarantine", "Events kept aside with a reason: read, correct, send in again.")
PATH = "/api/v1/quarantine"
# Events of one call: few enough that each answers within a moment, and that the bar moves.
PART = 500

Id = Annotated[str, typer.Argument(help="Id of a quarantined event.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids of quarantined events; or choose by the options.")]
Source = Annotated[str | None, typer.Option(help="Only of this source.")]
Code = Annotated[str | None, typer.Option(help="Only for this reason's code.")]
Status = Annotated[str | None, typer.Option(help="quarantined (if absent), replayed, discarded or any.")]
Since = Annotated[str | None, typer.Option(help="Received at or after this moment (ISO 8601).")]
Until = Annotated[str | None, typer.Option(help="Received before this moment (ISO 8601).")]
Type = Annotated[str | None, typer.Option("--type", help="Only events of this type.")]
Event = Annotated[str | None, typer.Option(help="Only events of this name.")]
FaultPath = Annotated[str | None, typer.Option("--path", help="Only faults at this path in the event.")]
MessageId = Annotated[str | None, typer.Option(help="Only with this messageId.")]
Text = Annotated[str | None, typer.Option(help="Only where the event or the reason holds this text.")]
All = Annotated[bool, typer.Option("--all", help="All that wait, without any other choice.")]
Vouch = Annotated[
    bool, typer.Option("--vouch", help="You know that they come from whom they name: no proof is needed.")
]
Pairs = list[str] | None


@asks(app.command("list"))
def list_events(
    service: Service,
    out: Output,
    *,
    source: Source = None,
    code: Code = None,
    status: Status = None,
    since: Since = None,
    until: Until = None,
    type_: Type = None,
    event: Event = None,
    path: FaultPath = None,
    message_id: MessageId = None,
    text: Text = None,
    limit: Limit = 100,
) -> None:
    """List what is kept aside, the latest received first."""
    wanted = _where(source, code, status, since, until, type_, event, path, message_id, text)
    columns = ["id", "received_at", "source", "event", "code", "path", "reason"]
    out.table(service.pages(PATH, limit=limit, **wanted), columns, empty="Nothing is kept aside.")


@asks(app.command("summary"))
def summary(
    service: Service,
    out: Output,
    *,
    by: Annotated[
        list[str] | None, typer.Option(help="source, code, type, event, path or status; several if repeated.")
    ] = None,
    source: Source = None,
    code: Code = None,
    status: Status = None,
    since: Since = None,
    until: Until = None,
    type_: Type = None,
    event: Event = None,
    path: FaultPath = None,
    message_id: MessageId = None,
    text: Text = None,
    limit: Limit = 100,
) -> None:
    """Count what is kept aside, by reason or by what is asked; most first."""
    wanted = _where(source, code, status, since, until, type_, event, path, message_id, text)
    names = by or ["code"]
    answer = service.get(f"{PATH}/summary", by=names, limit=min(limit, 1_000), **wanted)
    columns = ["events", *names, "last_received", "example_id", "example_reason"]
    out.table(answer["items"], columns, empty="Nothing is kept aside.")


@asks(app.command("get"))
def get(service: Service, out: Output, *, event_id: Id) -> None:
    """Print one event, with its body as it was received."""
    out.record(service.get(f"{PATH}/{event_id}"))


@asks(app.command("replay"))
def replay(
    service: Service,
    out: Output,
    *,
    ids: Ids = None,
    file: Annotated[Path | None, typer.Option(help="The corrected event, as JSON; for one id.")] = None,
    vouch: Vouch = False,
    everything: All = False,
    source: Source = None,
    code: Code = None,
    status: Status = None,
    since: Since = None,
    until: Until = None,
    type_: Type = None,
    event: Event = None,
    path: FaultPath = None,
    message_id: MessageId = None,
    text: Text = None,
) -> None:
    """Send events in again, as they are or corrected. Each is judged like a fresh one.

    By ids, or by a filter. Interrupt it whenever you like: the same command goes on with those that are left.
    """
    wanted = _where(source, code, status, since, until, type_, event, path, message_id, text)
    if file is None:
        _decide(service, out, "replay", _choice(ids, wanted, everything=everything), {"vouch": vouch})
    elif ids is not None and len(ids) == 1:
        answer = service.post(f"{PATH}/{ids[0]}/replay", {"body": read_json(file), "vouch": vouch})
        out.done(answer, f"{ids[0]} is on its way again.")
    else:
        raise InvalidError("--file corrects one event: name one id.")


@asks(app.command("edit"))
def edit(
    service: Service,
    out: Output,
    *,
    ids: Ids = None,
    rename: Annotated[Pairs, typer.Option(metavar="PATH=PATH", help="Move a value to another place.")] = None,
    convert: Annotated[
        Pairs, typer.Option(metavar="PATH=TYPE", help="Make it a number, integer, string or boolean.")
    ] = None,
    give: Annotated[Pairs, typer.Option("--set", metavar="PATH=VALUE", help="Give it a value: JSON, or text.")] = None,
    remove: Annotated[Pairs, typer.Option(metavar="PATH", help="Take it away.")] = None,
    merge: Annotated[Path | None, typer.Option(help="A JSON file to merge into the event (RFC 7396).")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the first ones before and after; change nothing.")
    ] = False,
    send: Annotated[bool, typer.Option("--replay", help="Send in again those that are good then.")] = False,
    everything: All = False,
    source: Source = None,
    code: Code = None,
    status: Status = None,
    since: Since = None,
    until: Until = None,
    type_: Type = None,
    event: Event = None,
    path: FaultPath = None,
    message_id: MessageId = None,
    text: Text = None,
) -> None:
    """Change events alike: first what is renamed, then converted, set, removed, merged. Try it with --dry-run.

    A path is written as in properties.total or properties.products[].price.
    """
    edits = _edits(rename or [], convert or [], give or [], remove or [], merge)
    wanted = _where(source, code, status, since, until, type_, event, path, message_id, text)
    choice = _choice(ids, wanted, everything=everything)
    asked = {"edits": edits, "replay": send, "dry_run": dry_run}
    if dry_run:
        _show(out, service.post(f"{PATH}/edit", choice[0] | asked | {"limit": PART}))
    else:
        _decide(service, out, "edit", choice, asked)


@asks(app.command("discard"))
def discard(
    service: Service,
    out: Output,
    *,
    ids: Ids = None,
    everything: All = False,
    source: Source = None,
    code: Code = None,
    status: Status = None,
    since: Since = None,
    until: Until = None,
    type_: Type = None,
    event: Event = None,
    path: FaultPath = None,
    message_id: MessageId = None,
    text: Text = None,
) -> None:
    """Mark events as decided about. They are kept."""
    wanted = _where(source, code, status, since, until, type_, event, path, message_id, text)
    _decide(service, out, "discard", _choice(ids, wanted, everything=everything), {})


FILTERS = ("source", "code", "status", "since", "until", "type", "event", "path", "message_id", "text")


def _where(*given: str | None) -> dict[str, str]:
    return {name: value for name, value in zip(FILTERS, given, strict=True) if value is not None}


def _choice(ids: list[str] | None, wanted: dict[str, str], *, everything: bool) -> list[dict[str, Any]]:
    """What to ask for, call by call: ids in parts, or one filter. All is meant only where that is said."""
    if ids and (wanted or everything):
        raise InvalidError("Give ids or options to choose by, not both.")
    if ids:
        return [{"ids": ids[start : start + PART]} for start in range(0, len(ids), PART)]
    if not wanted and not everything:
        raise InvalidError("Which ones? Give ids, options such as --code and --event, or --all.")
    return [{"where": wanted}]


def _edits(rename: Pairs, convert: Pairs, give: Pairs, remove: Pairs, merge: Path | None) -> list[dict[str, Any]]:
    edits = [{"op": "rename", "path": place, "to": to} for place, to in map(_pair, rename or [])]
    edits += [{"op": "convert", "path": place, "to": to} for place, to in map(_pair, convert or [])]
    edits += [{"op": "set", "path": place, "value": _value(text)} for place, text in map(_pair, give or [])]
    edits += [{"op": "remove", "path": place} for place in remove or []]
    found: list[dict[str, Any]] = [*edits, *([{"op": "merge", "value": read_json(merge)}] if merge else [])]
    if not found:
        raise InvalidError("What should change? Give --rename, --convert, --set, --remove or --merge.")
    return found


def _pair(text: str) -> tuple[str, str]:
    left, equals, right = text.partition("=")
    if not (equals and left and right):
        raise InvalidError(f"{text!r} should be written as PATH=…")
    return left, right


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _decide(service: Service, out: Output, verb: str, choice: list[dict[str, Any]], asked: dict[str, Any]) -> None:
    """Do it part by part, with a bar, and tell what became of them."""
    counts: Counter[str] = Counter()
    refused: Counter[tuple[str, str, str]] = Counter()
    results: list[dict[str, Any]] = []
    with Progress(*COLUMNS, console=Console(stderr=True), transient=True, disable=_quiet(out)) as bar:
        task = bar.add_task(verb, total=_total(service, choice))
        for part in choice:
            after: str | None = ""
            while after is not None:
                answer = service.post(f"{PATH}/{verb}", part | asked | {"limit": PART, "after": after})
                counts.update(answer["counts"])
                refused.update((one["code"], one["path"], one["message"]) for one in answer["results"] if one["code"])
                results += [one for one in answer["results"] if "ids" in part or one["status"] == "refused"][:PART]
                after = answer["next"]
                bar.advance(task, len(answer["results"]))
    if out.as_json:
        out.document({"counts": counts, "results": results})
    else:
        _tell(out, counts, refused)
    if counts["refused"]:
        raise typer.Exit(1)


COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())


def _quiet(out: Output) -> bool:
    return out.as_json or not sys.stderr.isatty()


def _total(service: Service, choice: list[dict[str, Any]]) -> int:
    if "ids" in choice[0]:
        return sum(len(part["ids"]) for part in choice)
    found: int = service.get(f"{PATH}/summary", **choice[0]["where"])["events"]
    return found


def _tell(out: Output, counts: Counter[str], refused: Counter[tuple[str, str, str]]) -> None:
    if not counts:
        out.say("Nothing is kept aside that was meant.")
        return
    out.say(", ".join(f"{events} {status}" for status, events in sorted(counts.items())) + ".")
    if refused:
        out.say("\nStill wrong:")
        rows = [
            {"events": events, "code": code, "path": path, "message": message}
            for (code, path, message), events in refused.most_common(20)
        ]
        out.table(rows, ["events", "code", "path", "message"], empty="")


def _show(out: Output, answer: dict[str, Any]) -> None:
    """What a dry run found."""
    if out.as_json:
        out.document(answer)
        return
    more = "" if answer["next"] is None else f" (of the latest {PART})"
    for one in answer["results"]:
        if one["before"] is None:
            break
        out.say(f"{one['id']}  {one['status']}" + (f", still {one['code']}: {one['message']}" if one["code"] else ""))
        if one["before"] != one["after"]:
            out.say(f"  - {one['before']}\n  + {one['after']}")
    out.say(
        ", ".join(f"{events} {status}" for status, events in sorted(answer["counts"].items()))
        + f"{more}. Nothing was changed."
    )

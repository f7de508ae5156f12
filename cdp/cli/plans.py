"""`cdp plan`: what a source's events should look like, and how those look that do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cdp.cli.command import SET_BY_SERVICE, Limit, asks, group, read_json
from cdp.cli.connection import Service
from cdp.cli.definitions import File
from cdp.cli.output import Output

app = group("plan", "Tracking plans: what a source's events should look like.")
SourceKey = Annotated[str, typer.Argument(metavar="SOURCE", help="The source's key.")]
PlanFile = Annotated[Path | None, typer.Argument(help="A plan as a JSON file; - is standard input.")]
Mode = Annotated[
    Literal["observe", "quarantine", "block"], typer.Option(help="What becomes of events that break the plan.")
]
Since = Annotated[str | None, typer.Option(help="Only events received at or after this moment (ISO 8601).")]


def _path(key: str) -> str:
    return f"/api/v1/sources/{key}/plan"


def _plan(file: Path) -> dict[str, Any]:
    """A plan as PUT takes it: also what `show` or `infer --json` printed."""
    body = read_json(file)
    body = body["plan"] if isinstance(body.get("plan"), dict) and "learnt_from" in body else body
    return {
        name: value for name, value in body.items() if name not in SET_BY_SERVICE | {"source"} and value is not None
    }


@asks(app.command("show"))
def show(service: Service, out: Output, *, key: SourceKey) -> None:
    """Print the plan in force as JSON, as `put` takes it."""
    out.document(service.get(_path(key)))


@asks(app.command("put"))
def put(service: Service, out: Output, *, key: SourceKey, file: File) -> None:
    """Put a plan in force."""
    answer = service.put(_path(key), _plan(file))
    out.done(answer, f"The plan of {key} is in force: {len(answer['events'])} events, mode {answer['mode']}.")


@asks(app.command("delete"))
def delete(service: Service, out: Output, *, key: SourceKey) -> None:
    """Delete the plan: the source's events are not looked at any more."""
    out.done(service.delete(_path(key)), f"The plan of {key} is deleted.")


@asks(app.command("infer"))
def infer(
    service: Service,
    out: Output,
    *,
    key: SourceKey,
    mode: Mode = "observe",
    strict: Annotated[bool, typer.Option("--strict", help="What was never seen breaks the plan.")] = False,
    since: Since = None,
    event: Annotated[str, typer.Option(help="Only events of this name.")] = "",
    each: Annotated[int, typer.Option(min=1, max=5_000, help="Events of each name to look at.")] = 500,
    save: Annotated[bool, typer.Option("--save", help="Put it in force at once.")] = False,
    file: Annotated[Path | None, typer.Option(help="Write the plan to this file, to edit and `put` it.")] = None,
) -> None:
    """Learn a plan from stored events, and print it. Nothing is saved unless asked."""
    asked = {"mode": mode, "strict": strict, "since": since, "event": event, "each": each, "save": save}
    answer = service.post(f"{_path(key)}/infer", asked)
    plan = {name: value for name, value in answer["plan"].items() if value is not None}
    if file is not None:
        file.write_text(_text(plan), encoding="utf-8")
        out.done(answer, f"The plan of {len(answer['learnt_from'])} kinds of events is in {file}.")
    else:
        out.document(answer if out.as_json else plan)
    if save:
        out.say(f"It is in force, as version {answer['version']}.")


def _text(plan: dict[str, Any]) -> str:
    return json.dumps(plan, indent=2, ensure_ascii=False) + "\n"


@asks(app.command("diff"))
def diff(service: Service, out: Output, *, key: SourceKey, file: PlanFile = None, since: Since = None) -> None:
    """What a plan would change; without a file, what stored events would teach. Exit code 1 if that breaks events."""
    asked = {"plan": _plan(file) if file else None, "since": since}
    answer = service.post(f"{_path(key)}/diff", asked)
    if out.as_json:
        out.document(answer)
    else:
        rows = [{**one, "breaking": "breaking" if one["breaking"] else ""} for one in answer["changes"]]
        out.table(rows, ["change", "path", "words", "breaking"], empty="Nothing differs.")
        _tell_trial(out, answer["trial"])
    if answer["breaking"]:
        raise typer.Exit(1)


def _tell_trial(out: Output, trial: dict[str, Any]) -> None:
    if not trial["events"]:
        out.say("No stored events to try it on.")
        return
    out.say(f"{trial['violating']} of {trial['events']} stored events would break it.")
    if trial["problems"]:
        out.table(trial["problems"], ["events", "event", "path", "keyword", "reason"], empty="")


@asks(app.command("check"))
def check(
    service: Service,
    out: Output,
    *,
    key: SourceKey,
    file: Annotated[Path, typer.Argument(help="An event as a JSON file; - is standard input.")],
    plan: Annotated[Path | None, typer.Option(help="Check against this plan, not the one in force.")] = None,
) -> None:
    """What would become of an event, and why. Nothing is stored. Exit code 1 if anything is wrong with it."""
    asked = {"event": read_json(file), "plan": _plan(plan) if plan else None}
    answer = service.post(f"{_path(key)}/check", asked)
    if out.as_json:
        out.document(answer)
    else:
        out.say(f"It would be {answer['outcome']}.")
        out.table(answer["problems"], ["path", "keyword", "reason"], empty="Nothing is wrong with it.")
    if answer["problems"]:
        raise typer.Exit(1)


@asks(app.command("violations"))
def violations(
    service: Service,
    out: Output,
    *,
    key: SourceKey,
    event: Annotated[str | None, typer.Option(help="Only events of this name.")] = None,
    path: Annotated[str | None, typer.Option(help="Only at this path.")] = None,
    keyword: Annotated[str | None, typer.Option(help="Only of this rule.")] = None,
    since: Since = None,
    until: Annotated[str | None, typer.Option(help="Only before this moment (ISO 8601).")] = None,
    limit: Limit = 100,
) -> None:
    """List how events broke the plan, most often first."""
    wanted = {"event": event, "path": path, "keyword": keyword, "since": since, "until": until}
    found = service.pages(f"{_path(key)}/violations", limit=limit, **wanted)
    columns = ["violations", "event", "path", "keyword", "reason", "mode", "last_seen", "message_id"]
    rows = found if out.as_json else [{**one, "event": one["event"] or one["type"]} for one in found]
    out.table(rows, columns, empty="No event broke the plan.")

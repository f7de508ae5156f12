"""`cdp identity`: join, part and review people."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from cdp.cli.command import Limit, asks, group, read_json
from cdp.cli.connection import Service
from cdp.cli.definitions import File
from cdp.cli.output import Output
from cdp.errors import PermanentError

app = group("identity", "Join, part and review what identity resolution did.")
PATH = "/api/v1/identity"
Left = Annotated[str, typer.Argument(metavar="TYPE:VALUE", help="One person, for example user_id:lan.")]
Right = Annotated[str, typer.Argument(metavar="TYPE:VALUE", help="The other, for example phone:0905123456.")]
Reason = Annotated[str, typer.Option(help="Why; kept with the decision.")]
# Seconds between two looks at a rebuild.
LOOK_EVERY = 0.5


@asks(app.command("merge"))
def merge(service: Service, out: Output, *, left: Left, right: Right, reason: Reason = "") -> None:
    """Say that two are one person. It beats every limit; `split` takes it back."""
    out.record(service.post(f"{PATH}/merge", {"left": left, "right": right, "reason": reason}))


@asks(app.command("split"))
def split(
    service: Service,
    out: Output,
    *,
    left: Left,
    right: Right,
    reason: Reason = "",
    deny: Annotated[bool, typer.Option(help="Keep them apart in future too, whatever is found out.")] = True,
) -> None:
    """Say that two are not one person. `merge` takes it back."""
    out.record(service.post(f"{PATH}/split", {"left": left, "right": right, "reason": reason, "deny": deny}))


@asks(app.command("simulate"))
def simulate(service: Service, out: Output, *, file: File) -> None:
    """Show what other rules would merge and split. Changes nothing."""
    out.record(service.post(f"{PATH}/simulate", read_json(file)))


@asks(app.command("review"))
def review(service: Service, out: Output, *, limit: Limit = 100) -> None:
    """List people who share a value and were kept apart, those looked at last first."""
    columns = ["left", "right", "rule", "value", "probability", "reason"]
    out.table(service.pages(f"{PATH}/review", limit=limit), columns, empty="Nothing to review.")


@asks(app.command("model"))
def model(service: Service, out: Output) -> None:
    """Show by what people are made, what the model in force did to them, and what it says of two that agree."""
    answer = service.get(f"{PATH}/model")
    if out.as_json:
        out.record(answer)
        return
    fields = answer.pop("fields")
    out.record(_in_words(answer))
    rows = [{"field": name, **compared} for name, levels in fields.items() for compared in levels]
    if rows:
        out.table(rows, ["field", "how", "probability"], empty="")


@asks(app.command("learn"))
def learn(
    service: Service,
    out: Output,
    *,
    force: Annotated[bool, typer.Option("--force", help="Use it even where it would be refused.")] = False,
) -> None:
    """Learn a new model from all observations; then everybody is looked at again, while events flow."""
    answer = service.post(f"{PATH}/model", force=force)
    out.record(answer if out.as_json else _in_words(answer))


@asks(app.command("rebuild"))
def rebuild(
    service: Service,
    out: Output,
    *,
    apply: Annotated[bool, typer.Option("--apply", help="Make the live graph again, not only compare it.")] = False,
) -> None:
    """Compare the live graph with the ledger; with --apply, make it again from there."""
    answer = service.post(f"{PATH}/rebuild", apply=apply)
    if answer["status"] == "running":
        answer = _followed(service, answer, quiet=out.as_json)
    out.record(answer)
    if answer["status"] == "failed":
        raise PermanentError(f"The rebuild failed: {answer['problem']}")


def _in_words(answer: dict[str, Any]) -> dict[str, Any]:
    """By what people are made, with what is thought of models in words."""
    return answer | {name: _judged(answer[name]) for name in ("adopted", "refused") if answer[name]}


def _judged(found: dict[str, Any]) -> str:
    """What a model makes of people, in words."""
    told = (
        f"version {found['version']} at {found['at']}: {found['people_before']:,} people in {found['sample']:,} of "
        f"{found['observations']:,} observations"
    )
    if found["people_after"]:
        told += (
            f" become {found['people_after']:,}; {found['merged']:,} of these were several, {found['split']:,} of those"
            f" fall into several; the largest says {found['largest_after']:,} things, was {found['largest_before']:,}"
        )
    return "; but ".join((told, *found["reasons"]))


def _followed(service: Service, answer: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    """Look at the rebuild until it has ended, with a progress bar."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=quiet) as progress:
        bar = progress.add_task("Reading the ledger", total=None)
        while answer["status"] == "running":
            time.sleep(LOOK_EVERY)
            answer = service.get(f"{PATH}/rebuild")
            progress.update(bar, completed=answer["done"], total=answer["total"] or None)
    return answer

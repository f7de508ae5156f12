"""`cdp identity resolve` and `cdp identity evaluate`: who is one person in a file, and how right that is."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from cdp.cli.command import AsJson
from cdp.cli.output import Output
from cdp.errors import InvalidError

if TYPE_CHECKING:
    from identity.evaluation import Evaluation
    from identity.matching.columns import Layout
    from identity.matching.linker import Linker

SAMPLE = 5_000  # rows by which columns are recognised
BATCH = 500
PERSON, SURE = "person_id", "sure_person_id"
TRUTHS = ("cluster", "cluster_id", "entity", "entity_id", "person_id", "truth", "ground_truth", "label")
MOST_SHOWN = 10

app = typer.Typer()

File = Annotated[Path, typer.Argument(help="A CSV, JSON, JSONL, Parquet or XLSX file with a header; .gz is read too.")]
Roles = Annotated[
    list[str] | None,
    typer.Option(
        "--column", metavar="NAME=ROLE", help="What a column is, instead of guessing; `ignore` leaves it out."
    ),
]
Threshold = Annotated[float, typer.Option(min=0.01, max=0.94, help="How likely one person it must be.")]
Region = Annotated[str, typer.Option(help="Country of telephone numbers and dates that do not say it.")]


class Resolved(NamedTuple):
    """A file in which it is known who is one person. `labels` are the cells of the column asked for, row by row."""

    layout: Layout
    linker: Linker[int]
    labels: list[str]
    seconds: float

    def person_of(self, *, sure: bool = False) -> dict[int, int]:
        """The first row of the person of each row; rows count from 1."""
        clusters = self.linker.clusters(sure=sure)
        return {row: first for cluster in clusters for first in (min(cluster),) for row in cluster}


@app.command("resolve")
def resolve(
    file: File,
    output: Annotated[Path | None, typer.Option(help="A CSV file to write: the rows, each with its person_id.")] = None,
    column: Roles = None,
    threshold: Threshold = 0.5,
    region: Region = "VN",
    as_json: AsJson = False,
) -> None:
    """Find out which rows of a file are one person, without labels or rules."""
    out = Output(as_json=as_json)
    if output is not None:
        _check(file, output)
    resolved = _resolved(file, _roles(column), threshold, region, out)
    if output is not None:
        _write(file, output, resolved)
    _print(_summary(resolved, output), out)
    if output is None and not as_json:
        typer.echo("Name a file with --output to get the rows, each with its person.", err=True)


@app.command("evaluate")
def evaluate(
    file: File,
    truth: Annotated[
        str | None, typer.Option(help="The column that says who is one person; found by its name if absent.")
    ] = None,
    found: Annotated[
        str | None, typer.Option(help="The column that was found out; if absent, the file is resolved first.")
    ] = None,
    column: Roles = None,
    threshold: Threshold = 0.5,
    region: Region = "VN",
    as_json: AsJson = False,
) -> None:
    """Say how right it is who is one person in a labelled file: by pairs, B-cubed, clusters, and who was mixed up."""
    from identity import evaluation

    out = Output(as_json=as_json)
    truth = truth or _truth(file, found)
    if found is not None:
        labels = _labels(_column(file, truth), truth)
        # Who was not found is nobody else's.
        people = {row: cell or (row,) for row, cell in enumerate(_column(file, found), start=1)}
        _print(_figures(evaluation.evaluate(people, labels)), out)
        return
    roles = {**_roles(column), truth: "ignore"}
    resolved = _resolved(file, roles, threshold, region, out, label=truth)
    labels = _labels(resolved.labels, truth)
    figures = _figures(evaluation.evaluate(resolved.person_of(), labels))
    sure = evaluation.evaluate(resolved.person_of(sure=True), labels).pairwise
    figures["sure_pairwise"] = {"precision": round(sure.precision, 4), "recall": round(sure.recall, 4)}
    if len(labels) == len(resolved.labels):
        estimated = resolved.linker.estimated_matches()
        figures["estimated_matches"] = round(estimated)
        figures["estimated_by_true"] = round(estimated / max(figures["pairs_in_truth"], 1), 3)
    _print(figures, out)


# --- resolving


def _resolved(
    file: Path, roles: Mapping[str, str], threshold: float, region: str, out: Output, *, label: str = ""
) -> Resolved:
    """Resolve a file, with a progress bar; remember the cells of the column `label`."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from cdp import heap
    from identity import tables
    from identity.matching.columns import infer
    from identity.matching.linker import Linker, Views

    heap.settle()
    started = time.process_time()
    shown = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,} rows"), TimeElapsedColumn())
    with tables.opened(file) as table, ExitStack() as stack:
        sample, table = table.sampled(SAMPLE)
        if not sample:
            raise InvalidError(f"{file} has a header, but no rows.")
        layout = infer(table.header, sample, given=roles, region=region.upper())
        linker: Linker[int] = Linker(layout.schema, views=Views(threshold))
        labels: list[str] = []
        progress = stack.enter_context(Progress(*shown, console=Console(stderr=True), disable=out.as_json))
        bar = progress.add_task("Resolving", total=None)
        batch = []
        for number, row in enumerate(table.rows, start=1):
            batch.append((number, layout.values(row)))
            if label:
                labels.append(_cell(row, table.header.index(label)))
            if len(batch) == BATCH:
                linker.add_all(batch)
                batch.clear()
                progress.update(bar, completed=number)
        linker.add_all(batch)
        progress.update(bar, description="Deciding", completed=len(linker))
        linker.refit()
        progress.update(bar, description="Resolved", total=len(linker), completed=len(linker))
    return Resolved(layout, linker, labels, time.process_time() - started)


def _roles(given: Iterable[str] | None) -> dict[str, str]:
    """`NAME=ROLE` options → roles by column. Raises `InvalidError`."""
    found = {}
    for one in given or ():
        name, sign, role = one.rpartition("=")
        if not sign:
            raise InvalidError(f"{one!r} must be NAME=ROLE.", path="column")
        found[name] = role
    return found


def _summary(resolved: Resolved, output: Path | None) -> dict[str, Any]:
    linker = resolved.linker
    people = [len(cluster) for cluster in linker.clusters()]
    summary: dict[str, Any] = {
        "columns": {column.field.name: column.field.kind for column in resolved.layout.columns},
        "ignored": dict(resolved.layout.ignored),
        "records": len(linker),
        "people": len(people),
        "largest": max(people, default=0),
        "estimated_matches": round(linker.estimated_matches()),
        "possible_matches": sum(1 for _ in linker.doubts()),
        "generic_values": [f"{field}: {value}" for field, value in linker.generic_values],
        "too_large": len(linker.too_large),
        "cpu_seconds": round(resolved.seconds, 1),
    }
    return summary | ({"output": str(output)} if output else {})


def _write(file: Path, output: Path, resolved: Resolved) -> None:
    """Write the rows again, each with the row of the file that its person is first in: likely, and sure.

    With a byte order mark: without it spreadsheets take Vietnamese for something else.
    """
    from identity import tables

    likely, sure = resolved.person_of(), resolved.person_of(sure=True)
    try:
        with tables.opened(file) as table, output.open("w", encoding="utf-8-sig", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow([PERSON, SURE, *table.header])
            writer.writerows([likely[number], sure[number], *row] for number, row in enumerate(table.rows, start=1))
    except OSError as error:
        raise InvalidError(f"{output} cannot be written: {error.strerror}.") from error


def _check(file: Path, output: Path) -> None:
    """Before anything is worked out: whether it can be written. Raises `InvalidError`."""
    if output.exists() and file.exists() and output.samefile(file):
        raise InvalidError(f"{output} is the file that is read; name another one.", path="output")
    if output.is_dir() or not output.parent.is_dir():
        raise InvalidError(f"{output} cannot be written: {output.parent} must be a folder, and this no folder.")


def _print(record: Mapping[str, Any], out: Output) -> None:
    """Print it; for people, what has several parts in words."""

    def words(value: Any) -> Any:
        if isinstance(value, dict):
            return "; ".join(f"{name}: {part}" for name, part in value.items()) or "-"
        return "; ".join(value) or "-" if isinstance(value, list) else value

    out.record(record if out.as_json else {name: words(value) for name, value in record.items()})


# --- evaluating


def _labels(cells: Sequence[str], truth: str) -> dict[int, str]:
    """Who each row is in truth, as far as it is labelled. Raises `InvalidError` when none is."""
    labels = {row: cell for row, cell in enumerate(cells, start=1) if cell.strip()}
    if not labels:
        raise InvalidError(f"No row says in {truth!r} who it is.", path="truth")
    return labels


def _truth(file: Path, found: str | None) -> str:
    """The column that is most likely the truth. Raises `InvalidError` when none is called like it."""
    from identity import tables

    with tables.opened(file) as table:
        names = {name.lower(): name for name in table.header if name != found}
        if known := [names[name] for name in TRUTHS if name in names]:
            return known[0]
        told = f"No column is called like a truth; name it with --truth. There are {', '.join(table.header)}."
    raise InvalidError(told, path="truth")


def _column(file: Path, name: str) -> list[str]:
    """The cells of a column. Raises `InvalidError` when there is none of that name."""
    from identity import tables

    with tables.opened(file) as table:
        if name not in table.header:
            raise InvalidError(f"There is no column {name!r}; there are {', '.join(table.header)}.", path=name)
        place = table.header.index(name)
        return [_cell(row, place) for row in table.rows]


def _cell(row: Sequence[str], place: int) -> str:
    return row[place] if place < len(row) else ""


def _figures(result: Evaluation) -> dict[str, Any]:
    """An evaluation, to be printed."""
    return {
        "records": result.records,
        "people_in_truth": result.people,
        "clusters": result.clusters,
        "pairs_in_truth": result.pairs,
        "pairs_found": result.found,
        **{
            name: {
                "precision": round(score.precision, 4),
                "recall": round(score.recall, 4),
                "f1": round(score.f1, 4),
            }
            for name, score in (("pairwise", result.pairwise), ("b_cubed", result.b_cubed), ("exact", result.exact))
        },
        "largest_cluster": result.largest,
        "most_people_in_a_cluster": result.worst,
        "people_mixed_up": round(result.mixed, 4),
        "over_merged": [
            f"{one.cluster}: " + ", ".join(f"{person} ({count})" for person, count in one.people)
            for one in result.over_merged[:MOST_SHOWN]
        ],
    }

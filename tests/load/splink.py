"""Splink on the sets that the linker is measured on: unsupervised, as its own demonstrations set it up.

The model is that of its demonstration for the Febrl 4 set (the "detailed" one), whose columns our table of invented
people has: the same blocking rules, comparisons with term frequencies, chance of 1e6 random pairs, and two sessions of
expectation maximisation. Of places it compares the house number and the postcode, for further ones go along with
these. Sets with other columns get what its documentation has for them. People are connected components at p ≥ .95, the
threshold of its documentation; the best of many thresholds, chosen by the truth, is what nobody could have known.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from identity.evaluation import Evaluation, evaluate
from identity.matching.records import Values
from identity.matching.schema import Schema

DOCUMENTED = 0.95
# Bits of evidence; the best of them is chosen by the truth.
THRESHOLDS = range(-4, 21, 2)
LEAST, RECALL, RANDOM_PAIRS, SEED = 0.01, 0.8, 1e6, 2
BLOCKS = (
    *(("given", "family"), ("birth",), ("document",), ("region", "street"), ("house", "street"), ("postcode",)),
    *(("email",), ("phone",), ("name",)),
)
SURE = (("document",), ("given", "family", "birth"), ("email",))
LEARNT_ON = (("birth",), ("postcode",), ("family",), ("given",), ("email",))
NEIGHBOURS = ("street", "town", "region")  # what goes along with a postcode


class Found(NamedTuple):
    """What Splink found at a threshold: in words, how right it is, and CPU seconds from the table to the people."""

    by: str
    result: Evaluation
    seconds: float


def installed() -> str:
    """Its version; empty where it is not installed."""
    try:
        return version("splink")
    except PackageNotFoundError:
        return ""


def people(schema: Schema, records: Sequence[Values], truth: Mapping[int, str]) -> Iterator[Found]:
    """At the documented threshold, and at the best one. Raises `ValueError` where it finds nothing to learn from."""
    import pyarrow
    from splink import DuckDBAPI, Linker

    names = _names(schema)
    columns = dict(zip(names.values(), ([one[place] for one in records] for place in names), strict=True))
    table = pyarrow.table({"unique_id": range(len(records)), **columns})
    kinds = {schema.fields[place].kind: name for place, name in reversed(names.items())}
    started = time.process_time()
    linker = Linker(DuckDBAPI().register(table), _settings(schema, kinds), log_level="CRITICAL")
    _train(linker, kinds)
    predicted = linker.inference.predict(threshold_match_probability=LEAST)
    learnt = time.process_time() - started

    def at(by: str, **threshold: float) -> Found:
        begun = time.process_time()
        clustered = linker.clustering.cluster_pairwise_predictions_at_threshold(predicted, **threshold)
        found = dict(clustered.as_duckdbpyrelation().select("unique_id, cluster_id").fetchall())
        seconds = time.process_time() - begun
        return Found(by, evaluate(found, truth), learnt + seconds)

    yield at(f"p ≥ {DOCUMENTED}", threshold_match_probability=DOCUMENTED)
    tried = [at(f"best, {bits} bits", threshold_match_weight=bits) for bits in THRESHOLDS]
    yield max(tried, key=lambda one: one.result.pairwise.f1)


def _names(schema: Schema) -> dict[int, str]:
    """What the columns are called, by the place of the field."""
    return {place: f"f{place}_{field.kind}" for place, field in enumerate(schema)}


def _settings(schema: Schema, kinds: Mapping[str, str]) -> Any:
    from splink import SettingsCreator

    compared = {
        name: schema.fields[place].kind
        for place, name in _names(schema).items()
        if not ("postcode" in kinds and schema.fields[place].kind in NEIGHBOURS)
    }
    rules: list[Any] = _blocks(BLOCKS, kinds)
    if {"given", "family"} <= kinds.keys():
        given, family = kinds["given"], kinds["family"]
        rules.insert(1, f"l.{given} = r.{family} and l.{family} = r.{given}")
    return SettingsCreator(
        link_type="dedupe_only",
        comparisons=[_comparison(name, kind) for name, kind in compared.items()],
        blocking_rules_to_generate_predictions=rules,
    )


def _comparison(name: str, kind: str) -> Any:
    from splink import comparison_library as library

    match kind:
        case "birth":
            return library.DateOfBirthComparison(name, input_is_string=True, datetime_format="%Y%m%d")
        case "document" | "phone":
            return library.DamerauLevenshteinAtThresholds(name, [1, 2])
        case "postcode":
            made = library.DamerauLevenshteinAtThresholds(name, [1, 2])
        case "given" | "family" | "middle" | "name":
            made = library.NameComparison(name)
        case "email":
            made = library.EmailComparison(name)
        case "street" | "town" | "text":
            made = library.JaroWinklerAtThresholds(name, [0.95, 0.88])
        case _:
            made = library.ExactMatch(name)
    return made.configure(term_frequency_adjustments=True)


def _train(linker: Any, kinds: Mapping[str, str]) -> None:
    training = linker.training
    training.estimate_probability_two_random_records_match(_blocks(SURE, kinds), recall=RECALL)
    training.estimate_u_using_random_sampling(max_pairs=RANDOM_PAIRS, seed=SEED)
    sessions = 0
    for rule in _blocks(LEARNT_ON, kinds):
        with suppress(ValueError):  # where all pairs of a rule are matches there is nothing to learn
            training.estimate_parameters_using_expectation_maximisation(rule, estimate_without_term_frequencies=True)
            sessions += 1
        if sessions == 2:
            break


def _blocks(wanted: Sequence[Sequence[str]], kinds: Mapping[str, str]) -> list[Any]:
    """Those rules whose columns there are."""
    from splink import block_on

    return [block_on(*(kinds[kind] for kind in some)) for some in wanted if kinds.keys() >= set(some)]

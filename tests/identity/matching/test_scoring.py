"""Tests of the weights of pairs."""

from __future__ import annotations

import random
from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.matching.explanations import explain
from identity.matching.model import Kind, Model
from identity.matching.records import Values
from identity.matching.schema import Field, Schema
from identity.matching.scoring import Scorer, bits, probability
from tests.identity.matching.worlds import TABLE, model_of, people, worlds

SCORER = Scorer(model_of(TABLE))


@given(people, people)
def test_which_is_asked_about_which_makes_no_difference(left: Values, right: Values) -> None:
    """A weight is a property of the pair."""
    assert SCORER.weigh(left, right) == SCORER.weigh(right, left)


def any_model(chance: random.Random) -> Model:
    """A model that says anything at all."""

    def kind(*, weighed: bool = True) -> Kind:
        parts = [[chance.random() ** 6 + 1e-6 for _ in field.comparison.words] for field in TABLE]
        levels = tuple((*(one / sum(part) for one in part), chance.choice([1.0, 0.001])) for part in parts)
        return Kind(10 ** chance.uniform(0, 4), levels, weighed=weighed)

    return Model(
        schema=TABLE,
        keys=(),
        match=kind(weighed=False),
        household=kind(weighed=False) if chance.random() < 0.5 else None,
        coincidences=tuple(kind() for _ in range(chance.randrange(4))),
        chance=kind(),
        rarity=tuple({"lan": chance.uniform(0.01, 9), "tran": 5.0} for _ in TABLE),
        rarest=tuple(chance.uniform(0.01, 1) for _ in TABLE),
    )


@given(st.randoms(use_true_random=False), worlds, people, st.sampled_from([-30.0, -2.0, 0.0, 4.25]))
def test_who_is_near_is_who_weighs_enough(
    chance: random.Random, world: dict[int, Values], values: Values, least: float
) -> None:
    """That strangers are told early makes no difference to the last bit, whatever the model."""
    scorer = Scorer(any_model(chance))
    weights = {other: scorer.weigh(values, theirs) for other, theirs in world.items()}

    found = scorer.near(values, world, world, least)

    assert found == {other: weight for other, weight in weights.items() if weight >= least}


@given(people, people)
def test_reasons_add_up_to_the_weight(left: Values, right: Values) -> None:
    """What was there before any field, and what each field adds, is the weight; a missing value says nothing."""
    found = explain(SCORER, left, right)

    assert found.start + sum(reason.bits for reason in found.reasons) == pytest.approx(SCORER.weigh(left, right))
    assert {reason.field for reason in found.reasons} == {
        field.name for field, mine, theirs in zip(TABLE, left, right, strict=True) if mine and theirs
    }
    assert all(sentence for sentence in found.sentences)


def test_the_weight_is_the_formula() -> None:
    """Matches against households, coincidences and chance, the latter two by how frequent the value is."""
    schema = Schema((Field("town", "region"),))
    model = Model(
        schema=schema,
        keys=(),
        match=Kind(10, ((0.9, 0.1, 1.0),), weighed=False),
        household=Kind(5, ((0.8, 0.2, 1.0),), weighed=False),
        coincidences=(Kind(7, ((0.5, 0.5, 1.0),)),),
        chance=Kind(1000, ((0.01, 0.99, 1.0),)),
        rarity=({"hue": 4.0},),
        rarest=(0.5,),
    )
    scorer = Scorer(model)

    assert scorer.weigh(("hue",), ("hue",)) == pytest.approx(log2(9 / (4 + (3.5 + 10) * 4)))
    assert scorer.weigh(("vinh",), ("vinh",)) == pytest.approx(log2(9 / (4 + (3.5 + 10) / 2)))
    assert scorer.weigh(("hue",), ("vinh",)) == pytest.approx(log2(1 / (1 + 3.5 + 990)))
    assert scorer.weigh((None,), ("vinh",)) == pytest.approx(log2(10 / (5 + 7 + 1000)))
    assert scorer.odds(("hue",), ("hue",)) == pytest.approx((4 / 9, 6))


@given(st.floats(0.001, 0.999))
def test_bits_and_probabilities_are_one(share: float) -> None:
    """There and back."""
    assert probability(bits(share)) == pytest.approx(share)


def test_a_marketer_understands_why() -> None:
    """The strongest reason comes first, in words."""
    found = explain(SCORER, ("lan", "tran", None, "+84905000001", "hue"), ("lam", "tran", None, "+84905000001", "vinh"))

    assert found.sentences[0].startswith("one person with a probability of 0.")
    assert found.sentences[1] == "family: the same (tran), speaks clearly for one person (+4.2)"

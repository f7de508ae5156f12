"""Observations → a model of what one person's observations are like, without labels.

A model is learnt from the first few thousand observations, and again when there are several times as many. Each time it
begins with the people that the model before finds; the first begins with the one that is written down.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from identity.cluster import partition
from identity.evidence import OBSERVED, Evidence
from identity.links import Content
from identity.matching.generic import Owners
from identity.matching.learning import learn
from identity.matching.model import Kind, Model, assumed_model
from identity.observations import Anchor
from identity.policy import Policy
from identity.ties import NO_TIES, Ties
from identity.weighing import Weighed

FIRST: Final = 2_000  # observations at least from which a model is learnt
AGAIN: Final = 3.0  # how many times as many until it is learnt again
MOST: Final = 30_000  # observations that are looked at; of more, those with the least anchors
NEVER = 1e-9  # next to nothing, as a probability


def is_due(observations: int, model: Model | None) -> bool:
    """Whether a model is to be learnt, when there are so many observations."""
    return observations >= (FIRST if model is None else model.records * AGAIN) and not (
        model is not None and model.records >= MOST
    )


def learn_model(content: Content, policy: Policy, ties: Ties = NO_TIES) -> Model | None:
    """What pairs of these observations are like; None while no two meet. The result does not depend on their order."""
    begin = policy.evidence or Evidence(assumed_model(OBSERVED))
    chosen = {anchor: content[anchor] for anchor in sorted(content)[:MOST]}
    known = replace(policy, evidence=begin)
    whole = Weighed(chosen, known, ties)
    groups = partition(chosen, known, ties).clusters
    person = {anchor: number for number, group in enumerate(groups) for anchor in group}
    owners: Owners[Anchor] = Owners(begin.schema)
    records = {anchor: whole.values(anchor) for anchor in chosen}
    for anchor, values in records.items():
        owners.add(anchor, values)
    model = learn(
        begin.schema,
        begin.model.keys,
        records,
        whole.meets,
        person_of=person.__getitem__,
        people_of=owners.people,
        levels=begin.scorer.levels,
        version=begin.model.version + 1,
    )
    return None if model is None else _met(model)


def _met(model: Model) -> Model:
    """The model, for pairs that met.

    Who shares a value that belongs to one person has met by it, so strangers among them have been counted, as
    households and coincidences. To count them among all pairs once more, by an assumed rate, believes nameless
    observations of a telephone far too little.
    """
    chance = [
        (NEVER, *levels[1:]) if field.role.owners else levels
        for field, levels in zip(model.schema, model.chance.levels, strict=True)
    ]
    return replace(model, chance=Kind(model.chance.pairs, tuple(chance), model.chance.weighed))

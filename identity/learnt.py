"""Observations → a model of what one person's observations are like, without labels.

A model is learnt from the first few thousand observations, and again when there are several times as many. Each time it
begins with the people that the model before finds; the first begins with the one that is written down. What was learnt
is judged by what it makes of the same observations, beside the people so far.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import msgspec
from msgspec import Struct

from cdp.settings import IdentitySettings
from identity.cluster import partition, people_of
from identity.evidence import OBSERVED, Evidence
from identity.judgement import Judgement, flaw, judge
from identity.links import Content
from identity.matching.generic import Owners
from identity.matching.learning import learn
from identity.matching.model import Kind, Model, assumed_model
from identity.observations import Anchor, Observation
from identity.policy import Policy
from identity.ties import NO_TIES, Tie, Ties
from identity.weighing import Weighed

FIRST: Final = 2_000  # observations at least from which a model is learnt
AGAIN: Final = 3.0  # how many times as many until it is learnt again
MOST: Final = 30_000  # observations that are looked at; of more, those with the least anchors
NEVER = 1e-9  # next to nothing, as a probability
NICE = 10  # how much learning gives way to what comes in
COMMON: Final = 2.0  # times as frequent as the rarest: what fewer have may tell who they are, and is not kept
MOST_COMMON: Final = 2_000  # values of a field that are kept


class Learnt(Struct):
    """What was learnt, and what is to be thought of it. There is no model where none can be told from the sample."""

    model: Model | None
    judgement: Judgement


class Task(Struct):
    """What a child process learns from. `settings` are those of identity, as JSON; `model` is the one before."""

    settings: str
    model: Model | None
    ties: list[Tie]
    observations: list[tuple[Anchor, Observation]]

    def work(self) -> Learnt:
        """Learn, and judge what was learnt."""
        policy = Policy.of(IdentitySettings.model_validate_json(self.settings)).by(self.model)
        return judged_model(dict(self.observations), policy, Ties(self.ties))


def due_at(model: Model | None, first: int = FIRST, refused: Judgement | None = None) -> int | None:
    """How many observations there must be for the next model, the `first` or a later one; None when it is the last.

    Where one was `refused` since, there must be as many times as many as there were then as well: of the same
    observations the same is learnt again.
    """
    if model is not None and model.records >= MOST:
        return None
    usual = first if model is None else int(model.records * AGAIN)
    return max(usual, int(refused.observations * AGAIN)) if refused else usual


def learn_model(content: Content, policy: Policy, ties: Ties = NO_TIES) -> Model | None:
    """What pairs of these observations are like; None while no two meet. The result does not depend on their order."""
    return _learnt(_sample(content), policy, ties)[0]


def judged_model(content: Content, policy: Policy, ties: Ties = NO_TIES) -> Learnt:
    """The same, and what it makes of these observations, beside what the policy does."""
    sample = _sample(content)
    model, people = _learnt(sample, policy, ties)
    before = people if policy.evidence else partition(sample, policy, ties).clusters
    reason = flaw(model) if model else "no two observations have anything in common"
    if model is None or reason:
        return Learnt(None, Judgement(sample=len(sample), before=len(before), reasons=(reason,)))
    return Learnt(model, judge(Weighed(sample, _with(model, policy), ties), before, by_rules=policy.evidence is None))


def _sample(content: Content) -> Content:
    return {anchor: content[anchor] for anchor in sorted(content)[:MOST]}


def _with(model: Model, policy: Policy) -> Policy:
    return replace(policy, evidence=Evidence(model, views=policy.views))


def _learnt(sample: Content, policy: Policy, ties: Ties) -> tuple[Model | None, list[list[Anchor]]]:
    """A model, and the people with whom learning began."""
    known = policy if policy.evidence else replace(policy, evidence=Evidence(assumed_model(OBSERVED)))
    whole = Weighed(sample, known, ties)
    begin, people = whole.evidence, people_of(sample, whole).clusters
    person = {anchor: number for number, group in enumerate(people) for anchor in group}
    owners: Owners[Anchor] = Owners(begin.schema)
    records = {anchor: whole.values(anchor) for anchor in sample}
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
    return None if model is None else _impersonal(_met(model)), people


def _impersonal(model: Model) -> Model:
    """The model without what is somebody's own: it is kept where nobody can be forgotten.

    Of names and places only those remain that several people have; of telephones and the like none.
    """
    return replace(
        model,
        rarity=tuple(
            {} if field.role.owners else dict(_most_common(rarity, rarest))
            for field, rarity, rarest in zip(model.schema, model.rarity, model.rarest, strict=True)
        ),
    )


def _most_common(rarity: Mapping[str, float], rarest: float) -> list[tuple[str, float]]:
    common = ((value, factor) for value, factor in rarity.items() if factor >= COMMON * rarest)
    return sorted(common, key=lambda item: (-item[1], item[0]))[:MOST_COMMON]


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


def main() -> None:
    """Read a task from standard input, and write what was learnt to standard output."""
    os.nice(NICE)
    task = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Task)
    sys.stdout.buffer.write(msgspec.json.encode(task.work()))


if __name__ == "__main__":
    main()

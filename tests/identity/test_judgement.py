"""What is thought of a model: good ones are used, and what contradicts itself or all that was known is not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from math import inf, nan
from typing import Any

import pytest

from identity.cluster import partition
from identity.evidence import OBSERVED, Evidence
from identity.judgement import Judgement, flaw, judge
from identity.learnt import AGAIN, FIRST, Learnt, due_at, judged_model, learn_model
from identity.links import Content
from identity.matching.model import Kind, Model, assumed_model
from identity.observations import Observation
from identity.policy import Policy
from identity.weighing import Weighed
from tests.identity.samples import both, customers, families, invented

RULES = Policy()
PHONE = [field.name for field in OBSERVED].index("phone")
NAME = [field.name for field in OBSERVED].index("name")


@cache
def good() -> Learnt:
    """A model of customers, after rules."""
    return judged_model(customers(150).observations, RULES)


def test_a_model_of_people_is_used() -> None:
    """It is the one that would be learnt anyway, without a reason against it, and what it changes is counted."""
    content, judgement = customers(150).observations, good().judgement
    assert good().model == learn_model(content, RULES)
    assert judgement.reasons == ()
    assert (judgement.version, judgement.sample) == (1, len(content))
    before = partition(content, RULES).clusters
    after = partition(content, RULES.by(good().model)).clusters
    assert (judgement.before, judgement.after) == (len(before), len(after))
    person = {anchor: number for number, group in enumerate(before) for anchor in group}
    now = {anchor: number for number, group in enumerate(after) for anchor in group}
    assert judgement.merged == sum(len({person[anchor] for anchor in group}) > 1 for group in after) > 0
    assert judgement.split == sum(len({now[anchor] for anchor in group}) > 1 for group in before) > 0
    assert judgement.largest == max(map(len, after))
    assert judgement.largest_before == max(map(len, before))


def test_the_next_is_judged_by_the_one_before() -> None:
    """People before are those of the model in force, so the same customers again change next to nothing."""
    found = judged_model(customers(150).observations, RULES.by(good().model)).judgement
    assert (found.version, found.reasons, found.before) == (2, (), good().judgement.after)


def test_the_order_makes_no_difference() -> None:
    """Whoever judges thinks the same."""
    assert judged_model(dict(reversed(customers(150).observations.items())), RULES) == good()


def test_who_are_invented_teach_nothing() -> None:
    """A model of a flood of them would split everybody, and is refused; among real customers they do no harm."""
    content = customers(60).observations
    flood = judged_model(invented(600).observations, RULES)
    assert ["pairs of one person, and needs" in reason for reason in flood.judgement.reasons] == [True]
    assert len(partition(content, RULES.by(flood.model)).clusters) == 2 * 60
    mixed = judged_model(both(customers(60), invented(600)).observations, RULES)
    assert mixed.judgement.reasons == ()
    assert len(partition(content, RULES.by(mixed.model)).clusters) == 60


def test_families_make_no_bad_model() -> None:
    """Of families whom rules take for one person each it makes their members, many more people, and no reason."""
    found = judged_model(both(customers(60), families(300)).observations, RULES).judgement
    assert found.after > 2 * found.before + 100
    assert abs(found.after - 60 - len(families(300).observations)) < 10
    assert found.reasons == ()


def test_a_model_that_believes_more_than_it_joins() -> None:
    """One that reckons with more pairs than its people have, because more is forbidden, is no worse for that."""
    known = good().model
    assert known is not None
    more = replace(known, match=replace(known.match, pairs=known.match.pairs * 4))
    assert judged(more, customers(150).observations) == ()


def test_nothing_in_common() -> None:
    """Where no two observations meet there is no model, and that is said."""
    lone = Observation((("phone", "+84905123456"),), {})
    found = judged_model({lone.anchor: lone}, RULES)
    assert found.model is None
    assert found.judgement == Judgement(sample=1, before=1, reasons=("no two observations have anything in common",))


@pytest.mark.parametrize("figure", [nan, inf, 0.0, -1.0])
def test_figures_that_nobody_can_be_weighed_by(figure: float) -> None:
    """Each figure is a number above 0, wherever it stands."""
    model = assumed_model(OBSERVED)
    levels = (*model.match.levels[:-1], (figure, *model.match.levels[-1][1:]))
    assert flaw(model) == ""
    for changed in (
        replace(model, match=replace(model.match, levels=levels)),
        replace(model, chance=replace(model.chance, pairs=figure)),
        replace(model, coincidences=(replace(model.match, pairs=figure),)),
        replace(model, rarest=(figure, *model.rarest[1:])),
        replace(model, rarity=({"lan": figure}, *model.rarity[1:])),
    ):
        assert "numbers" in flaw(changed)


def test_a_worse_likeness_never_speaks_more() -> None:
    """A model in which names that are alike speak more for one person than equal ones is none."""
    model = assumed_model(OBSERVED)
    backwards = (0.024, 0.85, *model.match.levels[NAME][2:])
    assert "likeness of name" in flaw(_with(model, "match", NAME, backwards))


def _with(model: Model, kind: str, place: int, levels: tuple[float, ...]) -> Model:
    """The model with other levels of one field in one class."""
    known: Kind = getattr(model, kind)
    levels_of = (*known.levels[:place], levels, *known.levels[place + 1 :])
    changes: dict[str, Any] = {kind: replace(known, levels=levels_of)}
    return replace(model, **changes)


def judged(model: Model, content: Content, policy: Policy = RULES) -> tuple[str, ...]:
    """The reasons against a model, after this policy."""
    weighed = Weighed(content, replace(RULES, evidence=Evidence(model)))
    return judge(weighed, partition(content, policy).clusters, by_rules=policy.evidence is None).reasons


def test_a_model_that_splits_everybody() -> None:
    """After one that knows its customers, a model that believes in next to no pair is refused, and after rules too."""
    known = good().model
    assert known is not None
    nobody = replace(known, match=replace(known.match, pairs=known.match.pairs / 1e9))
    reasons = judged(nobody, customers(150).observations, RULES.by(known))
    assert any("people it makes" in reason for reason in reasons)
    assert any("needs 50" in reason for reason in reasons)
    assert any("needs 50" in reason for reason in judged(nobody, customers(150).observations))


def test_a_model_that_joins_more_than_it_believes() -> None:
    """One that reckons with a part of the pairs that its people have is refused: something else joins them."""
    known = good().model
    assert known is not None
    fewer = replace(known, match=replace(known.match, pairs=known.match.pairs / 4))
    assert any("it reckons with" in reason for reason in judged(fewer, customers(150).observations))


def test_people_halved() -> None:
    """A model under which less than half of the people remain is refused, whoever they were."""
    known, content = good().model, customers(150).observations
    assert known is not None
    weighed = Weighed(content, replace(RULES, evidence=Evidence(known)))
    alone = [[anchor] for anchor in content]
    for by_rules in (True, False):
        assert any("people it makes" in reason for reason in judge(weighed, alone, by_rules=by_rules).reasons)
    everybody = [list(content)]
    assert judge(weighed, everybody, by_rules=True).reasons == ()
    assert any("people it makes" in reason for reason in judge(weighed, everybody, by_rules=False).reasons)


def test_an_identifier_that_speaks_against() -> None:
    """Two with the same number are never less likely one person than two with different ones."""
    known = good().model
    assert known is not None and known.household is not None
    shared = (1 - 2e-9, 1e-9, 1e-9, 1.0)
    strange = _with(_with(known, "household", PHONE, shared), "match", PHONE, (1e-9, 1e-9, 1 - 2e-9, 1.0))
    strange = _with(strange, "chance", PHONE, (1e-9, 1e-9, 1 - 2e-9, 1.0))
    assert any("the same phone" in reason for reason in judged(strange, customers(150).observations))


def test_one_person_of_all() -> None:
    """Whoever would be larger than can be compared, and far larger than anybody before, is no person."""
    said = {"name": "nguyễn thị lan", "birthday": "1990-02-03", "street": "5 le loi", "province": "hue"}
    content = {
        one.anchor: one for n in range(400) if (one := Observation((("user_id", "u"), ("email", f"m{n}@x.vn")), said))
    }
    policy = Policy({"user_id": 1}, 10_000, observations_per_value=10_000)
    model = assumed_model(OBSERVED, 500)
    weighed = Weighed(content, replace(policy, evidence=Evidence(model)))
    alone = [[anchor] for anchor in content]
    assert any("different things" in reason for reason in judge(weighed, alone, by_rules=True).reasons)
    assert not any("different things" in reason for reason in judge(weighed, [list(content)], by_rules=True).reasons)


def test_the_next_attempt_waits_for_many_more() -> None:
    """Of the same observations the same would be learnt: there must be as many times as many as when it was refused."""
    refused = Judgement(observations=5_000, reasons=("it reckons with …",))
    assert due_at(None, FIRST, refused) == 5_000 * AGAIN
    assert due_at(good().model, FIRST, refused) == 5_000 * AGAIN
    early = Judgement(observations=500, reasons=("somebody asked",))
    assert due_at(None, FIRST, early) == FIRST

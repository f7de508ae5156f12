"""People by evidence: a function of the set of observations, that hand-made ties and limits still bound."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cache

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity import weighing
from identity.cluster import components, partition
from identity.evidence import BLOCK, OBSERVED, Evidence, name_of
from identity.generic import generic_values
from identity.keys import decode_profile
from identity.learnt import FIRST, MOST, due_at, learn_model
from identity.links import EVIDENCE, Clustering, Content
from identity.matching.limits import Limits
from identity.matching.linker import Linker, Views
from identity.matching.model import Model, assumed_model
from identity.matching.records import Values
from identity.observations import DAY, Anchor, Observation
from identity.policy import ALL, Policy
from identity.ties import Ties, tie
from identity.weighing import Weighed
from tests.identity.strategies import ties_between

NAMES = [
    "",
    "nguyễn thị lan",
    "lan",
    "thi lan",
    "trần văn hùng",
    "tran hung",
    "lê minh tú",
    "vũ thanh hoa",
    "đỗ bích my",
]
TYPES = {"user_id": 4, "crm_id": 3, "loyalty_card": 3, "email": 4, "phone": 4}
EMAILS = ["lan.nguyen@gmail.com", "lan.nguyen@yahoo.com", "hungtran88@gmail.com", "hoa@shop.vn"]
MODEL = assumed_model(OBSERVED, 30)
FEW = Limits(component=4, bucket=3, representatives=2)
ROOMY = Policy({"user_id": 99}, 99, accounts=99)


class Unguarded(Evidence):
    """What the linker weighs by: without the guards that only whole clusters of observations need."""

    def contradicts(self, pattern: Sequence[int | None]) -> bool:
        """Never."""
        return False

    def is_name_alone(self, pattern: Sequence[int | None]) -> bool:
        """Never."""
        return False

    def identified(self, pattern: Sequence[int | None]) -> list[int]:
        """None."""
        return []

    def is_doubtful(self, left: Values, right: Values) -> bool:
        """Never."""
        return False


@st.composite
def observations(draw: st.DrawFn, most: int = 10, *, several: bool = True) -> dict[Anchor, Observation]:
    """Some observations by anchor, `several` of which may have two addresses."""
    given = {name: st.sampled_from([f"{name}{number}" for number in range(count)]) for name, count in TYPES.items()}
    mailboxes = {"email": st.sampled_from(EMAILS)} | ({"second": st.sampled_from(EMAILS)} if several else {})
    values = st.fixed_dictionaries({}, optional=given | mailboxes)
    described = st.fixed_dictionaries(
        {"name": st.sampled_from(NAMES)},
        optional={
            "birthday": st.sampled_from(["1990-02-03", "1985-11-20"]),
            "street": st.sampled_from(["19 hai ba trung", "5 le loi"]),
            "province": st.sampled_from(["ha noi", "hue"]),
        },
    )
    said = draw(st.lists(st.tuples(values.filter(bool), described), max_size=most))
    found = [
        Observation(
            tuple(sorted({("email" if name == "second" else name, text) for name, text in ids.items()})),
            {name: text for name, text in more.items() if text},
        )
        for ids, more in said
    ]
    return {one.anchor: one for one in found}


evidence = st.builds(
    Evidence,
    st.just(MODEL),
    views=st.sampled_from([Views(), Views(0.9, 0.99)]),
    limits=st.sampled_from([Limits(), FEW]),
)
policies = st.builds(
    Policy,
    limit=st.sampled_from([1, 2, 5]),
    observations_per_value=st.sampled_from([3, 200]),
    component_limit=st.sampled_from([3, 8, 2_000]),
    limits_within=st.sampled_from([{}, {"email": 1}]),
    evidence=evidence,
    accounts=st.sampled_from([1, 3]),
)


@cache
def learnt() -> Model:
    """A model learnt from people who have names and numbers of their own."""
    model = learn_model(dict(_people(250)), Policy())
    assert model is not None
    return model


def one(text: str) -> Observation:
    """An observation from `phone=1 name=lan_nguyen`."""
    pairs = [part.split("=", 1) for part in text.split()]
    described = {name: value.replace("_", " ") for name, value in pairs if name in ("name", "birthday", "street")}
    return Observation(tuple(sorted((name, value) for name, value in pairs if name not in described)), described)


def found(*said: str, policy: Policy | None = None, ties: Ties | None = None) -> tuple[Clustering, dict[str, int]]:
    """The clustering of observations written as text, and which cluster each is in."""
    content = {(observed := one(text)).anchor: observed for text in said}
    clustering = partition(content, policy or Policy(evidence=Evidence(learnt())), ties or Ties())
    number = {anchor: place for place, group in enumerate(clustering.clusters) for anchor in group}
    return clustering, {text: number[one(text).anchor] for text in said}


def groups(clusters: Collection[Collection[Anchor]]) -> frozenset[frozenset[Anchor]]:
    """Clusters as sets."""
    return frozenset(map(frozenset, clusters))


@given(observations(), policies, st.randoms(use_true_random=False), st.data())
def test_order_makes_no_difference(
    content: dict[Anchor, Observation], policy: Policy, rng: random.Random, data: st.DataObject
) -> None:
    """Clusters of both views, links and refusals are the same for every order of the same observations and ties."""
    ties = data.draw(ties_between(sorted(content)))
    shuffled, shuffled_ties = list(content.items()), list(ties)
    rng.shuffle(shuffled)
    rng.shuffle(shuffled_ties)
    expected = partition(content, policy, Ties(ties))
    again = partition(dict(shuffled), policy, Ties(shuffled_ties))
    assert again.clusters == expected.clusters
    assert again.sure == expected.sure
    assert set(again.links) == set(expected.links)
    assert set(again.refusals) == set(expected.refusals)


@given(observations(), observations(), policies)
def test_what_is_taken_back_leaves_no_trace(
    content: dict[Anchor, Observation], more: dict[Anchor, Observation], policy: Policy
) -> None:
    """Whoever saw more, and had it taken away again, finds the people of one who never saw it."""
    never = replace(policy, evidence=Evidence(MODEL, views=_weighs(policy).views, limits=_weighs(policy).limits))
    partition(content | more, policy)
    assert partition(content, policy) == partition(content, never)


@given(observations(), policies, st.data())
def test_a_component_decides_for_itself(
    content: dict[Anchor, Observation], policy: Policy, data: st.DataObject
) -> None:
    """A component comes out as within the whole, when only it and who shares its values are read."""
    ties = Ties(data.draw(ties_between(sorted(content))))
    whole = Weighed(content, policy, ties)
    generic = generic_values(content, policy)
    for part in components(content, whole, ALL):
        values = {value for anchor in part for value in content[anchor].identifiers}
        keys = {key for anchor in part for key in whole.blocks(anchor)}
        near = {
            anchor: observation
            for anchor, observation in content.items()
            if anchor in part or values & set(observation.identifiers) or keys & whole.blocks(anchor)
        }
        some = Weighed(near, policy, ties, generic=generic, holding=whole.holders)
        assert sorted(*components(part, some, ALL)) == sorted(part)
        assert some.cluster(part, ALL) == whole.cluster(part, ALL)


@given(observations(12, several=False))
@settings(deadline=None)
def test_it_agrees_with_the_linker(content: dict[Anchor, Observation]) -> None:
    """Without guards, limits and ties the people are those of the linker in memory under the same model, both views."""
    weighs = Unguarded(MODEL)
    linker: Linker[Anchor] = Linker(OBSERVED, MODEL)
    for anchor, observation in content.items():
        values = weighs.read(anchor, observation).single
        assert values is not None
        linker.add(anchor, values)
    clustering = partition(content, replace(ROOMY, evidence=weighs))
    assert groups(clustering.clusters) == frozenset(linker.clusters())
    assert groups(clustering.sure) == frozenset(linker.clusters(sure=True))


@given(observations(), policies, st.data())
def test_links_tell_both_views(content: dict[Anchor, Observation], policy: Policy, data: st.DataObject) -> None:
    """Links are a spanning forest of the clusters; those that are sure enough are one of the surer view."""
    clustering = partition(content, policy, Ties(data.draw(ties_between(sorted(content)))))
    views = _weighs(policy).views
    sure = [link for link in clustering.links if link.rule != EVIDENCE or link.probability >= views.sure]
    assert len(clustering.links) == len(content) - len(clustering.clusters)
    assert len(sure) == len(content) - len(clustering.sure)
    group_of = {anchor: number for number, group in enumerate(clustering.clusters) for anchor in group}
    surer = {anchor: number for number, group in enumerate(clustering.sure) for anchor in group}
    assert all(group_of[link.left] == group_of[link.right] for link in clustering.links)
    assert all(surer[link.left] == surer[link.right] for link in sure)
    assert all(group_of[refusal.left] != group_of[refusal.right] for refusal in clustering.refusals)
    assert all(views.likely - 1e-4 <= link.probability <= 1 for link in clustering.links if link.rule == EVIDENCE)


@given(observations(), policies, st.data())
def test_hand_ties_and_limits_bound_people(
    content: dict[Anchor, Observation], policy: Policy, data: st.DataObject
) -> None:
    """Nobody is on both sides of a denial, and no evidence brings more values of a type together than are allowed."""
    ties = Ties(data.draw(ties_between(sorted(content))))
    for group in partition(content, policy, ties).clusters:
        marks = {mark for anchor in group for mark in ties.marks(anchor, content[anchor].identifiers)}
        assert not any((number, not side) in marks for number, side in marks)
        for kind in TYPES if not ties.asserts else ():
            values = {text for anchor in group for name, text in content[anchor].identifiers if name == kind}
            alone = max(sum(name == kind for name, _ in content[anchor].identifiers) for anchor in group)
            assert len(values) <= max(policy.limit_of(kind), policy.accounts if kind == "user_id" else 0, alone)


@given(observations())
def test_keys_are_posted_before_anything_is_generic(content: dict[Anchor, Observation]) -> None:
    """Whatever turns out to be generic, the blocking keys of what remains are among those that were posted."""
    weighs = Evidence(MODEL)
    for anchor, observation in content.items():
        known, posted = weighs.read(anchor, observation), weighs.keys(anchor, observation)
        for hidden in observation.identifiers:
            assert set(weighs.blocks(known.values(OBSERVED, {hidden}))) <= posted


def test_of_several_values_the_first_that_is_not_generic_counts() -> None:
    """An observation with two addresses is compared by the second when the first is generic, and is posted by both."""
    weighs = Evidence(MODEL)
    observation = Observation((("email", "a@b.vn"), ("email", "c@b.vn")), {"name": "lan"})
    anchor = observation.anchor
    known, posted = weighs.read(anchor, observation), weighs.keys(anchor, observation)
    place = [field.name for field in OBSERVED].index("email")
    assert known.values(OBSERVED, ())[place] == "a@b.vn"
    assert known.values(OBSERVED, {("email", "a@b.vn")})[place] == "c@b.vn"
    assert all(key[0] == BLOCK for key in posted)
    assert set(weighs.blocks(known.values(OBSERVED, {("email", "a@b.vn")}))) <= posted


def test_devices_are_no_evidence() -> None:
    """No field of what is compared is a device's."""
    assert not OBSERVED.places("device")


def test_names_alike_and_a_telephone_make_one_person() -> None:
    """A name written in two ways with one number is one person; the link says so in words, with its probability."""
    clustering, number = found("phone=84905 name=nguyễn_thị_lan", "phone=84905 name=lan_nguyen")
    assert set(number.values()) == {0}
    (link,) = clustering.links
    assert (link.rule, link.model) == (EVIDENCE, learnt().version)
    assert "phone the same" in link.value and 0.5 <= link.probability <= 1


def test_relatives_are_left_to_somebody_to_decide() -> None:
    """People with one number and quite different names stay apart, and that is told as a refusal."""
    clustering, number = found("phone=84905 name=nguyễn_thị_lan", "phone=84905 name=trần_văn_hùng")
    assert len(set(number.values())) == 2
    assert [refusal.reason for refusal in clustering.refusals] in ([], [weighing.HOUSEHOLD])


def test_who_gives_no_name_is_who_mostly_uses_the_number() -> None:
    """A nameless observation goes to the user of its number who is named most; of two equals to none."""
    lan = [f"phone=84905 name={name}" for name in ("nguyễn_thị_lan", "nguyen_lan", "thị_lan", "lan")]
    hung = "phone=84905 name=trần_văn_hùng"
    _, number = found("phone=84905", *lan, hung)
    assert number["phone=84905"] == number[lan[0]] != number[hung]
    _, number = found("phone=84905", lan[0], hung)
    assert len(set(number.values())) == 3


def test_a_number_that_was_named_once_is_nobodys_yet() -> None:
    """Whoever gives a number without a name is left apart while it was named but once."""
    once, again = "phone=84905 name=nguyễn_thị_lan", "phone=84905 name=nguyen_lan"
    assert len(set(found("phone=84905", once)[1].values())) == 2
    assert len(set(found("phone=84905", once, again)[1].values())) == 1


def test_genders_tell_people_apart() -> None:
    """A gender is compared, but what half of all people have in common is nobody's own."""
    weighs, places = Evidence(MODEL), {field.name: place for place, field in enumerate(OBSERVED)}
    male = Observation((), {"gender": "male"})
    assert weighs.read(male.anchor, male).said[places["gender"]] == ("male",)

    def pattern(**levels: int) -> list[int | None]:
        return [levels.get(field.name) for field in OBSERVED]

    assert weighs.contradicts(pattern(name=8, phone=0, gender=0))
    assert weighs.identified(pattern(phone=0, gender=0)) == [places["phone"]]


@pytest.mark.parametrize(
    ("levels", "apart"),
    [
        ({"name": 5, "phone": 0}, False),  # the given name
        ({"name": 7, "phone": 0}, True),  # a family's name
        ({"name": 7, "phone": 0, "birthday": 0}, False),
        ({"name": 7, "phone": 0, "birthday": 0, "user_id": 1}, True),  # twins
        ({"name": 4, "phone": 0, "birthday": 4}, True),
        ({"name": 0, "phone": 0, "birthday": 4, "user_id": 0}, False),
        ({"phone": 0, "loyalty_card": 1}, True),
        ({"name": 0, "phone": 0, "loyalty_card": 1}, False),
    ],
)
def test_what_a_household_shares_joins_nobody_who_differs(levels: dict[str, int], apart: bool) -> None:
    """Different names, birthdays or cards need something of a person's own to be one person."""
    assert Evidence(MODEL).contradicts([levels.get(field.name) for field in OBSERVED]) == apart


def test_a_rare_name_joins_unless_others_have_it() -> None:
    """A full name that is rare makes one person of two observations, but not where a third has the name as well."""
    ticket, member = "loyalty_card=1 name=đỗ_bích_my", "user_id=u1 name=đỗ_bích_my"
    other = "phone=84907 name=đỗ_bích_my"
    assert len(set(found(ticket, member)[1].values())) == 1
    clustering, number = found(ticket, member, other)
    assert len(set(number.values())) == 3
    assert {refusal.reason for refusal in clustering.refusals} == {weighing.NAMESAKES}


def test_a_frequent_name_joins_nobody() -> None:
    """What everybody may be called makes nobody one person; what is given beside it does."""
    content = dict(_people(250))
    words = Counter(word for said in content.values() for word in (name_of(said.attributes["name"]) or "").split())
    frequent = "_".join(word for word, _ in words.most_common(2))
    assert len(set(found(f"loyalty_card=1 name={frequent}", f"user_id=u1 name={frequent}")[1].values())) == 2
    said = [f"loyalty_card=1 phone=84905 name={frequent}", f"user_id=u1 phone=84905 name={frequent}"]
    assert len(set(found(*said)[1].values())) == 1


def test_a_number_of_many_people_says_nothing() -> None:
    """Five incompatible people make a telephone generic: then nobody is joined by it, not even without a name."""
    names = ["nguyễn_thị_lan", "trần_văn_hùng", "lê_minh_tú", "vũ_thanh_hoa", "đỗ_bích_my"]
    _, number = found("phone=84905", "phone=84905 street=x", *(f"phone=84905 name={name}" for name in names))
    assert len(set(number.values())) == 7


def test_two_accounts_of_one_person_join_within_bounds() -> None:
    """Evidence may join accounts that rules may not, up to the number that the policy allows."""
    said = [f"user_id=u{n} phone=84905 email=lan@x.vn name=nguyễn_thị_lan birthday=1990-02-03" for n in range(2)]
    _, number = found(*said)
    assert len(set(number.values())) == 1
    _, number = found(*said, policy=Policy(evidence=Evidence(learnt()), accounts=1))
    assert len(set(number.values())) == 2


def test_types_that_the_model_lacks_join_as_rules_say() -> None:
    """An external id that no model was learnt for links by itself, and an alias joins accounts."""
    clustering, number = found("zalo_id=z1", "zalo_id=z1 name=lan", "user_id=a", "user_id=b previous_id=a")
    assert number["zalo_id=z1"] == number["zalo_id=z1 name=lan"] != number["user_id=a"]
    assert number["user_id=a"] == number["user_id=b previous_id=a"]
    assert {link.rule for link in clustering.links} == {"zalo_id", "alias"}


def test_a_customer_of_every_day_is_one_person() -> None:
    """However often a telephone alone is given, it makes no component too large, and costs no pair of observations."""
    named = one("phone=1 name=tran_van_binh loyalty_card=7")
    days = [Observation(named.identifiers[1:], {DAY: str(number)}) for number in range(400)]
    again = one("phone=1 name=tran_van_binh")
    content = {observed.anchor: observed for observed in (named, again, *days)}
    assert partition(content, Policy(evidence=Evidence(learnt()))).clusters == [sorted(content)]


@settings(max_examples=60)
@given(observations(), policies, st.integers(2, 6))
def test_days_change_nothing_while_a_value_is_not_generic(
    content: dict[Anchor, Observation], policy: Policy, number: int
) -> None:
    """What is said again on other days belongs to whom it belonged, and makes nobody else one person or two."""
    days = [Observation((("phone", "phone0"),), {DAY: str(day)}) for day in range(number)]
    once, often = (content | {day.anchor: day for day in some} for some in (days[:1], days))
    if ("phone", "phone0") in generic_values(often, policy):
        return
    repeats = {day.anchor for day in days[1:]}
    first = days[0].anchor
    found = partition(often, policy).clusters
    assert all(first in group for group in found if repeats & set(group))
    assert sorted([a for a in group if a not in repeats] for group in found) == partition(once, policy).clusters


def test_a_denial_beats_all_evidence() -> None:
    """Two values that somebody keeps apart are two people, however alike they are."""
    said = ("phone=1 email=a@x.vn name=nguyễn_thị_lan", "phone=1 email=b@x.vn name=nguyễn_thị_lan")
    denied = Ties([tie("deny", ("email", "a@x.vn"), ("email", "b@x.vn"))])
    assert len(set(found(*said)[1].values())) == 1
    assert len(set(found(*said, ties=denied)[1].values())) == 2


def test_without_a_model_rules_alone_decide() -> None:
    """Until a model is learnt a value that is shared makes one person, whatever else is said."""
    clustering, number = found("phone=1 name=lan", "phone=1 name=hùng", policy=Policy())
    assert len(set(number.values())) == 1
    assert [link.rule for link in clustering.links] == ["phone"]


def test_links_of_before_are_read() -> None:
    """A profile's record from before there was evidence is read: its links have no probability of their own."""
    before = msgspec.msgpack.encode((1, [b"a" * 16, b"b" * 16], [(b"a" * 16, b"b" * 16, "phone", "1")], [], ""))
    (link,) = decode_profile(before).links
    assert (link.probability, link.model) == (0.0, 0)


def test_other_models_are_other_rules() -> None:
    """Other views are other rules; another model is none, for everybody is made anew by it at once."""
    rules = [Policy(), Policy(views=Views(0.7, 0.9)), Policy(learns=False)]
    assert len({policy.fingerprint for policy in rules}) == 3
    assert Policy(evidence=Evidence(MODEL)).fingerprint == Policy().fingerprint


@pytest.mark.parametrize(("name", "told"), [("Anh", None), ("Bi", None), ("Lan Nguyễn", "nguyen lan")])
def test_names_that_tell_nobody_are_none(name: str, told: str | None) -> None:
    """A title, or a name used at home, is no name to compare by."""
    assert name_of(name) == told


def test_a_model_is_learnt_from_a_set() -> None:
    """What is learnt does not depend on order, knows that names and numbers agree, and tells when to learn again."""
    content, model = dict(_people(250)), learnt()
    assert model == learn_model(dict(reversed(content.items())), Policy())
    phone = [field.name for field in OBSERVED].index("phone")
    assert model.match.levels[phone][0] > 0.6
    again = learn_model(content, Policy(evidence=Evidence(model)))
    assert again is not None and again.version == model.version + 1
    assert due_at(None) == FIRST
    assert due_at(model) == 3 * model.records
    assert due_at(replace(model, records=MOST)) is None


def test_nothing_to_learn() -> None:
    """Where no two observations meet there is no model."""
    assert learn_model({(lone := one("phone=1")).anchor: lone}, Policy()) is None


def _people(count: int) -> list[tuple[Anchor, Observation]]:
    """Three observations each of people with names of their own."""
    rng = random.Random(7)
    family, middle, given_name = (
        ["nguyễn", "trần", "lê", "phạm"],
        ["văn", "thị", "minh", "ngọc", "thu"],
        ["lan", "hùng", "tú", "hoa", "my", "dũng", "khánh", "trang", "long", "phúc"],
    )
    made: Content = {
        observed.anchor: observed
        for number in range(count)
        for name in [f"{rng.choice(family)} {rng.choice(middle)} {rng.choice(given_name)}"]
        for observed in (
            Observation((("phone", f"+8490{number:07d}"),), {"name": name}),
            Observation((("email", f"p{number}@x.vn"), ("phone", f"+8490{number:07d}")), {"name": name.split()[-1]}),
            Observation(
                (("email", f"p{number}@x.vn"),), {"name": name, "birthday": f"19{rng.randrange(60, 99)}-02-03"}
            ),
        )
    }
    return list(made.items())


def _weighs(policy: Policy) -> Evidence:
    assert policy.evidence is not None
    return policy.evidence

"""Clustering: what the rules say, whatever the order; and against an oracle that reads them word for word."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cluster import components, partition, whole_of
from identity.observations import Anchor, Observation, to_text
from identity.policy import Policy
from identity.testing import clusters
from identity.ties import OBSERVATION, Ties, tie
from tests.identity.strategies import observations, policies, ties_between

ATTRIBUTES = ("name", "period")
Groups = frozenset[frozenset[str]]


def people(*said: str, policy: Policy | None = None, ties: Ties | None = None) -> Groups:
    """Who is one person among observations written as `user_id=u1 email=e1`, each named by its text."""
    content = {(one := observation(text)).anchor: one for text in said}
    names = {observation(text).anchor: text for text in said}
    found = partition(content, policy or Policy(), ties or Ties())
    return frozenset(frozenset(names[anchor] for anchor in group) for group in found.clusters)


def observation(text: str) -> Observation:
    """An observation from text; `name=` and `period=` are attributes."""
    pairs = [part.split("=", 1) for part in text.split()]
    identifiers = tuple(sorted((name, value) for name, value in pairs if name not in ATTRIBUTES))
    return Observation(identifiers, {name: value for name, value in pairs if name in ATTRIBUTES})


def apart(*said: str) -> Groups:
    """Each for itself."""
    return frozenset(frozenset({text}) for text in said)


def one(*said: str) -> Groups:
    """All one person."""
    return frozenset({frozenset(said)})


@given(observations(), policies, st.data())
def test_it_is_what_the_rules_say(content: dict[Anchor, Observation], policy: Policy, data: st.DataObject) -> None:
    """The clusters are those of an oracle without components, indexes or shortcuts, ties included."""
    ties = data.draw(ties_between(sorted(content)))
    found = partition(content, policy, Ties(ties))
    assert frozenset(map(frozenset, found.clusters)) == clusters(content, policy, ties)


@given(observations(), policies, st.integers())
def test_order_makes_no_difference(content: dict[Anchor, Observation], policy: Policy, seed: int) -> None:
    """Clusters, links and refusals are the same for every order of the same observations."""
    shuffled = list(content.items())
    random.Random(seed).shuffle(shuffled)
    expected, found = partition(content, policy), partition(dict(shuffled), policy)
    assert found.clusters == expected.clusters
    assert set(found.links) == set(expected.links)
    assert set(found.refusals) == set(expected.refusals)


@given(observations(), policies)
def test_links_are_a_spanning_forest(content: dict[Anchor, Observation], policy: Policy) -> None:
    """The links of a cluster connect it, and there is one less than it has observations."""
    found = partition(content, policy)
    assert sum(len(group) for group in found.clusters) == len(content)
    assert len(found.links) == len(content) - len(found.clusters)
    group_of = {anchor: number for number, group in enumerate(found.clusters) for anchor in group}
    assert all(group_of[link.left] == group_of[link.right] for link in found.links)
    assert all(group_of[refusal.left] != group_of[refusal.right] for refusal in found.refusals)


@given(observations(), policies)
def test_no_cluster_leaves_its_component(content: dict[Anchor, Observation], policy: Policy) -> None:
    """People are found within what hangs together."""
    component_of = {
        anchor: n for n, found in enumerate(components(content, whole_of(content, policy))) for anchor in found
    }
    for group in partition(content, policy).clusters:
        assert len({component_of[anchor] for anchor in group}) == 1


def test_shared_values_join() -> None:
    """An account, a mailbox and a number make one person of three observations."""
    said = ("user_id=lan email=e1", "email=e1 phone=p1", "phone=p1 loyalty_card=c1")
    assert people(*said) == one(*said)


def test_two_accounts_are_two_people() -> None:
    """One profile has one account: the weaker link gives way, whichever comes first."""
    first, second, shared = "user_id=lan phone=p1", "user_id=hung phone=p1", "phone=p1 name=lan"
    found = people(first, second, shared)
    assert len(found) == 2
    assert not any({first, second} <= group for group in found)


def test_only_so_many_new_values_come_in_one_period() -> None:
    """Three new addresses within a week are too many where two are allowed; over three weeks they are not."""
    policy = Policy(limits_within={"email": 2})
    busy = [f"phone=p1 email=e{number} period=2026-W01" for number in range(3)]
    assert sorted(map(len, people(*busy, policy=policy))) == [1, 2]
    slow = [f"phone=p1 email=e{number} period=2026-W0{number + 1}" for number in range(3)]
    assert people(*slow, policy=policy) == {frozenset(slow)}
    known = "phone=p1 email=e2 period=2025-W50"
    assert people(*busy, known, policy=policy) == {frozenset({*busy, known})}


def test_priorities_are_settings() -> None:
    """With telephones before accounts, a person whose telephone is shared by two accounts is kept together by it."""
    said = "user_id=u1 email=e1", "email=e1 phone=p1 crm_id=c1", "phone=p1 crm_id=c2"
    assert people(*said, policy=Policy(limits={"crm_id": 1})) == {frozenset(said[:2]), frozenset(said[2:])}
    swapped = Policy(limits={"crm_id": 1}, priorities=("phone",))
    assert people(*said, policy=swapped) == {frozenset(said)}
    assert sorted(["zalo_id", "phone", "email", "crm_id", "user_id"], key=Policy().order_of) == [
        *("user_id", "crm_id", "email", "phone", "zalo_id")
    ]


def test_a_stronger_link_is_made_first() -> None:
    """Where a mailbox and a number pull an observation two ways, the mailbox wins."""
    policy = Policy(limits={"user_id": 1})
    said = ("user_id=lan email=e1", "email=e1 phone=p1", "user_id=hung phone=p1")
    assert people(*said, policy=policy) == frozenset({frozenset(said[:2]), frozenset(said[2:])})


def test_weaker_types_do_not_limit_stronger_links() -> None:
    """An account holds as many numbers as its owner has had; a number does not bring more accounts."""
    said = tuple(f"user_id=lan phone=p{n}" for n in range(9))
    assert people(*said) == one(*said)
    many = tuple(f"email=e{n} phone=p1" for n in range(4))
    assert len(people(*many, policy=Policy(limit=3))) > 1


def test_an_alias_joins_two_accounts() -> None:
    """An alias call beats the limit of accounts, also along a chain, up to the limit of all other types."""
    said = ("user_id=a", "user_id=b previous_id=a", "user_id=b", "user_id=c previous_id=b", "user_id=c")
    assert people(*said) == one(*said)


def test_an_alias_of_nobody_joins_nobody() -> None:
    """Two people whose old id is the same device do not become one for that."""
    said = ("user_id=a previous_id=kiosk", "user_id=b previous_id=kiosk")
    assert people(*said) == apart(*said)


def test_a_hotline_joins_nobody() -> None:
    """A number under which many different people are known is generic."""
    names = ("lan", "hùng", "bình", "my", "hoa", "tú", "khoa")
    said = tuple(f"phone=p1 name={name}" for name in names)
    assert people(*said) == apart(*said)
    few = said[:5]
    assert people(*few) == one(*few)


def test_a_loyal_customer_is_no_hotline() -> None:
    """A number that is seen often, with one person's names, joins however often it is seen."""
    said = tuple(f"phone=p1 email=e{n % 3} name=lan" for n in range(3)) + tuple(
        f"phone=p1 loyalty_card=c1 zalo_id=z{n}" for n in range(3)
    )
    assert people(*said) == one(*said)


def test_an_agents_login_joins_nobody() -> None:
    """An account id that sticks to many customers is generic, because it goes with many issued ids."""
    said = tuple(f"user_id=agent crm_id=c{n} phone=p{n}" for n in range(8))
    assert people(*said) == apart(*said)


def test_deny_beats_all_evidence() -> None:
    """What was parted by hand stays apart, however much they share."""
    left, right = "user_id=lan email=e1", "user_id=lan phone=p1"
    ties = Ties([tie("deny", ("email", "e1"), ("phone", "p1"))])
    assert people(left, right, ties=ties) == apart(left, right)


def test_assert_beats_the_limits_and_deny_beats_assert() -> None:
    """What was joined by hand is one, unless it was parted by hand too."""
    left, right = "user_id=lan", "user_id=hung"
    ends = [(OBSERVATION, to_text(observation(text).anchor)) for text in (left, right)]
    assert people(left, right, ties=Ties([tie("assert", *ends)])) == one(left, right)
    both = Ties([tie("assert", *ends), tie("deny", *ends)])
    assert people(left, right, ties=both) == apart(left, right)


def test_refusals_say_why() -> None:
    """A pair that shares a value and is kept apart is told with the limit that kept it."""
    content = {(o := observation(text)).anchor: o for text in ("user_id=a phone=p1", "user_id=b phone=p1")}
    [refusal] = partition(content, Policy()).refusals
    assert (refusal.rule, refusal.value) == ("phone", "p1")
    assert refusal.reason == "together they would have 2 values of user_id; the limit is 1"


def test_a_component_that_is_too_large_does_without_its_weakest_links() -> None:
    """Beyond the size nothing is joined by the weakest type, while the stronger ones still count."""
    said = tuple(f"user_id=u{n // 2} phone=p{(n + 1) // 2} zalo_id=z{n}" for n in range(8))
    large = people(*said, policy=Policy(limits={"user_id": 9}, limit=9))
    small = people(*said, policy=Policy(limits={"user_id": 9}, limit=9, component_limit=4))
    assert large == one(*said)
    assert small == frozenset(frozenset(said[n : n + 2]) for n in range(0, 8, 2))


@pytest.mark.parametrize("blocked", [("p1",), ("p.",)])
def test_blocked_values_join_nobody(blocked: tuple[str, ...]) -> None:
    """A value that the settings block links nothing, also where it was kept before they did."""
    policy = Policy()
    policy = Policy(identifiers=policy.identifiers.blocking(blocked))
    said = ("email=e1 phone=p1", "email=e2 phone=p1")
    assert people(*said, policy=policy) == apart(*said)

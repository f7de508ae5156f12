"""Households: a relation between people apart, that the model tells and nobody is merged by."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from identity.evidence import Evidence
from identity.households import LIKELY, relatives
from identity.observations import Anchor, Observation
from identity.policy import Policy
from identity.weighing import Weighed
from tests.identity.test_evidence import MODEL, one

EVIDENCE = Evidence(MODEL)
SAID = [
    "phone=84905 street=5_le_loi name=nguyễn_thị_lan",
    "email=lan@x.vn street=5_le_loi name=nguyễn_thị_lan birthday=1990-02-03",
    "phone=84905 street=5_le_loi name=nguyễn_văn_hùng",
    "phone=84905 name=trần_bích_my",
    "user_id=u7 name=lê_minh_tú",
    "email=tu@x.vn name=lê_minh_tú birthday=1985-11-20",
]


def told(mine: str, *others: str) -> dict[str, float]:
    """How likely the others are of the household of who said the first, as far as that is told."""
    content = {(said := one(text)).anchor: said for text in (mine, *others)}
    whole = Weighed(content, Policy(evidence=EVIDENCE))
    known: dict[Anchor, Observation] = {one(mine).anchor: one(mine)}
    rest = {anchor: said for anchor, said in content.items() if anchor not in known}
    name_of = {one(text).anchor: text for text in others}
    return {name_of[anchor]: share for anchor, share, _ in relatives(known, rest, whole)}


def test_who_shares_a_telephone_and_an_address_may_live_together() -> None:
    """Other names with what a household shares are a household; strangers are none."""
    found = told(SAID[0], SAID[2], SAID[4], SAID[5])
    assert set(found) == {SAID[2]} and LIKELY < found[SAID[2]] <= 1


@given(st.permutations(SAID))
def test_it_is_mutual(order: list[str]) -> None:
    """If one is of the other's household, so is the other of the one's, as likely."""
    first, second, *_ = order
    assert told(first, second).get(second) == told(second, first).get(first)

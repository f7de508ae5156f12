"""What people bought: orders told once or often, changed, cancelled, refunded; favourites; points for RFM."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.clock import DAY
from cdp.purchases import CANCELLED, COMPLETED, REFUNDED, UPDATED, Purchases, Rfm, Told, purchases_of, rfm
from cdp.settings import ProfileSettings

START = 1_795_249_800_000


def told(name: str, at: int, message: str = "", source: str = "web", **properties: Any) -> Told:
    """An event about an order."""
    return Told(name, START + at, source, message or f"m{at}", json.dumps(properties))


def bought(*events: Told, **looked_at: tuple[int, int]) -> Purchases:
    """What follows from these."""
    return purchases_of(events, looked_at)


def test_who_bought_nothing_has_nothing() -> None:
    """No orders, no amounts, no points; what they looked at most is their favourite."""
    assert bought() == Purchases()
    assert rfm(Purchases(), START, ProfileSettings()) is None
    assert bought(a=(2, 1), b=(2, 5), c=(1, 9)).favourite_category == "b"


def test_an_order_counts_once_with_its_latest_amount() -> None:
    """Said by the shop, the till and an edit, it is one order of the amount that was said last; ids match as text."""
    found = bought(
        told(COMPLETED, 1, order_id="7", total=100, currency="vnd"),
        told(COMPLETED, 2, source="pos", order_id=7, total=100, currency="VND"),
        told(UPDATED, 3, order_id="7", total=80.5),
        told(UPDATED, 4, order_id="8", total=1),  # never completed
        told(COMPLETED, 5, total=9),
    )

    assert (found.orders, found.paid) == (2, {"VND": 1, "XXX": 1})
    assert found.revenue == found.ltv == found.average_order == {"VND": 80.5, "XXX": 9}
    assert (found.first_order, found.last_order, found.refunded) == (START + 1, START + 5, {})


def test_a_cancelled_order_is_none_and_refunds_take_off() -> None:
    """A refund takes off at most the order's amount, once however often it is said, and all where it has no amount."""
    orders = [told(COMPLETED, n, order_id=str(n), total=100, currency="VND") for n in range(4)]
    refunds = [
        told(REFUNDED, 10, order_id="1", refund_id="a", total=30),
        told(REFUNDED, 11, source="till", order_id="1", refund_id="a", total=30),
        told(REFUNDED, 12, order_id="1", refund_id="b", total=-20),
        told(REFUNDED, 13, order_id="2"),
        told(REFUNDED, 14, order_id="3", total=1_000),
        told(REFUNDED, 15, order_id="unknown", total=1_000),
    ]
    found = bought(*orders, *refunds, told(CANCELLED, 20, order_id="0"))

    assert (found.orders, found.revenue, found.refunded) == (3, {"VND": 300}, {"VND": 250})
    assert (found.ltv, found.average_order) == ({"VND": 50}, {"VND": 100})


@pytest.mark.parametrize(
    ("properties", "amount"),
    [
        ({"revenue": 5, "total": 7, "value": 9}, 5),
        ({"revenue": None, "total": "7.25", "value": 9}, 7.25),
        ({"total": True, "value": 9}, 9),
        ({"total": "1.000.000đ", "value": [1]}, None),
        ({"total": "nan"}, None),
        ({"total": "1e999"}, None),
        ({"total": 0}, 0),
        ({}, None),
    ],
)
def test_an_amount_is_the_first_of_three_that_is_a_number(properties: dict[str, Any], amount: float | None) -> None:
    """`revenue`, `total`, `value`, as numbers or as text that is one; an order without any has no currency either."""
    found = bought(told(COMPLETED, 1, currency="VND", **properties))

    assert (found.orders, found.revenue) == (1, {} if amount is None else {"VND": amount})


def test_the_favourite_category_is_the_one_of_most_items() -> None:
    """Items of orders that count, by quantity; of equals the one ordered last; what was only looked at comes after."""
    one = told(COMPLETED, 1, order_id="1", products=[{"category": "Áo", "quantity": 2}, {"category": "Nón"}, 5, {}])
    other = told(COMPLETED, 2, order_id="2", products=[{"category": "Quần", "quantity": "2"}, {"category": ""}])
    more = told(CANCELLED, 3, order_id="3"), told(COMPLETED, 3, order_id="3", products=[{"category": "Túi"}] * 9)

    assert bought(one, Xem=(99, 1)).favourite_category == "Áo"
    assert bought(one, other, *more).favourite_category == "Quần"


def test_what_cannot_be_read_is_an_order_without_amount() -> None:
    """Properties that are no object, or too deep, say nothing, and nothing breaks."""
    deep = "[" * 5_000 + "]" * 5_000
    broken = [Told(COMPLETED, START, "web", f"m{n}", text) for n, text in enumerate(("[]", "", '{"a"', deep))]

    assert (bought(*broken).orders, bought(*broken).revenue) == (4, {})


@pytest.mark.parametrize(
    ("days", "orders", "amount", "points"),
    [
        (0, 1, 499_999, (5, 1, 1)),
        (30, 2, 500_000, (5, 2, 2)),
        (31, 3, 2_000_000, (4, 3, 3)),
        (90, 5, 5_000_000, (3, 4, 4)),
        (180, 10, 10_000_000, (2, 5, 5)),
        (181, 99, 99_000_000, (1, 5, 5)),
    ],
)
def test_points_go_by_fixed_thresholds(days: int, orders: int, amount: int, points: tuple[int, int, int]) -> None:
    """Each threshold belongs to the better side, and the clock alone takes points for recency away."""
    found = Purchases(orders=orders, last_order=START, paid={"VND": orders}, ltv={"VND": amount})

    assert rfm(found, START + days * DAY + 1, ProfileSettings()) == Rfm(*points, days, "VND")


def test_points_look_at_the_currency_that_most_orders_were_paid_in() -> None:
    """Where no threshold is set for it, there are no monetary points."""
    found = Purchases(orders=3, last_order=START, paid={"LAK": 2, "VND": 1}, ltv={"LAK": 5, "VND": 9_000_000})

    assert rfm(found, START, ProfileSettings()) == Rfm(5, 3, None, 0, "LAK")
    assert rfm(Purchases(orders=1, last_order=START), START, ProfileSettings()) == Rfm(5, 1, None, 0, "")


names = st.sampled_from([COMPLETED, COMPLETED, UPDATED, CANCELLED, REFUNDED])
properties = st.fixed_dictionaries(
    {},
    optional={
        "order_id": st.sampled_from(["a", "b", "c"]),
        "refund_id": st.sampled_from(["r", "s"]),
        "total": st.sampled_from([0, 1, 2.5, "4", None]),
        "currency": st.sampled_from(["VND", "USD"]),
    },
)
histories = st.lists(st.tuples(names, st.integers(0, 5), st.sampled_from(["web", "pos"]), properties), max_size=12)


def stupid(events: list[Told]) -> tuple[int, dict[str, float], dict[str, float]]:
    """Orders, revenue and LTV, read order by order."""
    orders, revenue, ltv = 0, dict[str, float](), dict[str, float]()
    said = {
        event: json.loads(event.properties) for event in sorted(events, key=lambda e: (e.at, e.source, e.message_id))
    }
    for key in {own.get("order_id", (event.source, event.message_id)) for event, own in said.items()}:
        mine = [(e, own) for e, own in said.items() if own.get("order_id", (e.source, e.message_id)) == key]
        kinds = [event.name for event, _ in mine]
        if COMPLETED not in kinds or CANCELLED in kinds:
            continue
        orders += 1
        facts = [own for event, own in mine if event.name in (COMPLETED, UPDATED)]
        amounts = [float(own["total"]) for own in facts if own.get("total") is not None]
        if not amounts:
            continue
        currency = ([own["currency"] for own in facts if "currency" in own] or ["XXX"])[-1]
        refunds = {own.get("refund_id", e.message_id): own.get("total") for e, own in mine if e.name == REFUNDED}
        back = sum(float("inf") if total is None else float(total) for total in refunds.values())
        revenue[currency] = revenue.get(currency, 0) + amounts[-1]
        ltv[currency] = ltv.get(currency, 0) + amounts[-1] - min(back, amounts[-1])
    return orders, revenue, ltv


@given(histories, st.randoms(use_true_random=False))
def test_any_order_of_events_gives_the_same_purchases(history: list[Any], shuffle: random.Random) -> None:
    """Whatever order they are read in, and as a stupid reading says."""
    events = [told(name, at, f"m{n}", source, **own) for n, (name, at, source, own) in enumerate(history)]
    found = bought(*events)
    mixed = events[:]
    shuffle.shuffle(mixed)

    assert bought(*mixed) == found
    assert (found.orders, found.revenue, found.ltv) == stupid(events)

"""What a person bought, from the orders among their events: counts, amounts per currency, favourites, RFM. Pure.

- An order is an `Order Completed`; the same order_id said again (by another source, or as `Order Updated`) is the same
  order, and the latest amount counts: `revenue`, else `total`, else `value`. An `Order Cancelled` takes it away.
- `Order Refunded` takes off what it names, at most the order's amount; one without an amount takes off all. Refunds of
  an order are told apart by refund_id.
- LTV so far is revenue less refunds. An amount without a currency is under XXX (ISO 4217: no currency).
- The favourite category is the one of which most items were ordered; of who ordered none, the one looked at most.
- RFM (recency, frequency, monetary) gives 1 to 5 points for each, by fixed thresholds (settings `profiles`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from cdp.clock import DAY
from cdp.settings import ProfileSettings

COMPLETED, UPDATED, CANCELLED, REFUNDED = "Order Completed", "Order Updated", "Order Cancelled", "Order Refunded"
NO_CURRENCY = "XXX"
# Amounts are whole millionths while they are added, so that the order of adding makes no difference.
MILLIONTHS = 1_000_000
LARGEST = 9_000_000_000_000
MOST_PRODUCTS = 1_000  # of one order that are looked at
BEST = 5

Amount = int | float
Amounts = dict[str, Amount]


class Purchases(Struct):
    """`first_order` and `last_order` are moments (0: none). Amounts are by currency, in its usual unit.

    `paid`: how many orders had an amount, by currency.
    """

    orders: int = 0
    first_order: int = 0
    last_order: int = 0
    paid: dict[str, int] = {}
    revenue: Amounts = {}
    refunded: Amounts = {}
    ltv: Amounts = {}
    average_order: Amounts = {}
    favourite_category: str | None = None


class Told(NamedTuple):
    """An event about an order: its name, moment, source, message, and properties as JSON text."""

    name: str
    at: int
    source: str
    message_id: str
    properties: str


class Rfm(NamedTuple):
    """Points from 1 to 5. `monetary` is None where no threshold is set for the currency they mostly pay in.

    `days`: since the last order; `currency`: the one that `monetary` looks at.
    """

    recency: int
    frequency: int
    monetary: int | None
    days: int
    currency: str


class _Properties(Struct):
    order_id: Any = None
    refund_id: Any = None
    revenue: Any = None
    total: Any = None
    value: Any = None
    currency: Any = None
    products: Any = None


@dataclass(slots=True)
class _Order:
    placed: int | None = None
    cancelled: bool = False
    amount: int | None = None
    currency: str = NO_CURRENCY
    products: list[Any] = field(default_factory=list)
    refunds: dict[str, int | None] = field(default_factory=dict)

    @property
    def refunded(self) -> int:
        most = max(0, self.amount or 0)
        amounts = self.refunds.values()
        return most if None in amounts else min(most, sum(amount or 0 for amount in amounts))


_read = msgspec.json.Decoder(_Properties).decode


def purchases_of(told: Iterable[Told], looked_at: Mapping[str, tuple[int, int]]) -> Purchases:
    """Everything that was told of one person's orders → what they bought, in whatever order it is given.

    `looked_at`: categories of products that they looked at, how often and when last.
    """
    orders = [order for order in _orders(told) if order.placed is not None and not order.cancelled]
    placed = [order.placed for order in orders if order.placed is not None]
    paid = Counter(order.currency for order in orders if order.amount is not None)
    revenue, refunded = dict.fromkeys(sorted(paid), 0), dict.fromkeys(sorted(paid), 0)
    for order in orders:
        if order.amount is not None:
            revenue[order.currency] += order.amount
            refunded[order.currency] += order.refunded
    return Purchases(
        orders=len(orders),
        first_order=min(placed, default=0),
        last_order=max(placed, default=0),
        paid=dict(sorted(paid.items())),
        revenue={code: _amount(sum_) for code, sum_ in revenue.items()},
        refunded={code: _amount(sum_) for code, sum_ in refunded.items() if sum_},
        ltv={code: _amount(revenue[code] - refunded[code]) for code in revenue},
        average_order={code: _amount(round(revenue[code] / paid[code])) for code in revenue},
        favourite_category=_favourite(orders) or max(looked_at, key=lambda one: (*looked_at[one], one), default=None),
    )


def rfm(bought: Purchases, now: int, settings: ProfileSettings) -> Rfm | None:
    """How recently, how often and how much they bought; None for who never did. `now` in milliseconds."""
    if not bought.orders:
        return None
    days = max(0, now - bought.last_order) // DAY
    currency = max(bought.paid, key=lambda code: (bought.paid[code], code), default="")
    steps = settings.rfm_monetary.get(currency)
    return Rfm(
        recency=BEST - sum(days > most for most in settings.rfm_recency_days),
        frequency=_points(bought.orders, settings.rfm_frequency),
        monetary=None if steps is None else _points(bought.ltv[currency], steps),
        days=days,
        currency=currency,
    )


def _points(figure: Amount, steps: Iterable[Amount]) -> int:
    return 1 + sum(figure >= step for step in steps)


def _orders(told: Iterable[Told]) -> Iterable[_Order]:
    orders: dict[str, _Order] = defaultdict(_Order)
    for one in sorted(told, key=lambda one: (one.at, one.source, one.message_id)):
        said = _said(one.properties)
        own = f"{one.source} {one.message_id}"
        _take(orders[_id(said.order_id) or own], one, said, _id(said.refund_id) or own)
    return orders.values()


def _take(order: _Order, one: Told, said: _Properties, refund: str) -> None:
    """Let an order be as this event says; what was told before it is known already."""
    amount = _millionths(said)
    if one.name == CANCELLED:
        order.cancelled = True
    elif one.name == REFUNDED:
        order.refunds[refund] = None if amount is None else abs(amount)
    else:
        if one.name == COMPLETED and order.placed is None:
            order.placed = one.at
        order.amount = order.amount if amount is None else amount
        order.currency = _currency(said.currency) or order.currency
        order.products = said.products if isinstance(said.products, list) and said.products else order.products


def _favourite(orders: Iterable[_Order]) -> str | None:
    quantities: Counter[str] = Counter()
    latest: dict[str, int] = {}
    for order in orders:
        for product in order.products[:MOST_PRODUCTS]:
            category = product.get("category") if isinstance(product, dict) else None
            if isinstance(category, str) and category:
                quantities[category] += _quantity(product.get("quantity"))
                latest[category] = max(order.placed or 0, latest.get(category, 0))
    return max(quantities, key=lambda one: (quantities[one], latest[one], one), default=None)


def _said(properties: str) -> _Properties:
    try:
        return _read(properties)
    except (msgspec.MsgspecError, RecursionError):
        return _Properties()


def _id(given: Any) -> str:
    return str(given) if isinstance(given, str | int) and not isinstance(given, bool) else ""


def _currency(given: Any) -> str:
    return given.strip().upper() if isinstance(given, str) else ""


def _millionths(said: _Properties) -> int | None:
    """The amount, whichever of the three it is called first; None when there is none."""
    for given in (said.revenue, said.total, said.value):
        if given is not None and (number := _number(given)) is not None:
            return round(min(max(number, -LARGEST), LARGEST) * MILLIONTHS)
    return None


def _number(given: Any) -> float | None:
    """A number, or text that is one and nothing else."""
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return None
    try:
        number = float(given)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < float("inf") else None


def _quantity(given: Any) -> int:
    number = _number(given)
    return MILLIONTHS if number is None or number < 0 else round(min(number, MILLIONTHS) * MILLIONTHS)


def _amount(millionths: int) -> Amount:
    whole, rest = divmod(millionths, MILLIONTHS)
    return whole if not rest else millionths / MILLIONTHS

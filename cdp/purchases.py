"""What a person bought, from the orders among their events: counts, amounts per currency, favourites, RFM.

- An order is an `Order Completed`; the same order_id said again (by another source, or as `Order Updated`) is the same
  order, and the latest amount counts: `revenue`, else `total`, else `value`. An `Order Cancelled` takes it away.
- `Order Refunded` takes off what it names, at most the order's amount; one without an amount takes off all.
- LTV so far is revenue less refunds. An amount without a currency is under XXX (ISO 4217: no currency).
- The favourite category is the one of which most items were ordered; of who ordered none, the one looked at most.
- RFM (recency, frequency, monetary) gives 1 to 5 points for each, by fixed thresholds (settings `profiles`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from cdp.clock import DAY
from cdp.settings import ProfileSettings

MILLIONTHS = 1_000_000
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


class Bought(NamedTuple):
    """A row of the query; see there."""

    profile_id: Any
    fact: str
    name: str
    orders: int
    amount: int
    refunded: int
    first_at: int
    last_at: int
    by_quantity: tuple[Sequence[str], Sequence[int]]
    by_time: tuple[Sequence[str], Sequence[int]]


class Rfm(NamedTuple):
    """Points from 1 to 5. `monetary` is None where no threshold is set for the currency they mostly pay in.

    `days`: since the last order; `currency`: the one that `monetary` looks at.
    """

    recency: int
    frequency: int
    monetary: int | None
    days: int
    currency: str


def purchases_of(rows: Iterable[Sequence[Any]]) -> Purchases:
    """The rows of one profile → what they bought."""
    facts = [Bought(*row) for row in rows]
    bought = sorted((fact for fact in facts if fact.fact == "bought"), key=lambda fact: fact.name)
    if not bought:
        return Purchases(favourite_category=_favourite(facts))
    priced = [fact for fact in bought if fact.name]
    return Purchases(
        orders=sum(fact.orders for fact in bought),
        first_order=min(fact.first_at for fact in bought),
        last_order=max(fact.last_at for fact in bought),
        paid={fact.name: fact.orders for fact in priced},
        revenue={fact.name: _amount(fact.amount) for fact in priced},
        refunded={fact.name: _amount(fact.refunded) for fact in priced if fact.refunded},
        ltv={fact.name: _amount(fact.amount - fact.refunded) for fact in priced},
        average_order={fact.name: _amount(round(fact.amount / fact.orders)) for fact in priced},
        favourite_category=_favourite(facts),
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


def _favourite(facts: Iterable[Bought]) -> str | None:
    quantities: Counter[str] = Counter()
    latest: dict[str, int] = {}
    looked_at = None
    for fact in facts:
        if fact.fact == "looked at":
            looked_at = fact.name
        quantities.update(dict(zip(*fact.by_quantity, strict=True)))
        for category, at in zip(*fact.by_time, strict=True):
            latest[category] = max(at, latest.get(category, 0))
    if not quantities:
        return looked_at
    return max(quantities, key=lambda category: (quantities[category], latest[category], category))


def _amount(millionths: int) -> Amount:
    whole, rest = divmod(millionths, MILLIONTHS)
    return whole if not rest else millionths / MILLIONTHS

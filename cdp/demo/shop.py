"""A small shop in Saigon and its customers: a fortnight of Segment-spec events, the same for the same seed and day.

Customers browse anonymously, sign in, buy on the web and at the counter under differently written phone numbers, leave
carts behind, and some have not come back since before the fortnight.
"""

from __future__ import annotations

import random
import unicodedata
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

from cdp.clock import DAY, HOUR, MINUTE, SECOND, to_text

Event = dict[str, Any]

SURNAMES = ("Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Phan", "Vũ", "Đặng", "Bùi", "Đỗ", "Hồ", "Ngô", "Dương", "Lý")
MIDDLES = {"f": ("Thị", "Ngọc", "Thu", "Kim", "Mỹ"), "m": ("Văn", "Hữu", "Đức", "Minh", "Quốc")}
GIVEN = {
    "f": ("Hương", "Lan", "Linh", "Mai", "Trang", "Thảo", "Yến", "Vy", "Ngân", "Phương", "Hằng", "Châu", "Dung"),
    "m": ("Hùng", "Dũng", "Tuấn", "Nam", "Long", "Hải", "Cường", "Sơn", "Thắng", "Bình", "Huy", "Khoa", "Phúc"),
}
PROVINCES = ("TP. Hồ Chí Minh", "Hà Nội", "Đà Nẵng", "Cần Thơ", "Hải Phòng", "Khánh Hòa", "Đồng Nai")
PRODUCTS = (
    ("ao-thun", "Áo thun cotton", 199_000),
    ("ao-dai", "Áo dài lụa", 1_850_000),
    ("quan-jean", "Quần jean ống rộng", 549_000),
    ("giay-chay", "Giày chạy bộ", 1_290_000),
    ("tui-tote", "Túi tote vải", 159_000),
    ("non-la", "Nón lá thêu tay", 120_000),
    ("khan-ran", "Khăn rằn", 89_000),
    ("vay-hoa", "Váy hoa mùa hè", 690_000),
)
CAMPAIGNS = (
    {"source": "facebook", "medium": "cpc", "name": "tet-2027"},
    {"source": "tiktok", "medium": "video", "name": "back-to-work"},
    {"source": "zalo", "medium": "oa", "name": "khach-quen"},
    {"source": "google", "medium": "cpc", "name": "ao-dai"},
)
PREFIXES = ("90", "91", "93", "96", "97", "98", "32", "35", "70", "79", "83")


class Customer(NamedTuple):
    """A person who buys here; `loyalty` from 0 (looks around) to 1 (buys often)."""

    user_id: str
    anonymous_id: str
    name: str
    email: str
    phone: str
    province: str
    loyalty: float
    lapsed: bool


class Shop:
    """Makes the events. Each call of a maker returns events; only `_event` counts them."""

    def __init__(self, people: int, *, seed: int, now: int) -> None:
        """`now` is the end of the fortnight, in milliseconds since the epoch."""
        self._random = random.Random(seed)
        self._now = now
        self._start = now - 14 * DAY
        self._seed = f"{seed}/{to_text(now)[:10]}"
        self._count = 0
        self.customers = [self._customer(number) for number in range(people)]

    def fortnight(self) -> list[Event]:
        """Every event, in the order of its time."""
        events = [event for customer in self.customers for event in self._life(customer)]
        return sorted(events, key=lambda event: str(event["timestamp"]))

    def _life(self, customer: Customer) -> Iterator[Event]:
        if customer.lapsed:
            then = self._now - self._random.randint(35, 80) * DAY
            yield from self._counter(customer, then)
            return
        for _ in range(1 + int(customer.loyalty * 7)):
            at = self._random.randint(self._start, self._now - 3 * HOUR)
            visit = self._visit if self._random.random() < 0.7 else self._counter
            yield from visit(customer, at)
        if self._random.random() < 0.15:
            yield from self._abandoned(customer)

    def _visit(self, customer: Customer, at: int) -> Iterator[Event]:
        """A visit to the web shop: anonymous pages, perhaps a sign-in, perhaps an order."""
        context = self._context(customer)
        yield self._event("page", customer, at, context, name="Trang chủ", properties={"path": "/"})
        basket = self._random.sample(PRODUCTS, self._random.randint(1, 3))
        for product in basket:
            at += self._random.randint(5, 90) * SECOND
            yield self._track("Product Viewed", customer, at, context, _product(product))
        if self._random.random() > 0.35 + customer.loyalty:
            return
        at += 20 * SECOND
        yield self._event("identify", customer, at, context, known=True, traits=self._traits(customer))
        at += 30 * SECOND
        yield self._track("Product Added", customer, at, context, _product(basket[0]), known=True)
        if self._random.random() < 0.4 + customer.loyalty / 2:
            yield self._order(customer, at + 2 * MINUTE, context, basket, "web")

    def _counter(self, customer: Customer, at: int) -> Iterator[Event]:
        """A purchase at the counter: no account, only a phone number as the cashier writes it."""
        basket = self._random.sample(PRODUCTS, self._random.randint(1, 2))
        context = {"traits": {"phone": self._written(customer.phone), "name": _plain(customer.name)}, "channel": "pos"}
        event = self._order(customer, at, context, basket, "pos")
        event["anonymousId"] = self._uuid()
        del event["userId"]
        yield event

    def _abandoned(self, customer: Customer) -> Iterator[Event]:
        """A basket filled within the last hour and left."""
        context = self._context(customer)
        at = self._now - self._random.randint(5, 55) * MINUTE
        product = self._random.choice(PRODUCTS)
        yield self._track("Product Viewed", customer, at, context, _product(product), known=True)
        yield self._track("Product Added", customer, at + MINUTE, context, _product(product), known=True)

    def _order(self, customer: Customer, at: int, context: Event, basket: list[Any], channel: str) -> Event:
        products = [_product(product) | {"quantity": self._random.randint(1, 2)} for product in basket]
        total = sum(product["price"] * product["quantity"] for product in products)
        properties = {"order_id": f"DH{self._count:06d}", "total": total, "currency": "VND", "channel": channel}
        return self._track("Order Completed", customer, at, context, properties | {"products": products}, known=True)

    def _track(
        self, name: str, customer: Customer, at: int, context: Event, properties: Event, *, known: bool = False
    ) -> Event:
        return self._event("track", customer, at, context, known=known, event=name, properties=properties)

    def _event(
        self, kind: str, customer: Customer, at: int, context: Event, *, known: bool = False, **fields: Any
    ) -> Event:
        self._count += 1
        event = {
            "type": kind,
            "messageId": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self._seed}/{self._count}")),
            "anonymousId": customer.anonymous_id,
            "timestamp": to_text(min(at, self._now)),
            "context": {"library": {"name": "demo", "version": "1"}} | context,
        }
        if known:
            event["userId"] = customer.user_id
        return event | fields

    def _context(self, customer: Customer) -> Event:
        context: Event = {"locale": "vi-VN", "timezone": "Asia/Ho_Chi_Minh", "page": {"url": "https://shop.vn/"}}
        if self._random.random() < 0.3:
            context["campaign"] = self._random.choice(CAMPAIGNS)
        return context

    def _traits(self, customer: Customer) -> Event:
        return {
            "name": customer.name,
            "email": customer.email,
            "phone": self._written(customer.phone),
            "address": {"city": customer.province, "country": "VN"},
        }

    def _customer(self, number: int) -> Customer:
        choose = self._random.choice
        gender = choose("fm")
        family, given = choose(SURNAMES), choose(GIVEN[gender])
        return Customer(
            user_id=f"kh-{number:05d}",
            anonymous_id=self._uuid(),
            name=f"{family} {choose(MIDDLES[gender])} {given}",
            email=f"{_plain(given)}.{_plain(family)}{number}@gmail.com".lower(),
            phone=choose(PREFIXES) + f"{self._random.randrange(10**7):07d}",
            province=choose(PROVINCES),
            loyalty=self._random.betavariate(1.2, 3),
            lapsed=self._random.random() < 0.12,
        )

    def _written(self, phone: str) -> str:
        """The same number, as people write it."""
        spaced = f"0{phone[:3]} {phone[3:6]} {phone[6:]}"
        return self._random.choice((f"0{phone}", f"+84{phone}", f"84{phone}", spaced, spaced.replace(" ", ".")))

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))


def _product(product: tuple[str, str, int]) -> Event:
    sku, name, price = product
    return {"product_id": sku, "name": name, "price": price, "currency": "VND"}


def _plain(text: str) -> str:
    """The text without diacritics, as a cashier types it."""
    decomposed = unicodedata.normalize("NFD", text.replace("Đ", "D").replace("đ", "d"))
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))

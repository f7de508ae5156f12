"""Rows → events. Pure: the same content under the same mapping always gives the same event with the same messageId.

    customers   an `identify` a row
    orders      an `Order Completed` an order, its lines wherever they stand; cancelled and refunded ones are called so
    events      a `track` a row

What cannot be read is kept as it was written, and the event is set aside with the row and the column as its path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import tzinfo
from hashlib import blake2b
from typing import Any, NamedTuple

from cdp import clock
from cdp.forms import emails
from cdp.records import encode
from ingest.imports import contacts
from ingest.imports.cells import amount, day, moment, plain, text, zone_of
from ingest.imports.fields import FIELDS, FREE, IDENTIFYING, SKIP, Type, plain_words
from ingest.imports.mapping import Mapping
from ingest.imports.tables import Row, Trouble

PREFIX = "imp-"
COMPLETED, UPDATED, CANCELLED, REFUNDED = "Order Completed", "Order Updated", "Order Cancelled", "Order Refunded"
# How a status begins, folded, that is no sale.
ENDINGS = {
    CANCELLED: ("da huy", "huy", "cancel", "void", "that bai", "failed", "khong thanh cong"),
    REFUNDED: ("hoan tien", "da hoan", "hoan tra", "tra hang", "da tra", "refund", "return", "chargeback"),
}
GENDERS = {
    **dict.fromkeys(("m", "male", "man", "nam", "ông", "mr", "anh", "trai"), "male"),
    **dict.fromkeys(("f", "female", "woman", "nữ", "nu", "nữ giới", "bà", "mrs", "ms", "chị", "gái"), "female"),
}
PLACES = {
    "address": "street",
    "ward": "ward",
    "district": "district",
    "province": "state",
    "postal_code": "postalCode",
    "country": "country",
}
TRAITS = {
    "name": "name",
    "first_name": "firstName",
    "last_name": "lastName",
    "email": "email",
    "phone": "phone",
    "birthday": "birthday",
    "gender": "gender",
    "company": "company",
    "tags": "tags",
    "note": "note",
}
EXTERNAL = ("crm_id", "loyalty_card", "zalo_id")
OWN = {"user_id": "userId", "anonymous_id": "anonymousId"}
NOT_PRINTED = re.compile(r"[\s-]")
ORDERLY = (
    *("order_id", "total", "revenue", "subtotal", "shipping", "tax", "discount"),
    *("currency", "coupon", "status", "payment_method", "note"),
)
PRODUCT = ("product_id", "sku", "product_name", "category", "price", "quantity", "line_total")
MOST_PRODUCTS = 500

# Identifiers, normalised: type and value, the strongest first.
Whose = tuple[tuple[str, str], ...]


class Made(NamedTuple):
    """An event that a row became. `updated_id` is the messageId that it has where an earlier file had other content.

    `identifiers` are normalised, the strongest first. `digest` is the content's, where the messageId does not tell it.
    `raw` is what stood in a row that cannot be read.
    """

    row: int
    message_id: str
    body: dict[str, Any]
    trouble: Trouble | None = None
    updated_id: str = ""
    digest: str = ""
    identifiers: Whose = ()
    raw: bytes = b""


class Cells(NamedTuple):
    """A row's cells, read: by field, and what was kept under names of its own."""

    row: int
    fields: dict[str, Any]
    free: dict[str, Any]
    trouble: Trouble | None


class Reader:
    """Reads rows under a mapping."""

    def __init__(self, mapping: Mapping, columns: Sequence[str], *, source: str, region: str) -> None:
        """`columns`: the file's, in their order. Raises `InvalidError` for a zone that there is not."""
        assert mapping.kind
        self.mapping = mapping
        self.kind = mapping.kind
        self._source = source
        self._region = region
        self._zone: tzinfo = zone_of(mapping.timezone)
        self.restored = 0
        self._named = list(columns)
        self._read = [(place, *self._reading(name)) for place, name in enumerate(columns) if self._wanted(name)]

    def cells(self, row: Row) -> Cells:
        """A row's cells, as their columns say. What is wrong with one comes as trouble; the first counts."""
        fields: dict[str, Any] = {}
        free: dict[str, Any] = {}
        trouble = row.trouble
        for place, field, room, read, needed in self._read:
            cell = row.cells[place] if place < len(row.cells) else None
            if cell is None or cell == "" or not (written := text(cell)):
                continue
            value = written if read is None else read(cell)
            if value is None:
                value = written
                if needed and trouble is None:
                    trouble = Trouble(*needed, self._named[place])
            if room:
                free[field] = value
            else:
                fields.setdefault(field, value)
        return Cells(row.number, fields, free, trouble)

    def made(self, cells: Cells) -> Made:
        """The event of a row of customers or events."""
        whose = identifiers(cells.fields, self._region)
        made = self._identify(cells, whose) if self.kind == "customers" else self._track(cells, whose)
        return self._judged(made, whose)

    def order(self, lines: Sequence[Cells]) -> Made:
        """The event of an order, from all of its lines in their order."""
        first = lines[0]
        fields: dict[str, Any] = {}
        free: dict[str, Any] = {}
        for line in lines:
            for name, value in line.fields.items():
                fields.setdefault(name, value)
            for name, value in line.free.items():
                free.setdefault(name, value)
        properties = {name: fields[name] for name in ORDERLY if name in fields}
        properties |= _totals(lines, fields)
        properties["currency"] = str(fields.get("currency") or self.mapping.currency).upper()
        if place := _place(fields):
            properties["shipping_address"] = place
        if products := [product for line in lines[:MOST_PRODUCTS] if (product := _product(line))]:
            properties["products"] = products
        properties |= free
        event = {"type": "track", "event": _event_of(fields), "properties": properties}
        whose = identifiers(fields, self._region)
        event |= _when(fields) | _whose(fields, whose)
        trouble = next((line.trouble for line in lines if line.trouble), None)
        made = self._named_order(first.row, event, fields, trouble)
        return self._judged(made, whose)

    def unreadable(self, row: Row) -> Made:
        """A row of which nothing can be read: kept as it is."""
        return Made(row.number, self._id(row.raw.decode(errors="replace")), {}, row.trouble, raw=row.raw)

    def _identify(self, cells: Cells, whose: Whose) -> Made:
        fields = cells.fields
        traits = {trait: fields[name] for name, trait in TRAITS.items() if name in fields}
        if "name" not in traits and "lastName" in traits and "firstName" in traits:
            parts = (traits["lastName"], traits["firstName"])
            traits["name"] = " ".join(parts if self._region == "VN" else reversed(parts))
        if place := _place(fields):
            traits["address"] = place
        if "created_at" in fields:
            traits["createdAt"] = _time_text(fields["created_at"])
        event = {"type": "identify", "traits": traits | cells.free} | _ids(fields, whose)
        if "updated_at" in fields:
            event["timestamp"] = _time_text(fields["updated_at"])
        return Made(cells.row, self._id(event), event, trouble=cells.trouble)

    def _track(self, cells: Cells, whose: Whose) -> Made:
        fields = dict(cells.fields)
        nested = fields.pop("properties", None)
        properties = (nested if isinstance(nested, dict) else {}) | cells.free
        event = {"type": "track", "event": fields.get("event") or self.mapping.event, "properties": properties}
        event |= _when(fields) | _whose(fields, whose)
        own = fields.get("message_id")
        return Made(cells.row, self._id(own or event), event, trouble=cells.trouble)

    def _named_order(self, row: int, event: dict[str, Any], fields: dict[str, Any], trouble: Trouble | None) -> Made:
        """An order is known by its number: with other content it is the same order, updated."""
        if "order_id" not in fields:
            return Made(row, self._id(event), event, trouble=trouble)
        digest = self._id(event)
        order = [fields["order_id"], event["event"]]
        event["context"] = {**event.get("context", {}), "import": {"digest": digest}}
        return Made(row, self._id(order), event, trouble, self._id([*order, digest]), digest)

    def _judged(self, made: Made, whose: Whose) -> Made:
        made.body["messageId"] = made.message_id
        if not whose and made.trouble is None:
            made = made._replace(trouble=Trouble("missing_identity", "Nothing in the row says whose it is."))
        return made._replace(identifiers=whose)

    def _id(self, content: Any) -> str:
        digest = blake2b(encode([self._source, self.kind, content]), digest_size=16)
        return PREFIX + digest.hexdigest()

    def _telephone(self, cell: Any) -> str:
        written = text(cell)
        number = contacts.restored(written, self._region)
        self.restored += number != written
        return number

    def _wanted(self, name: str) -> bool:
        column = self.mapping.columns.get(name)
        return column is not None and column.field != SKIP

    def _reading(self, name: str) -> tuple[str, str, Callable[[Any], Any] | None, tuple[str, str] | None]:
        """Of a column: field, the room of free ones, how cells are read (None: as text), and the fault of those that
        cannot be."""
        column = self.mapping.columns[name]
        order, decimal, zone = column.order, column.decimal, self._zone
        known = FIELDS[self.kind].get(column.field)
        type_: Type = column.type or (known.type if known else "any")
        readers: dict[Type, Callable[[Any], Any]] = {
            "any": plain,
            "telephone": self._telephone,
            "number": lambda cell: amount(cell, decimal),
            "day": lambda cell: day(cell, order),
            "time": lambda cell: moment(cell, order, zone),
            "gender": lambda cell: GENDERS.get(text(cell).lower()),
        }
        free = FREE.fullmatch(column.field) is not None
        room, _, own = column.field.partition(".") if free else ("", "", column.field)
        read = readers.get(type_)
        if free and type_ == "time":
            return own, room, lambda cell: _time_text(moment(cell, order, zone) or text(cell)), None
        return own, room, read, NEEDED.get((self.kind, column.field))


# Without these an event would say something wrong: it is set aside.
NEEDED: dict[tuple[str, str], tuple[str, str]] = {
    ("orders", "at"): ("invalid_time", "This is no date that can be read."),
    ("events", "at"): ("invalid_time", "This is no date that can be read."),
    **{
        ("orders", field): ("invalid_amount", "This is no amount that can be read.")
        for field in ("total", "revenue", "line_total")
    },
}


def identifiers(fields: dict[str, Any], region: str) -> Whose:
    """The identifiers in a row, in the form under which people are known, the strongest first."""
    found = []
    for name in IDENTIFYING:
        if not (written := str(fields.get(name) or "")):
            continue
        value: str | None = written
        if name == "email":
            value = emails.canonical(written)
        elif name == "phone":
            value = contacts.telephone(written, region)
        elif name == "loyalty_card":
            value = NOT_PRINTED.sub("", written).upper()
        if value:
            found.append((name, value))
    return tuple(found)


def _when(fields: dict[str, Any]) -> dict[str, Any]:
    return {"timestamp": _time_text(fields["at"])} if "at" in fields else {}


def _whose(fields: dict[str, Any], whose: Whose) -> dict[str, Any]:
    """Whose a track event is: ids, and in its context what else tells."""
    found = _ids(fields, whose)
    if traits := {TRAITS[name]: fields[name] for name in ("email", "phone", "name") if name in fields}:
        found["context"] = {**found.get("context", {}), "traits": traits}
    return found


def _ids(fields: dict[str, Any], whose: Whose) -> dict[str, Any]:
    """The ids of an event. One without an account is known by its other identifiers, the strongest first."""
    found = {name: fields[field] for field, name in OWN.items() if field in fields}
    listed = [(kind, value) for kind, value in whose if kind in EXTERNAL or (not found and kind not in OWN)]
    external = [{"type": kind, "id": value} for kind, value in listed]
    return found | ({"context": {"externalIds": external}} if external else {})


def _time_text(value: Any) -> str:
    return clock.to_text(value) if isinstance(value, int) else str(value)


def _place(fields: dict[str, Any]) -> dict[str, Any]:
    return {part: fields[name] for name, part in PLACES.items() if name in fields}


def _event_of(fields: dict[str, Any]) -> str:
    status = " ".join(plain_words(str(fields.get("status", ""))))
    return next((event for event, starts in ENDINGS.items() if status.startswith(starts)), COMPLETED)


def _product(line: Cells) -> dict[str, Any]:
    found = {name: line.fields[name] for name in PRODUCT if name in line.fields}
    if "product_name" in found:
        found = {"name": found.pop("product_name")} | found
    found.pop("line_total", None)
    return found if found.keys() & {"name", "product_id", "sku"} else {}


def _totals(lines: Iterable[Cells], fields: dict[str, Any]) -> dict[str, Any]:
    """The order's total: as named, once or on each line; else what its lines cost together."""
    named = [line.fields["total"] for line in lines if "total" in line.fields]
    numbers = [value for value in named if not isinstance(value, str)]
    if len(set(map(str, named))) <= 1 and named:
        return {"total": named[0]}
    if named:
        return {"total": _sum(numbers)}
    costs = [_cost(line.fields) for line in lines]
    known = [cost for cost in costs if cost is not None]
    return {"total": _sum(known)} if known and len(known) == len(costs) else {}


def _cost(fields: dict[str, Any]) -> int | float | None:
    if isinstance(cost := fields.get("line_total"), int | float):
        return cost
    price, quantity = fields.get("price"), fields.get("quantity", 1)
    if isinstance(price, int | float) and isinstance(quantity, int | float):
        return price * quantity
    return None


def _sum(values: Iterable[int | float]) -> int | float:
    total = sum(values)
    return int(total) if total == int(total) else round(total, 4)

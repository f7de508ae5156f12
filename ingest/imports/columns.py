"""What each column means: guessed from its name, confirmed or corrected by its values. Every guess says why.

The first rows are looked at whole. Where they leave open whether 01/02/2024 is in January or in February, or whether
1.850 is one or a thousand, the column is read on until a value tells, or to the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from cdp.forms.emails import is_address
from ingest.imports.cells import Decimals, Order, amount, currency_of, decimal_of, order_of, text, written_time
from ingest.imports.contacts import restored, telephone
from ingest.imports.fields import (
    EMPTY_NAMES,
    FIELDS,
    FREE,
    IDENTIFYING,
    KINDS,
    SHORT,
    SKIP,
    Kind,
    Type,
    fold,
    names_of,
    slug,
)
from ingest.imports.mapping import Column, Mapping
from ingest.imports.tables import Row, Table

SAMPLE = 5_000
# Of so many filled cells it is looked at whether they are telephone numbers, addresses, dates, amounts.
TESTED = 300
SURE, LIKELY, WEAK, UNKNOWN = 0.95, 0.8, 0.5, 0.3
MOST, FEW = 0.6, 0.2
# Longer numbers are codes, not amounts.
LONGEST_AMOUNT = 11

WORDS = {
    "telephone": "telephone numbers",
    "email": "e-mail addresses",
    "time": "dates",
    "day": "dates",
    "number": "amounts",
}


class Guess(NamedTuple):
    """What a column is taken for. `confidence` is from 0 to 1, `reason` in words."""

    field: str
    confidence: float
    reason: str


class Profile:
    """What was seen in a column."""

    def __init__(self, name: str, region: str) -> None:
        self.name = name
        self._region = region
        self.filled = 0
        self.looks = Counter[str]()
        self.orders = Counter[str]()
        self.decimals = Counter[str]()
        self.currencies = Counter[str]()
        self.grouped = 0
        self._tested = 0

    def see(self, cell: Any) -> None:
        """Look at a cell."""
        written = text(cell)
        if not written:
            return
        self.filled += 1
        self.tell(cell)
        if self._tested < TESTED:
            self._tested += 1
            self._test(cell, written)

    def tell(self, cell: Any) -> None:
        """Look only at what tells the order of dates, or the sign before fractions."""
        if not isinstance(cell, str) or not any(map(str.isdigit, cell)):
            return
        if order := order_of(cell):
            self.orders[order] += 1
        elif (sign := decimal_of(cell)) is not None:
            self.decimals[sign] += 1
        elif amount(cell) is not None and not cell.strip().isdigit():
            self.grouped += 1

    def share(self, look: str) -> float:
        """Which part of the cells looks like that."""
        return self.looks[look] / self._tested if self._tested else 0.0

    @property
    def order(self) -> Order:
        """The order of day and month; without evidence the day comes first."""
        if not self.orders:
            return ""
        return "mdy" if self.orders["mdy"] > self.orders["dmy"] else "dmy"

    @property
    def decimal(self) -> Decimals:
        """The sign before fractions; "" when thousands are grouped and nothing tells."""
        points, commas = self.decimals["."], self.decimals[","]
        return "" if points == commas else "." if points > commas else ","

    @property
    def undecided(self) -> bool:
        """Whether the values seen allow two readings."""
        dates = self.orders["either"] and not self.orders["dmy"] and not self.orders["mdy"]
        return bool(dates or (self.grouped and not self.decimals))

    def _test(self, cell: Any, written: str) -> None:
        looks = self.looks
        if "@" in written:
            looks["email"] += is_address(written)
            return
        if isinstance(cell, dict | list):
            return
        date = written_time(cell, "dmy") or written_time(cell, "mdy")
        looks["time"] += date is not None
        if amount(cell) is not None:
            code = written.isdigit() and (len(written) > LONGEST_AMOUNT or (written[0] == "0" and len(written) > 1))
            looks["number"] += not code
            if currency := currency_of(cell):
                self.currencies[currency] += 1
                return
        looks["telephone"] += date is None and telephone(restored(written, self._region), self._region) is not None


class Reading(NamedTuple):
    """How a file will be read: the whole mapping, and of each column the guess and what was seen.

    `absent` are columns that people told of and that the file does not have.
    """

    mapping: Mapping
    guesses: dict[str, Guess]
    profiles: dict[str, Profile]
    absent: tuple[str, ...] = ()


def read_columns(table: Table, told: Mapping, *, region: str, currency: str, zone: str) -> Reading:
    """Complete what people told of a file by what it says itself. What they told is never changed."""
    rows = table.rows()
    profiles = {name: Profile(name, region) for name in table.columns}
    _look(islice(rows, SAMPLE), profiles)
    kind = told.kind or kind_of(profiles)
    guesses = guessed(profiles, kind, told)
    _look_on(rows, table.columns, [profiles[name] for name in _open(profiles, guesses, kind, told)])
    columns = {name: _column(guess, profiles[name], kind, told) for name, guess in guesses.items()}
    found = told.model_copy(
        update={
            "kind": kind,
            "columns": columns,
            "currency": told.currency or _currency(columns, profiles) or currency,
            "timezone": told.timezone or zone,
            **table.layout,
        }
    )
    return Reading(found, guesses, profiles, tuple(name for name in told.columns if name not in profiles))


def _look(rows: Iterable[Row], profiles: dict[str, Profile]) -> None:
    seen = list(profiles.values())
    for row in rows:
        for profile, cell in zip(seen, row.cells, strict=False):
            profile.see(cell)


def _look_on(rows: Iterator[Row], columns: list[str], waiting: list[Profile]) -> None:
    places = {profile: columns.index(profile.name) for profile in waiting}
    for row in rows:
        if not places:
            return
        for profile, place in list(places.items()):
            if place < len(row.cells):
                profile.tell(row.cells[place])
                if not profile.undecided:
                    del places[profile]


def _open(profiles: dict[str, Profile], guesses: dict[str, Guess], kind: Kind, told: Mapping) -> Iterator[str]:
    """The columns whose dates or amounts can still be read in two ways."""
    for name, guess in guesses.items():
        given = told.columns.get(name)
        settled = given is not None and (given.order or given.decimal)
        if (
            not settled
            and profiles[name].undecided
            and type_of(guess.field, kind, profiles[name]) in ("time", "day", "number")
        ):
            yield name


def kind_of(profiles: dict[str, Profile]) -> Kind:
    """What the rows are, by the names of the columns: customers, unless something else is plain."""
    named = {kind: {by_name(name, kind)[0] for name in profiles} - {""} for kind in KINDS}
    orders = named["orders"] & {"order_id", "total", "line_total", "product_name", "quantity", "price", "status", "sku"}
    if "event" in named["events"] and "order_id" not in orders:
        return "events"
    return "orders" if len(orders) >= 2 else "customers"


def guessed(profiles: dict[str, Profile], kind: Kind, told: Mapping) -> dict[str, Guess]:
    """A guess for each column; a field that several columns could be goes to the one most likely."""
    guesses = {name: _guess(profile, kind, told) for name, profile in profiles.items()}
    if kind == "customers":
        _split_name(guesses)
    taken: set[str] = set()
    for name in sorted(guesses, key=lambda each: -guesses[each].confidence):
        guess = guesses[name]
        if guess.field in taken and guess.field != SKIP and not (FREE.fullmatch(guess.field) and name in told.columns):
            guesses[name] = _freed(name, kind, taken, f"another column is the {guess.field} already")
        taken.add(guesses[name].field)
    return guesses


def type_of(field: str, kind: Kind, profile: Profile) -> Type:
    """How the cells of a field are read; of one that is none of ours their looks decide."""
    if field in FIELDS[kind]:
        return FIELDS[kind][field].type
    return "number" if profile.share("number") >= SURE and profile.share("time") < MOST else "any"


def by_name(name: str, kind: Kind) -> tuple[str, float, str]:
    """A column's field by its name alone, how sure that is, and why; "" for none."""
    folded = fold(name)
    if folded in SHORT[kind]:
        return SHORT[kind][folded], LIKELY, f"{name!r} in a file of {kind}"
    spellings = SPELLINGS[kind]
    if folded in spellings:
        return spellings[folded], SURE, "its name"
    if folded.replace(" ", "") in SOLID[kind]:
        return SOLID[kind][folded.replace(" ", "")], SURE, "its name"
    if folded in EMPTY_NAMES:
        return SKIP, SURE, "it only counts the rows"
    words = f" {folded} "
    inside = [spelling for spelling in spellings if len(spelling) > 4 and f" {spelling} " in words]
    if inside:
        longest = max(inside, key=len)
        return spellings[longest], LIKELY - 0.1 * (len(longest) * 2 < len(folded)), f"its name holds {longest!r}"
    return "", 0.0, ""


def _spellings(kind: Kind) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, field in names_of(kind):
        found.setdefault(fold(name), field)
    return found


SPELLINGS = {kind: _spellings(kind) for kind in KINDS}
SOLID = {kind: {name.replace(" ", ""): field for name, field in found.items()} for kind, found in SPELLINGS.items()}


def _guess(profile: Profile, kind: Kind, told: Mapping) -> Guess:
    if (given := told.columns.get(profile.name)) is not None:
        return Guess(given.field, 1.0, "the mapping says so")
    field, confidence, reason = by_name(profile.name, kind)
    if not field:
        return _by_values(profile, kind)
    type_ = FIELDS[kind][field].type if field in FIELDS[kind] else "any"
    look = {"day": "time"}.get(type_, type_)
    if look not in ("telephone", "email", "time", "number") or not profile.filled:
        return Guess(field, confidence, f"{reason}{'' if profile.filled else '; it is empty'}")
    share = profile.share(look)
    if share >= MOST:
        return Guess(field, min(0.99, confidence + 0.04), f"{reason}, and {share:.0%} of its values are {WORDS[type_]}")
    if share >= FEW:
        return Guess(field, confidence - 0.2, f"{reason}, though only {share:.0%} of its values are {WORDS[type_]}")
    other = _by_values(profile, kind)
    if other.confidence >= WEAK and other.field != field:
        return other._replace(reason=f"{other.reason}, whatever its name")
    return Guess(field, UNKNOWN, f"{reason}, but its values are no {WORDS[type_]}")


def _by_values(profile: Profile, kind: Kind) -> Guess:
    if profile.share("email") >= MOST:
        return Guess("email", LIKELY, f"{profile.share('email'):.0%} of its values are e-mail addresses")
    if profile.share("telephone") >= MOST:
        return Guess("phone", LIKELY, f"{profile.share('telephone'):.0%} of its values are telephone numbers")
    if kind != "customers" and profile.share("time") >= SURE:
        return Guess("at", WEAK, f"{profile.share('time'):.0%} of its values are dates")
    if not profile.filled:
        return Guess(SKIP, WEAK, "it is empty")
    return _freed(profile.name, kind, set(), "its name is unknown: kept as it is")


def _freed(name: str, kind: Kind, taken: set[str], reason: str) -> Guess:
    """Nothing gets lost: what is no field of ours is kept under its own name."""
    room = "traits" if kind == "customers" else "properties"
    field = f"{room}.{slug(name)}"
    number = 1
    while field in taken:
        number += 1
        field = f"{room}.{slug(name)}_{number}"
    return Guess(field, UNKNOWN, reason)


def _split_name(guesses: dict[str, Guess]) -> None:
    """`Họ` beside `Tên`: the second is then the given name."""
    fields = {guess.field: name for name, guess in guesses.items()}
    if "last_name" in fields and "first_name" not in fields and fold(fields.get("name", "")) == "ten":
        guesses[fields["name"]] = Guess("first_name", LIKELY, "it stands beside the family name")


def _column(guess: Guess, profile: Profile, kind: Kind, told: Mapping) -> Column:
    given = told.columns.get(profile.name, Column(field=guess.field))
    type_ = given.type or type_of(given.field, kind, profile)
    order = (
        (given.order or profile.order or ("dmy" if profile.share("time") else "")) if type_ in ("time", "day") else ""
    )
    decimal = (given.decimal or profile.decimal) if type_ == "number" else ""
    known = given.field in FIELDS[kind] or given.field == SKIP
    return Column(field=given.field, type=given.type if known else type_, order=order, decimal=decimal)


def _currency(columns: dict[str, Column], profiles: dict[str, Profile]) -> str:
    """The currency that most of the totals name."""
    found = Counter[str]()
    for name, column in columns.items():
        if column.field in ("total", "line_total", "price", "revenue"):
            found += profiles[name].currencies
    return found.most_common(1)[0][0] if found else ""


def problems(mapping: Mapping) -> list[str]:
    """What keeps the file from being imported, in words."""
    assert mapping.kind
    fields = {column.field for column in mapping.columns.values()}
    found = []
    if not fields & set(IDENTIFYING):
        found.append(f"No column says whose a row is: map one to {', '.join(IDENTIFYING)}.")
    if mapping.kind == "events" and "event" not in fields and not mapping.event:
        found.append(
            "No column names the events: map one to event, or give all of them one name (`event` in the mapping)."
        )
    return found

"""What the columns of a table are: by their names, in English and Vietnamese, else by what is in them. Pure.

Columns that name the row itself, or say who is who already, are no evidence and are left out: a row's own number may
give away what is to be found out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cdp.errors import InvalidError
from cdp.forms import dates, emails
from cdp.forms.letters import fold
from identity.matching.readings import Reader, reader_of
from identity.matching.records import Values
from identity.matching.schema import ROLES, Field, Schema

IGNORED = "ignore"
# What columns are called, folded, words parted by spaces; the longest that a name holds decides.
NAMES = {
    "given": "given name|givenname|first name|firstname|forename|fname|given|first|ten|ten goi|vorname|prenom",
    "family": "surname|last name|lastname|family name|familyname|lname|family|last|ho|nachname|nom de famille",
    "middle": """middle name|middlename|middle initial|middle|mname|initial|fname c2|lname c2|ten dem|ten lot|chu lot
        |ho dem""",
    "name": """name|full name|fullname|customer name|client name|contact name|person name|patient name|voter name
        |first and surname|ho ten|hoten|ho va ten|ten khach|ten khach hang|khach hang|ten day du""",
    "birth": """date of birth|dateofbirth|dob|birth date|birthdate|birthday|birth|ngay sinh|ngaysinh|sinh nhat
        |geburtsdatum""",
    "year": "by|birth year|birthyear|year of birth|yob|nam sinh",
    "month": "bm|birth month|birthmonth|month of birth|thang sinh",
    "day": "bd|birth day|day of birth",
    "house": "street number|house number|house no|streetnumber|housenumber|building number|so nha",
    "street": """address|address 1|address 2|address line|street|street name|street address|addr|dia chi|diachi|duong
        |strasse""",
    "town": """suburb|city|town|district|locality|municipality|village|ward|county|quan|huyen|quan huyen|phuong|xa
        |phuong xa|thanh pho|ort""",
    "postcode": "postcode|post code|postal code|postalcode|zip|zip code|zipcode|plz|ma buu dien|ma buu chinh",
    "region": "state|province|region|country|tinh|tinh thanh|tinh tp|quoc gia",
    "origin": "birth place|birthplace|place of birth|noi sinh|que quan|nguyen quan",
    "email": "email|e mail|mail|email address|thu dien tu",
    "phone": """phone|phone number|phonenumber|telephone|tel|mobile|cell|sdt|so dt|dt|dien thoai|so dien thoai|di dong
        |zalo""",
    "document": """soc sec id|ssn|social security|national id|passport|id card|identity card|tax id|cccd|cmnd|cmt
        |can cuoc|ho chieu|so cccd|so cmnd|ma so thue|mst|nhs number|medicare|driver license|driving licence|bhxh""",
    "account": """user id|userid|user|username|customer id|customer number|crm id|crm|account|account id|member id
        |ma khach hang|ma kh|makh|tai khoan""",
    "card": "loyalty card|loyalty|card|card number|member card|the thanh vien|so the|ma the",
    "device": "device id|device|anonymous id|cookie|idfa|gaid",
    "sex": "sex|gender|gioi tinh|phai|geschlecht",
    "descent": "race|ethnicity|race ethnicity|ethnic group|religion|dan toc|ton giao",
    "category": "occupation|job|job title|profession|marital status|nghe nghiep|nghe|hon nhan",
    IGNORED: """id|rec id|record id|recid|row id|row|unique id|uniqueid|index|stt|uuid|guid|key|cluster|cluster id
        |entity|entity id|label|truth|ground truth|match id|group id|person id|age|tuoi|created at|updated at|ngay tao
        |timestamp|source|note|ghi chu|simulant id|household id""",
}
# Words that mean it only when they are the whole name: `last visit` is no family name.
ALONE = frozenset(
    [
        "given",
        "first",
        "last",
        "ten",
        "ho",
        "by",
        "bm",
        "bd",
        "id",
        "key",
        "row",
        "name",
        "user",
        "phai",
        "nghe",
        "card",
        "cell",
        "initial",
        "state",
        "dt",
        "xa",
        "source",
        "note",
        "label",
        "birth",
        "family",
        "middle",
        "username",
        "customer",
        "number",
        "index",
        "age",
    ]
)
# A person has one of these in a record; a second column of the kind says less.
ONCE = {"given": "middle", "family": "middle", "name": IGNORED, "birth": IGNORED, "sex": IGNORED}
PARTS_OF_BIRTH = ("year", "month", "day")

MOST = 0.8  # the share of cells that must look like something
FEW = 50  # distinct values up to which a column may be a category
REPEATED = 0.05  # ... and their share of the cells
UNIQUE = 0.999  # the share of distinct cells of a column that names rows
LONG = 2.0  # words on average from which a column is free text
YOUNGEST = 2015  # a column of dates whose median year is later is no column of births

SPLIT = re.compile(r"[^\W\d_]+|\d+")
CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
PHONE = re.compile(r"[+(]?[+()\d .\-/]{7,19}")
SLASHED = re.compile(r"\s*(\d{1,2})[-/. ](\d{1,2})[-/. ]\d{2,4}\b.*")


@dataclass(frozen=True)
class Column:
    """One field of the table: the cells that it is made of, its role, and how they are read."""

    field: Field
    places: tuple[int, ...]
    read: Reader


@dataclass(frozen=True)
class Layout:
    """What a table's columns are. `ignored`: the names of those that are no evidence, each with the reason."""

    columns: tuple[Column, ...]
    ignored: Mapping[str, str]

    @property
    def schema(self) -> Schema:
        """The fields of its records."""
        return Schema(tuple(column.field for column in self.columns))

    def values(self, row: Sequence[str]) -> Values:
        """A row's cells → the values of its record; a row may be too short."""
        return tuple(
            column.read("-".join(row[place] for place in column.places if place < len(row))) for column in self.columns
        )


def infer(
    header: Sequence[str],
    sample: Sequence[Sequence[str]],
    *,
    given: Mapping[str, str] | None = None,
    region: str = "VN",
) -> Layout:
    """The layout of a table, from its header and some of its rows.

    `given` names the roles of columns that need not be guessed, `ignore` for none; `region` (ISO 3166) tells how dates
    and telephone numbers are written where the cells do not. Raises `InvalidError` when a column or a role is unknown,
    or nothing is left to compare.
    """
    given = given or {}
    _check(given, header)
    cells = [[row[place] for row in sample if place < len(row) and row[place].strip()] for place in range(len(header))]
    roles = [given.get(name) or _role(name, cells[place]) for place, name in enumerate(header)]
    columns: list[Column] = []
    ignored: dict[str, str] = {}
    seen: set[str] = set()
    named = "given" in roles or "family" in roles
    for place, name in enumerate(header):
        role = roles[place]
        if role in seen or (role == "name" and named and name not in given):
            role = ONCE.get(role, role)
        seen.add(role)
        if role in ROLES:
            reader = reader_of(role, _region(cells[place], region) if role == "birth" else region)
            columns.append(Column(Field(name, role), (place,), reader))
        elif role not in PARTS_OF_BIRTH:
            ignored[name] = _why_ignored(role != roles[place], cells[place])
    if "year" in roles and "birth" not in seen:
        places = tuple(roles.index(part) for part in PARTS_OF_BIRTH if part in roles)
        columns.append(Column(Field("birth", "birth"), places, reader_of("birth", region)))
    if not columns:
        raise InvalidError("No column says anything of people; say what they are, as in --column NAME=given.")
    return Layout(tuple(columns), ignored)


def _why_ignored(again: bool, cells: Sequence[str]) -> str:
    if not cells:
        return "is empty"
    return "says what another column says" if again else "says who or which row it is, or changes with time"


def _check(given: Mapping[str, str], header: Sequence[str]) -> None:
    known = (*ROLES, *PARTS_OF_BIRTH, IGNORED)
    for name, role in given.items():
        if name not in header:
            raise InvalidError(f"There is no column {name!r}; there are {', '.join(header)}.", path=name)
        if role not in known:
            raise InvalidError(f"There is no role {role!r}; choose among {', '.join(known)}.", path=name)


def _role(name: str, cells: Sequence[str]) -> str:
    """What a column is, by its name, else by its cells."""
    if not cells:
        return IGNORED
    return _role_by_name(_words(name)) or _role_by_cells(cells)


def _words(name: str) -> tuple[str, ...]:
    return tuple(SPLIT.findall(fold(CAMEL.sub(" ", name))))


ROLE_OF = {_words(name): role for role, listed in NAMES.items() for name in listed.split("|")}


def _role_by_name(words: tuple[str, ...]) -> str:
    """The role of the longest known name that is a part of this one; empty when there is none."""
    for length in range(len(words), 0, -1):
        for start in range(len(words) - length + 1):
            part = words[start : start + length]
            if part in ROLE_OF and (part == words or not ALONE.issuperset(part)):
                return ROLE_OF[part]
    return ""


def _role_by_cells(cells: Sequence[str]) -> str:
    """What values are, by how they look and how often they are repeated."""
    distinct = len(set(cells))
    if _share(cells, emails.ADDRESS.fullmatch) >= MOST:
        return "email"
    if _share(cells, lambda cell: not cell.isdigit() and dates.canonical(cell)) >= MOST:
        return "birth" if _median_year(cells) <= YOUNGEST else IGNORED
    if distinct <= FEW and distinct <= max(REPEATED * len(cells), 2):
        return "category"
    wordy = sum(len(cell.split()) for cell in cells) / len(cells)
    letters = _share(cells, lambda cell: any(sign.isalpha() for sign in cell))
    if letters < 1 - MOST:
        if _share(cells, lambda cell: PHONE.fullmatch(cell) and cell[0] in "+(0") >= MOST:
            return "phone"
        return IGNORED if distinct >= UNIQUE * len(cells) else "number"
    if distinct >= UNIQUE * len(cells) and wordy < LONG:
        return IGNORED
    return "text"


def _share(cells: Sequence[str], holds: Callable[[str], object]) -> float:
    return sum(bool(holds(cell)) for cell in cells) / len(cells)


def _median_year(cells: Sequence[str]) -> int:
    years = sorted(found.year for cell in cells if (found := dates.read(cell)) and found.year)
    return years[len(years) // 2] if years else YOUNGEST


def _region(cells: Iterable[str], otherwise: str) -> str:
    """A region that writes dates in the order of these: where a number above 12 stands, the day is."""
    day_first = month_first = 0
    for cell in cells:
        if match := SLASHED.fullmatch(cell):
            first, second = int(match[1]), int(match[2])
            day_first += first > 12 >= second
            month_first += second > 12 >= first
    if day_first == month_first:
        return otherwise
    return "US" if month_first > day_first else "VN"

"""Dates of birth in one written form: `1990-02-01`, and what is known of it where a part is missing.

    1990-02-01    1990-02    1990    --02-01        (ISO 8601; the last, a day without its year, as in ISO 8601:2000)

Day or month first is a question of the country where both could be meant. What was read the wrong way round is seen by
comparing: `swapped` says whether two dates are the same but for that.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

from cdp.forms.letters import fold

LONGEST = 60
MEMORY = 1 << 14

# Who is older has no shop account; who is born later is a slip. Fixed, so that a text always reads the same.
OLDEST, LATEST = 1900, 2050
# Of a year in two digits: below it in this century, else in the last.
PIVOT = 30
# What systems write for no date: epochs and smallest values (Unix, SQL Server, Excel, .NET).
NO_DATE = frozenset(((1900, 1, 1), (1970, 1, 1), (1753, 1, 1), (1899, 12, 30), (1899, 12, 31), (1901, 1, 1), (1, 1, 1)))
# Regions that write the month first: CLDR 46, short date pattern M/d.
MONTH_FIRST = frozenset(("US", "PH", "PR", "GU", "AS", "MP", "VI", "UM", "MH"))
# Days since 30 December 1899, as spreadsheets count: five digits, so that a year is none.
SERIAL_EPOCH = date(1899, 12, 30)
SERIALS = range(10_000, (date(LATEST, 12, 31) - SERIAL_EPOCH).days + 1)
SERIAL = re.compile(r"(\d{5})(?:[.,]\d+)?")

ISO = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[t ].*)?")
COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)")
NUMBERS = re.compile(r"(\d{1,2})\s*[-/. ]\s*(\d{1,2})\s*[-/. ]\s*(\d{4}|\d\d)(?:[t ]+\d\d?:.*)?")
YEARLESS = re.compile(r"--(\d\d)-?(\d\d)")
DAY_MONTH = re.compile(r"(\d{1,2})\s*[-/.]\s*(\d{1,2})")
MONTH_YEAR = re.compile(r"(\d{1,2})\s*[-/.]\s*(\d{4})")
YEAR_MONTH = re.compile(r"(\d{4})[-/.](\d{1,2})")
YEAR = re.compile(r"\d{4}")
# `ngày 1 tháng 2 năm 1990`, `1 thg 2, 1990`, `tháng 2 năm 1990`, folded.
WORDED = re.compile(
    r"(?:(?:ngay\s*)?(?P<day>\d{1,2})\s*)?(?:thang|thg|th)\.?\s*(?P<month>\d{1,2}|[a-z]+(?: [a-z]+)?)"
    r"(?:\s*,?\s*(?:nam\s*)?(?P<year>\d{4}|\d\d))?"
)
NAMED = re.compile(r"(?:(?P<before>\d{1,2})\s+)?(?P<month>[a-z]{3,9})(?:\s+(?P<after>\d{1,2}))?(?:\s+(?P<year>\d{4}))?")
FRONT = re.compile(r"(?:ngay sinh|sinh nhat|sinh ngay|sinh nam|nam sinh|ns|sn|born|dob|nam)\s*:?\s*")
ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)\b")
MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january gieng mot",
            "feb february hai",
            "mar march ba",
            "apr april tu",
            "may nam",
            "jun june sau",
            "jul july bay",
            "aug august tam",
            "sep sept september chin",
            "oct october muoi",
            "nov november",
            "dec december chap",
        ),
        start=1,
    )
    for name in names.split()
} | {"muoi mot": 11, "muoi hai": 12}


class Birth(NamedTuple):
    """A date of birth; what is not known is 0. There is a year, or a month and a day, or all."""

    year: int
    month: int = 0
    day: int = 0

    @property
    def text(self) -> str:
        """The canonical form."""
        year = f"{self.year:04d}" if self.year else "-"
        return "-".join((year, *(f"{part:02d}" for part in (self.month, self.day) if part)))

    @property
    def whole(self) -> bool:
        """Whether day, month and year are known."""
        return bool(self.year and self.month and self.day)


def canonical(raw: str, region: str = "VN") -> str | None:
    """A date as people and systems write it → its written form; None when it is none, or stands for none."""
    found = read(raw, region)
    return found.text if found else None


@lru_cache(MEMORY)
def read(raw: str, region: str = "VN") -> Birth | None:
    """A date as people and systems write it → the date; None when it is none, or stands for none (`1900-01-01`).

    `region` (ISO 3166) decides `01/02/1990` and the like: the month first in the United States and a few more, else
    the day. A number of five digits is a spreadsheet's count of days.
    """
    if len(raw) > LONGEST:
        return None
    text = " ".join(fold(raw).split())
    return _numbers(text, region) or _words(text)


def swapped(one: Birth, other: Birth) -> bool:
    """Whether the two differ in nothing but day and month being the other way round."""
    return one.day != one.month and (one.year, one.month, one.day) == (other.year, other.day, other.month)


def agree(one: Birth, other: Birth) -> bool:
    """Whether nothing that both say differs, and both say something of the same."""
    pairs = [(left, right) for left, right in zip(one, other, strict=True) if left and right]
    return bool(pairs) and all(left == right for left, right in pairs)


def _numbers(text: str, region: str) -> Birth | None:
    if match := ISO.fullmatch(text):
        return _birth(*map(int, match.groups()))
    if match := NUMBERS.fullmatch(text):
        first, second, year = map(int, match.groups())
        return _either(first, second, _century(year) if len(match[3]) == 2 else year, region)
    if match := COMPACT.fullmatch(text):
        return _birth(*map(int, match.groups())) or _either(int(text[:2]), int(text[2:4]), int(text[4:]), region)
    if match := SERIAL.fullmatch(text):
        return _serial(int(match[1]))
    return _partial(text, region)


def _partial(text: str, region: str) -> Birth | None:
    if YEAR.fullmatch(text):
        return _birth(int(text))
    if match := YEAR_MONTH.fullmatch(text):
        return _birth(int(match[1]), int(match[2]))
    if match := MONTH_YEAR.fullmatch(text):
        return _birth(int(match[2]), int(match[1]))
    if match := YEARLESS.fullmatch(text):
        return _birth(0, int(match[1]), int(match[2]))
    if match := DAY_MONTH.fullmatch(text):
        return _either(int(match[1]), int(match[2]), 0, region)
    return None


def _words(text: str) -> Birth | None:
    bare = FRONT.sub("", text, count=1) if FRONT.match(text) else text
    if YEAR.fullmatch(bare):
        return _birth(int(bare))
    if match := WORDED.fullmatch(bare):
        month = int(match["month"]) if match["month"].isdigit() else MONTHS.get(match["month"], 13)
        year = match["year"] or "0"
        return _birth(_century(int(year)) if len(year) == 2 else int(year), month, int(match["day"] or 0))
    plain = " ".join(ORDINAL.sub("", bare).replace(",", " ").replace(".", " ").replace("-", " ").split())
    if (match := NAMED.fullmatch(plain)) and (month := MONTHS.get(match["month"], 0)):
        return _birth(int(match["year"] or 0), month, int(match["before"] or match["after"] or 0))
    return _numbers(bare, "VN") if bare != text else None


def _either(first: int, second: int, year: int, region: str) -> Birth | None:
    """The order of the region, or the other where that is no date."""
    month, day = (first, second) if region in MONTH_FIRST else (second, first)
    return _birth(year, month, day) or (_birth(year, day, month) if month > 12 else None)


def _century(year: int) -> int:
    return year + (2000 if year < PIVOT else 1900)


def _serial(days: int) -> Birth | None:
    if days not in SERIALS:
        return None
    day = SERIAL_EPOCH + timedelta(days=days)
    return _birth(day.year, day.month, day.day)


def _birth(year: int, month: int = 0, day: int = 0) -> Birth | None:
    if (year and not OLDEST <= year <= LATEST) or (year, month, day) in NO_DATE or not (year or day) or month > 12:
        return None
    if not month:
        return None if day else Birth(year)
    try:
        date(year or 2000, month, day or 1)
    except ValueError:
        return None
    return Birth(year, month, day)

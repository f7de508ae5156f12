"""What people write into cells → text, amounts and dates. Pure.

Cells come as text (CSV) or typed (spreadsheets, Parquet, JSON): both end as the same value. What cannot be read for
certain is None, never a guess; which of two readings a whole column means (`01/02/2024`, `1.850`) is decided once for
the column (`ingest.imports.columns`) and given here as `order` and `decimal`.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cdp import clock
from cdp.errors import InvalidError

Order = Literal["", "dmy", "mdy", "ymd"]
Decimals = Literal["", ".", ","]

# What spreadsheets and exports write where there is nothing.
NOTHING = frozenset(
    {"", "-", "--", "null", "(null)", "none", "nan", "n/a", "#n/a", "#value!", "#ref!", "#name?", "#div/0!", "\\n"}
)
LONGEST_NOTHING = max(map(len, NOTHING))
INVISIBLE = re.compile("[\0\u200b-\u200f\u2060\ufeff]")
SPACES = re.compile(r"\s+")


def text(cell: Any) -> str:
    """A cell as text: NFC, without what nobody sees; empty where there is nothing. `912345678.0` is `912345678`."""
    if cell is None:
        return ""
    written = cell if isinstance(cell, str) else _typed(cell)
    if not written.isascii():
        written = unicodedata.normalize("NFC", INVISIBLE.sub("", written))
    elif "\0" in written:
        written = written.replace("\0", "")
    written = written.strip()
    return "" if len(written) <= LONGEST_NOTHING and written.lower() in NOTHING else written


def _typed(cell: Any) -> str:
    match cell:
        case bool():
            return "true" if cell else "false"
        case float() | Decimal():
            number = _number(cell)
            return str(cell if number is None else number)
        case datetime() | date() | time():
            return cell.isoformat()
        case timedelta():
            return str(cell)
        case bytes():
            return cell.decode(errors="replace")
        case dict() | list() | tuple():
            return json.dumps(cell, ensure_ascii=False, default=_typed)
        case _:
            return str(cell)


def plain(cell: Any) -> Any:
    """A cell as JSON has it: numbers, truth values, objects and lists as they are, everything else as text."""
    if isinstance(cell, bool):
        return cell
    if isinstance(cell, int | float | Decimal):
        return _number(cell)
    if isinstance(cell, dict):
        return {str(name): plain(part) for name, part in cell.items()}
    if isinstance(cell, list | tuple):
        return [plain(part) for part in cell]
    return text(cell) or None


# --- amounts --------------------------------------------------------------------------------------

CURRENCIES = {"₫": "VND", "đ": "VND", "vnđ": "VND", "vnd": "VND", "đồng": "VND", "$": "USD", "usd": "USD", "€": "EUR"}
CURRENCIES |= {"us$": "USD", "eur": "EUR", "£": "GBP", "gbp": "GBP"}
MARK = "|".join(re.escape(mark) for mark in sorted(CURRENCIES, key=len, reverse=True))
AMOUNT = re.compile(
    rf"(?P<before>{MARK})?(?P<number>\d[\d.,]*?)[.,]?(?:(?P<unit>k|nghìn|ngàn|tr|triệu|tỷ|tỉ)(?P<rest>\d{{3}})?)?"
    rf"(?P<after>{MARK})?(?:/-)?",
    re.IGNORECASE,
)
UNITS = {"k": 3, "nghìn": 3, "ngàn": 3, "tr": 6, "triệu": 6, "tỷ": 9, "tỉ": 9}
GAPS = re.compile(r"[\s\u00a0\u202f'’]")
GROUPED = {".": re.compile(r"\d{1,3}(\.\d{3})+"), ",": re.compile(r"\d{1,3}(,\d{3})+")}
LARGEST = 1e15
# No amount and no date is written longer.
LONGEST_VALUE = 100


def amount(cell: Any, decimal: Decimals = "") -> int | float | None:
    """An amount of money or of things. `decimal` is the column's sign before the fraction; without one, a sign before
    exactly three digits groups thousands. `1tr850` is 1,850,000; `1tr85` may mean two things, and is none.
    """
    if isinstance(cell, bool):
        return None
    if isinstance(cell, int | float | Decimal):
        return _number(cell)
    given = text(cell)
    if len(given) > LONGEST_VALUE:
        return None
    written = GAPS.sub("", given).lower()
    negative = written.startswith(("-", "−")) or (written.startswith("(") and written.endswith(")"))
    found = AMOUNT.fullmatch(written.strip("()-−+"))
    if found is None or (found["rest"] and found["unit"] not in ("tr", "triệu")):
        return None
    value = _written(found["number"], decimal)
    if value is None:
        return None
    if found["unit"]:
        value = value * 10 ** UNITS[found["unit"]] + int(found["rest"] or 0) * 1_000
    return _number(-value if negative else value)


def currency_of(cell: Any) -> str:
    """The currency that an amount names; empty without one."""
    found = AMOUNT.fullmatch(GAPS.sub("", text(cell)).lower().strip("()-−+")) if isinstance(cell, str) else None
    mark = (found["before"] or found["after"]) if found else None
    return CURRENCIES[mark] if mark else ""


def decimal_of(cell: Any) -> Decimals | None:
    """Which sign an amount surely has before its fraction; "" where it surely groups thousands only; None: not told."""
    digits = "".join(sign for sign in GAPS.sub("", text(cell)[:LONGEST_VALUE]) if sign.isdigit() or sign in ".,").strip(
        ".,"
    )
    dots, commas = digits.count("."), digits.count(",")
    if dots and commas:
        last = digits[max(digits.rfind("."), digits.rfind(","))]
        return last if digits.count(last) == 1 else None  # type: ignore[return-value]
    if dots + commas == 0:
        return None
    sign = "." if dots else ","
    if dots + commas > 1:
        return "," if sign == "." else "."
    left, _, right = digits.partition(sign)
    return sign if len(right) != 3 or len(left) > 3 or left in ("", "0") else None  # type: ignore[return-value]


def _written(digits: str, decimal: Decimals) -> Decimal | None:
    dots, commas = digits.count("."), digits.count(",")
    if not dots and not commas:
        return Decimal(digits)
    if dots and commas:
        fraction = "." if digits.rfind(".") > digits.rfind(",") else ","
        group = "," if fraction == "." else "."
        whole, _, rest = digits.partition(fraction)
        return (
            Decimal(f"{whole.replace(group, '')}.{rest}")
            if GROUPED[group].fullmatch(whole) and rest.isdigit()
            else None
        )
    sign = "." if dots else ","
    groups = GROUPED[sign].fullmatch(digits) is not None
    if dots + commas == 1 and not (groups and decimal != sign and not digits.startswith("0")):
        return Decimal(digits.replace(",", "."))
    return Decimal(digits.replace(sign, "")) if groups else None


def _number(value: int | float | Decimal) -> int | float | None:
    try:
        if not -LARGEST < float(value) < LARGEST:
            return None
    except (ValueError, OverflowError):
        return None
    return int(value) if value == int(value) else float(value)


# --- dates ----------------------------------------------------------------------------------------

# Years of two digits up to this are of this century: fixed, so that a file means the same in every year.
LATEST_SHORT = 40
# Days since the epoch of spreadsheets. Below 1920 and beyond 2119 a number is more likely no date.
SERIALS = range(7_306, 80_000)
SERIAL_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 - a spreadsheet's date has no zone
SLASHED = re.compile(r"(?P<a>\d{1,2})(?P<sign>[-/. ])(?P<b>\d{1,2})(?P=sign)(?P<year>\d{4}|\d{2})")
YEAR_FIRST = re.compile(r"(?P<year>\d{4})(?P<sign>[-/. ]?)(?P<a>\d{1,2})(?P=sign)(?P<b>\d{1,2})")
NAMED = re.compile(
    r"(?:ngày )?(?:(?P<day>\d{1,2})[ -]?(?P<month>[^\W\d]{3,9}|(?:tháng|thg)\.? ?\d{1,2})"
    r"|(?P<month2>[^\W\d]{3,9})\.? (?P<day2>\d{1,2}))[ ,-]*(?:năm )?(?P<year>\d{4}|\d{2})",
    re.IGNORECASE,
)
TIME = re.compile(
    r"(?P<hour>\d{1,2})(?:[:h](?P<minute>\d{2}))(?::(?P<second>\d{2})(?P<part>\.\d+)?)?\s*(?P<half>am|pm|sa|ch)?",
    re.IGNORECASE,
)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
OFFSET = re.compile(r"(?:UTC|GMT)?(?P<sign>[+-])(?P<hours>\d{1,2}):?(?P<minutes>\d{2})?")


def zone_of(name: str) -> tzinfo:
    """`+07:00` or `Asia/Ho_Chi_Minh` → the zone. Raises `InvalidError`."""
    if found := OFFSET.fullmatch(name):
        away = timedelta(hours=int(found["hours"]), minutes=int(found["minutes"] or 0))
        return timezone(-away if found["sign"] == "-" else away)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidError(f"{name!r} is no time zone: write +07:00 or Asia/Ho_Chi_Minh.", path="timezone") from None


def moment(cell: Any, order: Order, zone: tzinfo) -> int | None:
    """When: milliseconds since the epoch. What has no zone of its own is meant in `zone`; a day is its beginning."""
    when = written_time(cell, order)
    if when is None:
        return None
    try:
        return clock.from_datetime(when if when.tzinfo else when.replace(tzinfo=zone))
    except OverflowError:
        return None


def day(cell: Any, order: Order) -> str | None:
    """Which day, as `1990-02-01`."""
    when = written_time(cell, order)
    return when.date().isoformat() if when else None


def written_time(cell: Any, order: Order) -> datetime | None:
    """A time as it is written, with a zone only where it names one."""
    if isinstance(cell, datetime):
        return cell
    if isinstance(cell, date):
        return datetime.combine(cell, time())
    if isinstance(cell, int | float | Decimal) and not isinstance(cell, bool):
        number = _number(cell)
        return None if number is None else _counted(number)
    given = text(cell)
    if not given or len(given) > LONGEST_VALUE:
        return None
    written = SPACES.sub(" ", given)
    if written.replace(".", "", 1).isdigit() and written.isascii():
        return _counted(float(written)) if written[0] != "0" and len(written) < 20 else None
    return _iso(written) or _dated(written, order)


def order_of(cell: Any) -> Literal["dmy", "mdy", "either"] | None:
    """Which order the day and the month of a date like 25/12/2024 surely have; None where it is none of that kind."""
    if not isinstance(cell, str) or (found := _slashed(SPACES.sub(" ", text(cell)))) is None:
        return None
    first, second = int(found["a"]), int(found["b"])
    if first > 12 >= second:
        return "dmy"
    if second > 12 >= first:
        return "mdy"
    return "either" if first != second and first <= 12 else None


def _slashed(written: str) -> re.Match[str] | None:
    return next((found for part in _parts(written) if (found := SLASHED.fullmatch(part))), None)


def _parts(written: str) -> list[str]:
    """A date may stand before or after its time of day."""
    bare = TIME.sub("", written, count=1).strip(" ,-T") if ":" in written or "h" in written.lower() else written
    return [bare] if bare else []


def _counted(value: float) -> datetime | None:
    if not 0 < value < LARGEST:
        return None
    if 19_000_101 <= value <= 21_001_231 and value == int(value):
        return _iso(f"{int(value)}")
    if int(value) in SERIALS:
        return SERIAL_EPOCH + timedelta(milliseconds=round(value * clock.DAY))
    if 1e9 <= value < 5e9:
        return clock.to_datetime(round(value * 1000))
    return clock.to_datetime(round(value)) if 1e12 <= value < 5e12 else None


def _iso(written: str) -> datetime | None:
    if not written[:4].isdigit():
        return None
    try:
        return datetime.fromisoformat(written)
    except ValueError:
        return None


def _dated(written: str, order: Order) -> datetime | None:
    for bare in _parts(written):
        for pattern, read in PATTERNS:
            if found := pattern.fullmatch(bare):
                return _with_time(read(found, order), written if bare != written else "")
    return None


def _with_time(when: datetime | None, written: str) -> datetime | None:
    found = TIME.search(written) if when else None
    if when is None or found is None:
        return None if when is None or written else when
    hour, half = int(found["hour"]), (found["half"] or "").lower()
    if half and not 1 <= hour <= 12:
        half = "" if hour < 24 else half
    if half:
        hour = hour % 12 + (12 if half in ("pm", "ch") else 0)
    fraction = round(float(found["part"] or 0) * 1e6)
    try:
        return when.replace(hour=hour, minute=int(found["minute"]), second=int(found["second"] or 0)) + timedelta(
            microseconds=fraction
        )
    except ValueError:
        return None


def _from_slashed(found: re.Match[str], order: Order) -> datetime | None:
    day_of, month = (found["b"], found["a"]) if order == "mdy" else (found["a"], found["b"])
    return _built(found["year"], month, day_of)


def _from_year(found: re.Match[str], order: Order) -> datetime | None:
    return _built(found["year"], found["a"], found["b"])


def _from_name(found: re.Match[str], order: Order) -> datetime | None:
    name = (found["month"] or found["month2"]).lower()
    number = re.search(r"\d+", name)
    month = int(number[0]) if number else next((n for n, each in enumerate(MONTHS, 1) if name.startswith(each)), 0)
    return _built(found["year"], month, found["day"] or found["day2"])


PATTERNS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], Order], datetime | None]], ...] = (
    (SLASHED, _from_slashed),
    (YEAR_FIRST, _from_year),
    (NAMED, _from_name),
)


def _built(year: Any, month: Any, day_of: Any) -> datetime | None:
    number = int(year)
    if len(str(year)) == 2:
        number += 1900 if number > LATEST_SHORT else 2000
    try:
        return datetime(number, int(month), int(day_of)) if number >= 1900 else None  # noqa: DTZ001 - as written
    except ValueError:
        return None

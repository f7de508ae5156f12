"""What observations say, as the values of `CUSTOMERS`, in the forms that comparisons expect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from cdp.forms import dates, names
from cdp.forms.letters import fold
from identity.identifiers import Value
from identity.matching.schema import CUSTOMERS, Values


def observed(identifiers: Iterable[Value], attributes: Mapping[str, str], devices: Iterable[Value] = ()) -> Values:
    """The identifiers and attributes of an observation, and the devices that it came from → its values.

    Of several identifiers of a type the first counts.
    """
    found: dict[str, str | None] = {}
    for name, value in (*identifiers, *devices):
        found.setdefault(name, value)
    found |= {
        "name": name_of(attributes.get("name", "")),
        "birthday": date_of(attributes.get("birthday", "")),
        "street": fold(attributes.get("street", "")) or None,
        "province": attributes.get("province") or None,
    }
    return tuple(found.get(field.name) for field in CUSTOMERS)


def name_of(text: str) -> str | None:
    """A name → its words, folded, a Vietnamese family name first; None when it is nobody's."""
    found = names.read(text)
    return " ".join(found.tokens) if found else None


@lru_cache(1 << 14)
def date_of(text: str, region: str = "VN") -> str | None:
    """A date → eight digits, year first, zeros for what is not known; None when it is none."""
    found = dates.read(text, region)
    return f"{found.year:04d}{found.month:02d}{found.day:02d}" if found else None

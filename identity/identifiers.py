"""The table of identifier types: what each is evidence of, how strong it is, and how its values are written.

    user_id > crm_id > loyalty_card > email > phone > any other external id       (links by the first are made first)

A type is a small class with a `normalise`; add one by writing it and putting it into `KNOWN`. Values that identify
nobody (`null`, `guest`, zeros …) are refused for every type: Segment's list, PostHog's, and those of Vietnamese forms.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, ClassVar, Literal

from cdp.errors import InvalidError
from cdp.forms import emails, phones

# person: issued to one person. contact: reaches a person, is sometimes shared or handed on. device: binds events in
# time. alias: what an alias call says somebody was called before.
Kind = Literal["person", "contact", "device", "alias"]
Value = tuple[str, str]  # type and normalised value

LONGEST = 500
MEMORY = 1 << 16  # values remembered per process

BLOCKED = re.compile(
    r"""[0-]*|-1|\.+|
    null|nil|none|nan|undefined|true|false|\[object\ object\]|\(null\)|<null>|n/?a|
    anonymous|guest|unknown|distinct_?id|id|not_authenticated|email|user_?id|anonymous_?id|
    khach|khachle|khach\ le|khách\ lẻ|khong|khongco|không\ có""",
    re.VERBOSE | re.IGNORECASE,
)
TYPE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


class IdentifierType:
    """What a type of identifier is. `rank`: lower links first. `probability`: that sharing a value means one person."""

    name: ClassVar[str] = ""
    kind: ClassVar[Kind] = "person"
    rank: ClassVar[int] = 60
    probability: ClassVar[float] = 0.99

    def normalise(self, raw: str) -> str | None:
        """A value as it was sent, trimmed and in NFC → as it is compared; None refuses it."""
        return raw


class UserId(IdentifierType):
    """The account at the sender's own system: as it is, upper and lower case differ."""

    name, rank, probability = "user_id", 10, 1.0


class CrmId(IdentifierType):
    """The customer's number in a CRM."""

    name, rank, probability = "crm_id", 20, 1.0


class LoyaltyCard(IdentifierType):
    """A card's number; families share cards."""

    name, rank = "loyalty_card", 30

    def normalise(self, raw: str) -> str | None:
        """Without the spaces and dashes that are printed on the card."""
        return re.sub(r"[\s-]", "", raw).upper()


class Email(IdentifierType):
    """A mailbox."""

    name, kind, rank = "email", "contact", 40

    def normalise(self, raw: str) -> str | None:
        """See `cdp.forms.emails`."""
        return emails.canonical(raw)


class Phone(IdentifierType):
    """A telephone number: lent, shared in households, and given to somebody else after a while."""

    name, kind, rank, probability = "phone", "contact", 50, 0.97

    def __init__(self, region: str) -> None:
        self._region = region

    def normalise(self, raw: str) -> str | None:
        """See `cdp.forms.phones`."""
        return phones.canonical(raw, self._region)


class ExternalId(IdentifierType):
    """Any other id that a sender gives in `context.externalIds`."""


class AnonymousId(IdentifierType):
    """A browser or an app, by the cookie or the key that our SDKs keep in it."""

    name, kind, rank = "anonymous_id", "device", 90


class DeviceId(IdentifierType):
    """A telephone or a tablet, by the id that its system gives; stands in where there is no anonymous id."""

    name, kind, rank = "device_id", "device", 91


class PreviousId(IdentifierType):
    """What an alias call says the account was called before: an account's id, or a device's."""

    name, kind, rank, probability = "previous_id", "alias", 5, 1.0


OTHER = ExternalId()
KNOWN: dict[str, IdentifierType] = {
    kind.name: kind
    for kind in (UserId(), CrmId(), LoyaltyCard(), Email(), Phone("VN"), AnonymousId(), DeviceId(), PreviousId())
}
# How else senders call the types that we know.
SPELLINGS = {
    **dict.fromkeys(("userid", "user.id"), "user_id"),
    **dict.fromkeys(("email_address", "e-mail"), "email"),
    **dict.fromkeys(("phone_number", "mobile", "mobile_phone", "tel", "telephone"), "phone"),
    **dict.fromkeys(("anonymousid", "anon_id"), "anonymous_id"),
    **dict.fromkeys(("android.id", "ios.id", "device.id"), "device_id"),
    **dict.fromkeys(("crm", "crmid", "customer_number"), "crm_id"),
    **dict.fromkeys(("loyalty_id", "loyalty_number", "card", "card_number", "member_card"), "loyalty_card"),
}
# Ids of an installation, an advertisement or a company: never a person's.
NOT_A_PERSON = re.compile(r".*\.(push_token|idfa)|ga_client_id|group_id|previous_id|push_token|idfa|gaid|.*clid")


def type_of(name: str) -> IdentifierType:
    """The type of that name; every name that is none of ours is an external id."""
    return KNOWN.get(name, OTHER)


def order_of(name: str) -> tuple[int, str]:
    """Where a type stands: by rank, external ids among themselves by name."""
    return type_of(name).rank, name


class Identifiers:
    """Reads identifiers under an installation's settings: `region` of local phone numbers, more `blocked` patterns."""

    def __init__(self, region: str = "VN", blocked: Iterable[str] = ()) -> None:
        """Raises `InvalidError` when a pattern is no regular expression."""
        self._region = region
        self._phone = Phone(region)
        self._blocked = [_pattern(pattern) for pattern in blocked]
        self.read = lru_cache(MEMORY)(self._read)

    @property
    def fingerprint(self) -> str:
        """The same for the same settings."""
        return f"{self._region}|{[pattern.pattern for pattern in self._blocked]}"

    def blocking(self, more: Iterable[str]) -> Identifiers:
        """The same with more patterns. Raises `InvalidError` when one is no regular expression."""
        return Identifiers(self._region, [*(pattern.pattern for pattern in self._blocked), *more])

    def _read(self, name: str, raw: str) -> Value | None:
        """A type as it was sent and a value as it was sent → the identifier; None when it identifies nobody."""
        name = name.strip().lower()
        name = SPELLINGS.get(name, name)
        if not TYPE.fullmatch(name):
            return None
        text = unicodedata.normalize("NFC", raw).strip().strip("\"'").strip()
        if not text or len(text) > LONGEST or BLOCKED.fullmatch(text):
            return None
        kind = self._phone if name == "phone" else type_of(name)
        value = kind.normalise(text)
        return (name, value) if value and not self.blocks(value) else None

    def blocks(self, value: str) -> bool:
        """Whether the settings say that the normalised value identifies nobody."""
        return bool(self._blocked) and any(pattern.fullmatch(value) for pattern in self._blocked)


def is_personal(name: str) -> bool:
    """Whether an external id of this type may be a person's."""
    return not NOT_A_PERSON.fullmatch(name.strip().lower())


def scalar(raw: Any) -> str:
    """A JSON value that stands where an id is expected → its text; empty when it is none (objects, lists, booleans)."""
    if isinstance(raw, str):
        return raw
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return ""
    return str(int(raw)) if raw == raw and abs(raw) < 1e18 and raw == int(raw) else str(raw)


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise InvalidError(f"{text!r} is no regular expression: {error}.", path="blocked_values") from None

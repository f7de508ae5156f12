"""The table of identifier types: what each is evidence of, how strong it is, and how its values are written.

    user_id > crm_id > loyalty_card > email > phone > any other external id       (links by the first are made first)
    anonymous_id, device_id, cookies of others                                    (bind events in time, join nobody)
    click ids, advertising ids, push tokens                                       (kept with the event, join nobody)

A type is a small class with a `normalise`; add one by writing it and putting it into `KNOWN`. Values that identify
nobody (`null`, `guest`, zeros …) are refused for every type: Segment's list, PostHog's, and those of Vietnamese forms;
a type may refuse more. What a customer's address or number looks like when there is none is in `cdp.forms`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, ClassVar, Literal

from cdp.errors import InvalidError
from cdp.forms import emails, phones
from cdp.forms.traces import CLICK_IDS, COOKIES

# person: issued to one person. contact: reaches a person, is sometimes shared or handed on. device: binds events in
# time. alias: what an alias call says somebody was called before. trace: says where an event came from, and is passed
# on with links: never a key.
Kind = Literal["person", "contact", "device", "alias", "trace"]
Value = tuple[str, str]  # type and normalised value

LONGEST = 500
MEMORY = 1 << 16  # values remembered per process

BLOCKED = re.compile(
    r"""[0-]*|-1|\.+|
    null|nil|none|nan|undefined|true|false|\[object\ object\]|\(null\)|<null>|n/?a|
    anonymous|guest|unknown|distinct_?id|id|not_authenticated|email|user_?id|anonymous_?id|
    khach|khach[\ _-]?(le|hang)|khách\ (lẻ|hàng)|vanglai|khong|khong\ ?co|không\ có|chua\ co""",
    re.VERBOSE | re.IGNORECASE,
)
TYPE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


# One digit throughout, or digits in a row: what is typed, or printed on a sample, when there is no number.
MADE_UP = re.compile(r"(\w)\1{3,}|0*12345(6(7(8(90?)?)?)?)?|9876543210?")


class IdentifierType:
    """What a type of identifier is.

    `rank`: lower links first. `probability`: that sharing a value means one person. `blocked`: normalised values of
    this type that identify nobody.
    """

    name: ClassVar[str] = ""
    kind: ClassVar[Kind] = "person"
    rank: ClassVar[int] = 60
    probability: ClassVar[float] = 0.99
    blocked: ClassVar[re.Pattern[str] | None] = None

    def normalise(self, raw: str) -> str | None:
        """A value as it was sent, trimmed and in NFC → as it is compared; None refuses it."""
        return raw


class UserId(IdentifierType):
    """The account at the sender's own system: as it is, upper and lower case differ."""

    name, rank, probability = "user_id", 10, 1.0


class CrmId(IdentifierType):
    """The customer's number in a CRM."""

    name, rank, probability = "crm_id", 20, 1.0
    # The customer of sales to nobody in particular, as points of sale number it.
    blocked = re.compile(r"kh-?(?:le|0+)|kl0*|khachle|kvl|walk-?in", re.IGNORECASE)


class LoyaltyCard(IdentifierType):
    """A card's number; families share cards."""

    name, rank, blocked = "loyalty_card", 30, MADE_UP

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
    # An ANDROID_ID that many telephones have by a manufacturer's mistake (Android issue 10603); addresses that hide.
    blocked = re.compile(r"9774d56d682e549c|(?:02|00)(?::00){5}|(?:ff:){5}ff", re.IGNORECASE)


class Cookie(IdentifierType):
    """A browser, by the cookie of somebody else's script."""

    kind, rank = "device", 92

    def __init__(self, name: str) -> None:
        self.name = name  # type: ignore[misc]


class ClickId(IdentifierType):
    """A click on an advertisement. Links are passed on with it, so whoever has it is not who clicked."""

    kind, rank, probability = "trace", 95, 0.0

    def __init__(self, name: str) -> None:
        self.name = name  # type: ignore[misc]


class PreviousId(IdentifierType):
    """What an alias call says the account was called before: an account's id, or a device's."""

    name, kind, rank, probability = "previous_id", "alias", 5, 1.0


OTHER = ExternalId()
KNOWN: dict[str, IdentifierType] = {
    kind.name: kind
    for kind in (
        *(UserId(), CrmId(), LoyaltyCard(), Email(), Phone("VN"), AnonymousId(), DeviceId(), PreviousId()),
        *map(Cookie, COOKIES),
        *map(ClickId, CLICK_IDS),
    )
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
    **{"_fbp": "fbp", "_fbc": "fbc"},
}


def type_of(name: str) -> IdentifierType:
    """The type of that name; every name that is none of ours is an external id."""
    return KNOWN.get(name, OTHER)


class Identifiers:
    """Reads identifiers under an installation's settings: `region` of local phone numbers, more `blocked` patterns.

    A pattern holds for every type, or for one when it begins with its name: `phone:\\+8428.*`.
    """

    def __init__(self, region: str = "VN", blocked: Iterable[str] = ()) -> None:
        """Raises `InvalidError` when a pattern is no regular expression."""
        self._region = region
        self._phone = Phone(region)
        self._patterns = tuple(blocked)
        self._blocked = [_pattern(pattern) for pattern in self._patterns]
        self.read = lru_cache(MEMORY)(self._read)

    @property
    def region(self) -> str:
        """The country (ISO 3166) whose customs hold where a value does not say its own."""
        return self._region

    @property
    def fingerprint(self) -> str:
        """The same for the same settings."""
        return f"{self._region}|{list(self._patterns)}"

    def blocking(self, more: Iterable[str]) -> Identifiers:
        """The same with more patterns. Raises `InvalidError` when one is no regular expression."""
        return Identifiers(self._region, [*self._patterns, *more])

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
        if not value or (kind.blocked and kind.blocked.fullmatch(value)) or self.blocks((name, value)):
            return None
        return name, value

    def blocks(self, value: Value) -> bool:
        """Whether the settings say that this identifies nobody."""
        return bool(self._blocked) and any(
            name in ("", value[0]) and pattern.fullmatch(value[1]) for name, pattern in self._blocked
        )


def scalar(raw: Any) -> str:
    """A JSON value that stands where an id is expected → its text; empty when it is none (objects, lists, booleans)."""
    if isinstance(raw, str):
        return raw
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return ""
    return str(int(raw)) if raw == raw and abs(raw) < 1e18 and raw == int(raw) else str(raw)


def _pattern(text: str) -> tuple[str, re.Pattern[str]]:
    """A pattern and the type it holds for; for every type if that is empty."""
    name, colon, rest = text.partition(":")
    name, expression = (name, rest) if colon and TYPE.fullmatch(name) else ("", text)
    try:
        return name, re.compile(expression)
    except re.error as error:
        raise InvalidError(f"{text!r} is no regular expression: {error}.", path="blocked_values") from None

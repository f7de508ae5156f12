"""The rules under which identifiers make people: limits, generic values, sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cdp import clock
from cdp.errors import InvalidError, MisconfiguredError
from cdp.settings import IdentitySettings
from identity.identifiers import Identifiers, type_of

# An alias joins accounts beyond their limit, but not without end: anybody may send one.
ALIASED = "previous_id"
# Raised with every change of the code that makes other people of the same observations.
RULES = 1


@dataclass(frozen=True)
class Policy:
    """`limits`: most values of a type that evidence may bring into one profile; `limit` for all other types."""

    limits: Mapping[str, int] = field(default_factory=lambda: {"user_id": 1})
    limit: int = 5
    observations_per_value: int = 200
    component_limit: int = 2_000
    session_minutes: int = 30
    identifiers: Identifiers = field(default_factory=Identifiers, compare=False)

    @classmethod
    def of(cls, settings: IdentitySettings) -> Policy:
        """The policy that the settings describe. Raises `MisconfiguredError`."""
        try:
            identifiers = Identifiers(settings.default_region.upper(), settings.blocked_values)
        except InvalidError as error:
            raise MisconfiguredError(f"CDP_IDENTITY__BLOCKED_VALUES: {error.message}") from error
        return cls(
            {"user_id": settings.user_ids_per_profile},
            settings.identifiers_per_profile,
            settings.observations_per_value,
            settings.component_limit,
            settings.session_minutes,
            identifiers,
        )

    def limit_of(self, kind: str) -> int:
        """Most distinct values of a type in one profile."""
        return self.limits.get(kind, self.limit)

    def most_observations(self, kind: str) -> int:
        """Above how many distinct observations a value of the type is generic.

        What is issued to one person is believed longer: up to what can be looked at together.
        """
        return self.component_limit if type_of(kind).kind == "person" else self.observations_per_value

    @property
    def fingerprint(self) -> str:
        """The same for the same rules."""
        limits = ",".join(f"{name}={limit}" for name, limit in sorted(self.limits.items()))
        sizes = (self.limit, self.observations_per_value, self.component_limit, self.session_minutes)
        return f"{RULES}|{limits}|{sizes}|{self.identifiers.fingerprint}"

    @property
    def session(self) -> int:
        """The length of a device's session slice, in milliseconds."""
        return self.session_minutes * clock.MINUTE

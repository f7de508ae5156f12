"""The rules under which identifiers make people: priorities, limits, generic values, sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Final

from cdp import clock
from cdp.errors import InvalidError, MisconfiguredError
from cdp.settings import IdentitySettings, LimitPeriod
from identity.evidence import BLOCK, OBSERVED, VIEWS, Evidence
from identity.identifiers import KNOWN, SPELLINGS, Identifiers, type_of
from identity.matching.keys import keys_of
from identity.matching.linker import Views
from identity.matching.model import Model

# An alias joins accounts beyond their limit, but not without end: anybody may send one.
ALIASED = "previous_id"
ACCOUNT = "user_id"
# Raised with every change of the code that makes other people of the same observations.
RULES = 3

# Ranks of links: all that there are; what was asserted by hand; none.
ALL: Final = 1_000_000
STEP = 10
ALIAS_RANK = type_of(ALIASED).rank
ASSERTED = 0
NOTHING = -1
# The attribute that says in which period something was said, where limits ask for it.
PERIOD = "period"
_FORMATS: Mapping[LimitPeriod, str] = {"day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}


@dataclass(frozen=True)
class Policy:
    """`limits`: most values of a type that evidence may bring into one profile; `limit` for all other types.

    `limits_within`: most values of a type that it may bring in within one `limit_period`. `priorities`: types that link
    before all others, the strongest first. `evidence`: weighs observations under a model; until one is learnt, or where
    nobody `learns` one, people are made by rules alone. It may bring so many `accounts` into one profile: people have
    second ones, but rules cannot tell. `views`: how likely people must be one.
    """

    limits: Mapping[str, int] = field(default_factory=lambda: {ACCOUNT: 1})
    limit: int = 5
    observations_per_value: int = 200
    component_limit: int = 1_000
    session_minutes: int = 30
    identifiers: Identifiers = field(default_factory=Identifiers, compare=False)
    limits_within: Mapping[str, int] = field(default_factory=dict)
    limit_period: LimitPeriod = "week"
    priorities: tuple[str, ...] = ()
    evidence: Evidence | None = field(default=None, compare=False)
    accounts: int = 3
    views: Views = VIEWS
    learns: bool = True

    @classmethod
    def of(cls, settings: IdentitySettings) -> Policy:
        """The policy that the settings describe. Raises `MisconfiguredError`."""
        try:
            identifiers = Identifiers(settings.default_region.upper(), settings.blocked_values)
        except InvalidError as error:
            raise MisconfiguredError(f"CDP_IDENTITY__BLOCKED_VALUES: {error.message}") from error
        return cls(
            {ACCOUNT: settings.user_ids_per_profile} | _linking("LIMITS", settings.limits),
            settings.identifiers_per_profile,
            settings.observations_per_value,
            settings.component_limit,
            settings.session_minutes,
            identifiers,
            _linking("LIMITS_WITHIN", settings.limits_within),
            settings.limit_period,
            tuple(_linking("PRIORITIES", dict.fromkeys(settings.priorities, 0))),
            accounts=settings.accounts,
            views=Views(settings.likely, settings.sure),
            learns=settings.evidence,
        )

    def by(self, model: Model | None) -> Policy:
        """The same rules, with people made by evidence under a model, if there is one and it is to be used."""
        usable = model and self.learns and (model.schema, model.keys) == (OBSERVED, keys_of(OBSERVED))
        return replace(self, evidence=Evidence(model, views=self.views) if model and usable else None)

    @cached_property
    def _ranks(self) -> Mapping[str, int]:
        usual = sorted((kind for kind in KNOWN.values() if kind.kind in ("person", "contact")), key=lambda k: k.rank)
        names = dict.fromkeys((*self.priorities, *(kind.name for kind in usual)))
        return {ALIASED: ALIAS_RANK} | {name: STEP * number for number, name in enumerate(names, start=1)}

    @cached_property
    def ranks(self) -> list[int]:
        """How far links may be weak: from all of them to none."""
        return [ALL, *sorted({*self._ranks.values(), ASSERTED, NOTHING}, reverse=True)]

    def rank(self, kind: str) -> int:
        """Where links by a type stand: those of lower rank are made first."""
        return self._ranks.get(kind, STEP * len(self._ranks))

    def order_of(self, kind: str) -> tuple[int, str]:
        """Where a type stands: by rank, external ids among themselves by name."""
        return self.rank(kind), kind

    def limit_of(self, kind: str) -> int:
        """Most distinct values of a type in one profile."""
        return self.limits.get(kind, self.limit)

    def period_of(self, at: int) -> str:
        """The period of `limits_within` in which a moment (milliseconds) lies, as text that sorts by time."""
        return datetime.fromtimestamp(at // 1000, UTC).strftime(_FORMATS[self.limit_period])

    def most_observations(self, kind: str) -> int:
        """Above how many different observations a value of the type is generic.

        What is issued to one person is believed longer: up to what can be looked at together.
        """
        return self.component_limit if type_of(kind).kind == "person" else self.observations_per_value

    def most_holders(self, kind: str) -> int:
        """How many holders of a value are looked at: above it it is generic. Of a blocking key: above it too common."""
        if kind == BLOCK:
            return self.evidence.limits.bucket if self.evidence else 0
        return max(self.component_limit, self.most_observations(kind))

    @property
    def fingerprint(self) -> str:
        """The same for the same rules. Which model there is, is no rule."""
        limits = ",".join(f"{name}={limit}" for name, limit in sorted(self.limits.items()))
        within = ",".join(f"{name}={limit}" for name, limit in sorted(self.limits_within.items()))
        sizes = (self.limit, self.observations_per_value, self.component_limit, self.session_minutes)
        evidence = f"|{self.accounts}|{tuple(self.views)}" if self.learns else ""
        return (
            f"{RULES}|{limits}|{within}/{self.limit_period}|{','.join(self.priorities)}|{sizes}"
            f"|{self.identifiers.fingerprint}{evidence}"
        )

    @property
    def session(self) -> int:
        """The length of a device's session slice, in milliseconds."""
        return self.session_minutes * clock.MINUTE


def _linking(setting: str, given: Mapping[str, int]) -> dict[str, int]:
    """Settings by type under the types' own names. Raises `MisconfiguredError` for a type that never links."""
    found = {SPELLINGS.get(name.lower(), name.lower()): value for name, value in given.items()}
    for name in found:
        if type_of(name).kind not in ("person", "contact"):
            raise MisconfiguredError(f"CDP_IDENTITY__{setting}: {name} joins nobody, so it has no place there.")
    return found

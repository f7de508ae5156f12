"""What observations are evidence of: their values, the blocking keys that bring them together, and what pairs weigh.

    observation ─► reading: values by field ─► without what is generic ─► blocking keys, and the weight of a pair

Devices are no part of it: they bind events in time and never make two people one. A reading depends on the content of
the observation alone, so it is remembered by its anchor. All else is a function of values and of the model.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import product
from math import inf
from typing import Final, NamedTuple

from cdp.forms import dates, names
from cdp.forms.letters import fold
from identity.identifiers import Value
from identity.matching.generic import Owners
from identity.matching.keys import KeyMaker
from identity.matching.limits import Limits
from identity.matching.linker import Views
from identity.matching.model import Model
from identity.matching.profiles import Profiles
from identity.matching.records import Values
from identity.matching.schema import CUSTOMERS, ROLES, Field, Schema
from identity.matching.scoring import Scorer, bits, probability
from identity.observations import Anchor, Observation

NAME: Final = "name"
BLOCK: Final = "~"  # the reserved type of blocking keys that are no identifier; no type of an identifier begins so

GENDER: Final = "gender"
OBSERVED = Schema((*(field for field in CUSTOMERS if field.kind != "device"), Field(GENDER, "sex")), profiles=True)
OTHER = "card"  # the role of identifiers that the model does not know, as far as it says whether they are generic
VIEWS, LIMITS = Views(), Limits()
MEMORY = 1 << 17  # names and dates remembered
READINGS = 1 << 15  # observations and compared pairs remembered; of weights, and of who is near, four times as many
# Words of names go together, in families and by fashion, more than by the chance that the model takes it for.
NAME_ALONE = bits(0.75)
MOST_OF_A_TYPE = 4  # values of one field that are looked at
DIGEST = 8  # bytes of a blocking key

Known = tuple[tuple[str, ...], ...]
# Values of one observation, those of the others that it was held against, and which of them are linked to it.
Near = tuple[Values, Mapping[Anchor, Values], Mapping[Anchor, float]]
NOBODY: Near = ((), {}, {})


class Reading(NamedTuple):
    """What an observation says, by the schema's fields: of each field every value, in order.

    `single`: the values, where no field has several. `owned`: the identifiers among them.
    """

    said: Known
    single: Values | None
    owned: tuple[Value, ...]

    def values(self, schema: Schema, generic: Container[Value]) -> Values:
        """Of each field the first value that is not generic."""
        return tuple(
            next((text for text in said if (field.name, text) not in generic), None)
            for field, said in zip(schema, self.said, strict=True)
        )


class Evidence:
    """Weighs observations under a model. `views`: how likely people must be one; `limits`: how much is looked at."""

    def __init__(self, model: Model, *, views: Views = VIEWS, limits: Limits = LIMITS) -> None:
        self.model = model
        self.schema = model.schema
        self.limits = limits
        self.views = views
        self.likely, self.sure = bits(views.likely), bits(views.sure)
        self.scorer = Scorer(model)
        self.types = frozenset(field.name for field in self.schema if field.role.owners)
        self._owned = [(place, field.name) for place, field in enumerate(self.schema) if field.role.owners]
        self._identifying = frozenset(place for place, _ in self._owned)
        self._kinds = {field.name: field.kind for field in self.schema if field.role.owners}
        fields = self.schema.fields
        self._name = next((place for place, field in enumerate(fields) if field.name == NAME), None)
        self._last = [field.comparison.last for field in fields]
        # What half of all people have in common is nobody's own.
        self._own = [
            place
            for place, field in enumerate(fields)
            if not field.role.shared and place != self._name and field.name != GENDER
        ]
        self._common = frozenset(
            place for place, field in enumerate(fields) if place == self._name or field.name in (GENDER, "province")
        )
        self._birthdays = self.schema.places("birth")
        self._lasting = self.schema.places("birth", "card")  # what nobody has two of, as a rule
        self._keys = KeyMaker(self.schema, [key for key in model.keys if not key.owned(self.schema)])
        self._places = {field.name: place for place, field in enumerate(fields)}
        self._readings: dict[Anchor, Reading] = {}
        self._found: dict[Anchor, frozenset[Value]] = {}
        self._weights: dict[tuple[Anchor, Anchor], tuple[Values, Values, float]] = {}
        self._near: dict[Anchor, Near] = {}
        self._looked_at = 0  # about how many others are remembered there
        self._compared: dict[tuple[Anchor, Anchor], tuple[Values, Values, Profiles]] = {}

    def read(self, anchor: Anchor, observation: Observation) -> Reading:
        """What an observation says."""
        known = self._readings.get(anchor)
        if known is None:
            if len(self._readings) >= READINGS:
                self._readings.clear()
            known = self._readings[anchor] = self._read(observation)
        return known

    def _read(self, observation: Observation) -> Reading:
        said: list[tuple[str, ...]] = [()] * len(self.schema)
        for name, text in (*_described(observation.attributes), *observation.identifiers):
            place = self._places.get(name)
            if place is not None and text:
                said[place] += (text,)
        single = None if any(len(some) > 1 for some in said) else tuple([some[0] if some else None for some in said])
        owned = tuple([value for value in observation.identifiers if value[0] in self.types])
        return Reading(tuple([some[:MOST_OF_A_TYPE] for some in said]), single, owned)

    def keys(self, anchor: Anchor, observation: Observation) -> frozenset[Value]:
        """Every blocking key beside its identifiers that an observation may have, whatever becomes generic."""
        known = self._found.get(anchor)
        if known is None:
            if len(self._found) >= READINGS:
                self._found.clear()
            known = self._found[anchor] = frozenset(self._postings(self.read(anchor, observation)))
        return known

    def weigh(self, one: Anchor, other: Anchor, left: Values, right: Values) -> float:
        """What speaks for two observations being one person, in bits, by values of theirs.

        A name alone that joins nobody links nobody either: namesakes by the dozen would hang together.
        """
        if other < one:
            one, other, left, right = other, one, right, left
        known = self._weights.get((one, other))
        if known is not None and known[0] is left and known[1] is right:
            return known[2]
        if len(self._weights) >= 4 * READINGS:
            self._weights.clear()
        bits = self.scorer.weigh(left, right)
        if self.limits.link <= bits < NAME_ALONE and self.is_name_alone(self.scorer.pattern(left, right)):
            bits = -inf
        self._weights[one, other] = left, right, bits
        return bits

    def near(self, anchor: Anchor, values: Values, others: Mapping[Anchor, Values]) -> Mapping[Anchor, float]:
        """Those of some observations that are linked to one, with the bits, by values of theirs.

        Who was found before is remembered as long as those that were looked at are among them and say the same.
        """
        before, looked_at, near = self._near.get(anchor, NOBODY)
        if before is not values or not looked_at.items() <= others.items():
            looked_at, near = {}, {}
        if fresh := others.keys() - looked_at.keys():
            self._looked_at += len(fresh)
            if self._looked_at >= 4 * READINGS:
                self._near.clear()
                self._looked_at = len(others)
            weights = ((other, self.weigh(anchor, other, values, others[other])) for other in fresh)
            near = {**near, **{other: bits for other, bits in weights if bits >= self.limits.link}}
            self._near[anchor] = values, others, near
        return near

    def compare(self, one: Anchor, other: Anchor, left: Values, right: Values) -> Profiles:
        """What two observations say of one person, by values of theirs."""
        known = self._compared.get((one, other))
        if known is not None and known[0] is left and known[1] is right:
            return known[2]
        if len(self._compared) >= READINGS:
            self._compared.clear()
        profiles = Profiles.of(self.scorer, left, right, 0.0)
        self._compared[one, other] = left, right, profiles
        return profiles

    def owned(self, values: Values) -> list[Value]:
        """The identifiers among values."""
        return [(name, text) for place, name in self._owned if (text := values[place]) is not None]

    def _postings(self, known: Reading) -> list[Value]:
        if known.single is not None:
            return self.blocks(known.single)
        chosen: Iterator[Values] = product(*(said or (None,) for said in known.said))
        return list(dict.fromkeys(key for values in chosen for key in self.blocks(values)))

    def is_generic(self, kind: str, given: Iterable[str]) -> bool:
        """Whether too many incompatible people use a value of a type: all names that its holders give."""
        distinct = {name for one in given if (name := name_of(one))}
        owned = self._kinds.get(kind, OTHER)
        if len(distinct) <= ROLES[owned].owners:
            return False
        owners: Owners[str] = Owners(Schema((Field(NAME, "name"), Field(kind, owned))))
        for name in distinct:
            owners.add(name, (name, ""))
        return bool(owners.generic)

    def contradicts(self, pattern: Sequence[int | None]) -> bool:
        """Whether names, birthdays or cards have nothing in common, and nothing of a person's own speaks for one.

        How often people give quite another name cannot be learnt from pairs that agree on what a household shares: it
        looks the same as relatives do. So it is left to somebody to decide. A family's name, and one that its children
        have in common, are no more than that; and twins have a birthday in common, but no account.
        """
        levels = [(level, self._last[place]) for place in self._own if (level := pattern[place]) is not None]
        agrees = any(level < min(2, last) for level, last in levels)
        name = None if self._name is None else pattern[self._name]
        if name is not None and name >= self._last[self._name or 0] - 1:
            return not agrees or any(level == last for level, last in levels)
        return not agrees and any(
            pattern[place] == self._last[place] for place in (self._lasting if name is None else self._birthdays)
        )

    def is_name_alone(self, pattern: Sequence[int | None]) -> bool:
        """Whether nothing speaks for one person but a name, and what many people have in common."""
        return all(
            level is None or level == self._last[place]
            for place, level in enumerate(pattern)
            if place not in self._common
        )

    def identified(self, pattern: Sequence[int | None]) -> list[int]:
        """The fields of identifiers that agree, where no name is compared and nothing else of a person's own agrees."""
        if self._name is None or pattern[self._name] is not None:
            return []
        agreeing = [place for place, level in enumerate(pattern) if level == 0]
        shared = [place for place in agreeing if place in self._identifying]
        return [] if any(place in self._own for place in agreeing) and len(agreeing) > 1 else shared

    def is_doubtful(self, left: Values, right: Values) -> bool:
        """Whether two observations' names differ, only one has a name, or nothing else is the same: then the whole
        cluster decides."""
        mine, theirs = self.name(left), self.name(right)
        if mine is None or theirs is None:
            return mine is not theirs
        return not self.alike(mine, theirs) or not any(
            one is not None and one == other
            for place, (one, other) in enumerate(zip(left, right, strict=True))
            if place not in self._common
        )

    def name(self, values: Values) -> str | None:
        """The name among values."""
        return None if self._name is None else values[self._name]

    def alike(self, one: str, other: str) -> bool:
        """Whether two names may be one person's."""
        place = self._name
        return one == other or place is None or self.scorer.levels(place, one, other) < self._last[place]

    def alone(self) -> dict[str, list[tuple[str, float]]]:
        """Of each field how likely two observations are one person that compare so in it alone, in words."""
        nothing: list[int | None] = [None] * len(self.schema)
        return {
            field.name: [
                (how, probability(self.scorer.weight_of([*nothing[:place], level, *nothing[place + 1 :]])))
                for level, how in enumerate(field.comparison.words)
            ]
            for place, field in enumerate(self.schema)
        }

    def words(self, left: Values, right: Values) -> str:
        """How two observations' values compare, in words: `name nearly the same, phone the same`."""
        pattern = self.scorer.pattern(left, right)
        return ", ".join(
            f"{field.name} {field.comparison.words[level]}"
            for field, level in zip(self.schema, pattern, strict=True)
            if level is not None
        )

    def blocks(self, values: Values) -> list[Value]:
        """The blocking keys of values that are no identifier, as digests."""
        return [(BLOCK, blake2b(key.encode(), digest_size=DIGEST).hexdigest()) for key in self._keys(values)]


def _described(attributes: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """Attributes in the forms that comparisons expect."""
    yield NAME, name_of(attributes.get(NAME, ""))
    yield "birthday", _date(attributes.get("birthday", ""))
    yield "street", fold(attributes.get("street", ""))
    yield "province", attributes.get("province")
    yield GENDER, attributes.get(GENDER)


@lru_cache(MEMORY)
def name_of(text: str) -> str | None:
    """A name → its words, folded, a Vietnamese family name first; None where they tell nobody from others."""
    found = names.read(text)
    return " ".join(found.tokens) if found and found.telling else None


@lru_cache(MEMORY)
def _date(text: str) -> str | None:
    """A date in canonical form → eight digits, year first, zeros for what is not known."""
    found = dates.read(text)
    return f"{found.year:04d}{found.month:02d}{found.day:02d}" if found else None

"""Which fields records have, and what each is evidence of.

A *role* says what a field is: how its values compare, whether a household has it in common, whether one person owns a
value. A *schema* is a tuple of fields, each a name and a role; a record's values are a tuple in the same order, in
canonical form, None where there is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from identity.matching import comparisons as by
from identity.matching.comparisons import Comparison


class Role(NamedTuple):
    """What a field is.

    - `shared`: members of a household have it in common.
    - `place`: it says where somebody lives, so it goes along with the other fields that do.
    - `weighed`: agreement on a rare value says more than on a frequent one. Elsewhere only
      placeholders say less: values far more frequent than any other.
    - `worded`: a value is as frequent as its words are together. Most full names are somebody's only one, so to count
      them tells nothing: two records of one person that were not brought together look like two people.
    - `owners`: a value belongs to one person. More people than this whose names are incompatible make it generic
      (`identity.matching.generic`), and how frequent it is counts people. 0 where values are nobody's own.
    - `typical`: the share of the pairs of two clusters that must agree at least so well for the clusters to do so. 0
      where a person may have several values; half of them where there is one; fewer for names, written in many ways.
    """

    comparison: Comparison
    shared: bool = False
    place: bool = False
    weighed: bool = True
    owners: int = 0
    typical: float = 0.0
    worded: bool = False


ROLES: dict[str, Role] = {
    "given": Role(by.NAME_WORD),
    "family": Role(by.NAME_WORD, shared=True),
    "middle": Role(by.INITIAL, weighed=False),
    "name": Role(by.WHOLE_NAME, typical=0.3, worded=True),
    "birth": Role(by.DATE, weighed=False, typical=0.5),
    "house": Role(by.DIGITS, shared=True, place=True),
    "street": Role(by.TEXT, shared=True, place=True),
    "town": Role(by.TEXT, shared=True, place=True),
    "postcode": Role(by.POSTCODE, shared=True, place=True),
    "region": Role(by.CODE, shared=True, place=True),
    "origin": Role(by.CODE, shared=True, place=True),
    "email": Role(by.EMAIL, shared=True, owners=4),
    "phone": Role(by.PHONE, shared=True, owners=4),
    "document": Role(by.DIGITS, weighed=False, typical=0.5),
    "account": Role(by.CODE, owners=3, typical=0.5),
    "card": Role(by.CODE, shared=True, owners=5),
    "device": Role(by.CODE, shared=True, owners=5),
    "sex": Role(by.CODE, weighed=False, typical=0.5),
    "descent": Role(by.CODE, shared=True, weighed=False),
    "category": Role(by.CODE),
    "text": Role(by.TEXT),
    "number": Role(by.DIGITS),
}


@dataclass(frozen=True)
class Field:
    """A field of a record: what it is called, and its role, a key of `ROLES`."""

    name: str
    kind: str

    @property
    def role(self) -> Role:
        """What it is."""
        return ROLES[self.kind]

    @property
    def comparison(self) -> Comparison:
        """How its values compare."""
        return self.role.comparison


@dataclass(frozen=True)
class Schema:
    """The fields of a table or a stream, in the order of a record's values.

    In `profiles` a person is known by many records that each say a part, as in a stream of events; then clusters are
    compared by what all their records say together. Records of a table each stand for a person.
    """

    fields: tuple[Field, ...]
    profiles: bool = False

    def __len__(self) -> int:
        return len(self.fields)

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields)

    def places(self, *kinds: str) -> list[int]:
        """Where the fields of these roles stand."""
        return [place for place, field in enumerate(self.fields) if field.kind in kinds]


# What events of a customer data platform say of people.
CUSTOMERS = Schema(
    (
        Field("name", "name"),
        Field("phone", "phone"),
        Field("email", "email"),
        Field("birthday", "birth"),
        Field("street", "street"),
        Field("province", "region"),
        Field("crm_id", "account"),
        Field("loyalty_card", "card"),
        Field("user_id", "account"),
        Field("anonymous_id", "device"),
        Field("device_id", "device"),
    ),
    profiles=True,
)

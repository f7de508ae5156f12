"""Tests of blocking keys."""

from __future__ import annotations

import pytest

from identity.matching.keys import CUTS, RECIPES, WITHOUT_BIRTH, KeyMaker, keys_of
from identity.matching.schema import CUSTOMERS, ROLES, Field, Schema


@pytest.mark.parametrize("recipe", RECIPES + WITHOUT_BIRTH)
def test_recipes_name_roles_and_cuts_that_exist(recipe: str) -> None:
    """A misspelt recipe would silently bring nobody together."""
    for part in recipe.replace("~", "+").split("+"):
        role, _, cut = part.partition(".")
        assert role in ROLES
        assert not cut or cut in CUTS


def test_every_choice_of_fields_is_a_key() -> None:
    """Two address lines give two keys where one gives one."""
    schema = Schema((Field("given_name", "given"), Field("address_1", "street"), Field("address_2", "street")))

    assert [key.words(schema) for key in keys_of(schema)] == [
        "address_1 and given_name",
        "address_2 and given_name",
    ]


def test_exchanged_names_have_the_same_key() -> None:
    """`Anna Lee` and `Lee Anna` meet."""
    schema = Schema((Field("given", "given"), Field("family", "family")))
    make = KeyMaker(schema, keys_of(schema))

    assert set(make(("anna", "lee"))) & set(make(("lee", "anna")))


def test_nothing_is_made_of_what_is_missing() -> None:
    """A record that says nothing meets nobody."""
    assert KeyMaker(CUSTOMERS, keys_of(CUSTOMERS))((None,) * len(CUSTOMERS)) == []


def test_a_whole_identifier_is_owned_a_part_is_not() -> None:
    """Only what belongs to one person is exempt from crowding."""
    owned = {key.words(CUSTOMERS) for key in keys_of(CUSTOMERS) if key.owned(CUSTOMERS)}

    assert owned == {"email", "phone", "crm_id", "user_id", "loyalty_card", "anonymous_id", "device_id"}

"""Small random worlds for hypothesis: few values, so that they meet often."""

from __future__ import annotations

from hypothesis import strategies as st

from identity.matching.limits import Limits
from identity.matching.model import Model, assumed_model
from identity.matching.records import Values
from identity.matching.schema import Field, Schema

GIVEN = ["lan", "lam", "hung", "binh", "olga", "petra", "zoe", "quynh", "kurt"]
PEOPLE = (
    Field("given", "given"),
    Field("family", "family"),
    Field("birth", "birth"),
    Field("phone", "phone"),
    Field("town", "town"),
)
TABLE, STREAM = Schema(PEOPLE), Schema(PEOPLE, profiles=True)

# So small that every one of them is reached.
TIGHT = Limits(component=4, bucket=3, representatives=2, ceiling=6.0)

people = st.tuples(
    st.none() | st.sampled_from(GIVEN),
    st.none() | st.sampled_from(["nguyen", "tran"]),
    st.none() | st.sampled_from(["19900101", "19900102", "19611231"]),
    st.none() | st.sampled_from(["+84905000001", "+84905000002"]),
    st.none() | st.sampled_from(["hue", "vinh"]),
)
worlds = st.lists(people, max_size=14).map(lambda found: dict(enumerate(found)))


def model_of(schema: Schema) -> Model:
    """A model for a handful of records."""
    return assumed_model(schema, records=12)


def shuffled(records: dict[int, Values]) -> st.SearchStrategy[list[tuple[int, Values]]]:
    """The records in any order."""
    return st.permutations(list(records.items())).map(list)

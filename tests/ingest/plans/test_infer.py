"""A plan that is learnt accepts what it was learnt from, whatever that was; and repeats nothing personal."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.records import encode
from ingest.plans.infer import Inferred, Sample, inferred
from ingest.plans.plan import Plan
from ingest.plans.traffic import trial

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["VND", "USD", "lan@shop.vn", "2026-11-21", "2026-11-21T08:30:00Z", "2026-13-45", "http://x", ""])
    | st.text(max_size=8)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abcd") | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)
SAMPLES = st.lists(
    st.builds(
        Sample,
        st.sampled_from(["track", "page", "screen", "identify", "group"]),
        st.sampled_from(["Order Completed", "x"]),
        st.dictionaries(st.sampled_from("abcde$"), VALUES, max_size=5),
    ),
    max_size=25,
)


def learnt(*said: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The schema that these properties teach."""
    return inferred([Sample("track", "E", one) for one in said], **options).body.events["E"]


@settings(max_examples=50, deadline=None)
@given(SAMPLES, st.booleans())
def test_a_learnt_plan_accepts_what_it_was_learnt_from(samples: list[Sample], strict: bool) -> None:
    """Of every event, whatever its shape; and the plan can be put in force."""
    found = inferred(samples, strict=strict)
    assert sum(found.events.values()) == len(samples)
    assert trial(Plan(found.body), samples).problems == []


@settings(max_examples=30, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), SCALARS, max_size=3), min_size=1, max_size=8))
def test_a_strict_plan_knows_nothing_else(said: list[dict[str, Any]]) -> None:
    """What was never seen breaks it: another event, another property, one that was always there and is missing."""
    found = inferred([Sample("track", "E", one) for one in said], strict=True)
    plan = Plan(found.body)
    assert trial(plan, [Sample("track", "Other", {})]).violating == 1
    assert trial(plan, [Sample("track", "E", said[0] | {"new": 1})]).violating == 1
    for name in set.intersection(*map(set, said)):
        assert trial(plan, [Sample("track", "E", {k: v for k, v in said[0].items() if k != name})]).violating == 1


def test_what_is_always_there_is_required() -> None:
    """Also inside of objects and of the items of lists."""
    schema = learnt(
        {"a": 1, "b": {"c": 1}, "l": [{"x": 1, "y": 1}]}, {"a": 1.5, "b": {"c": 2, "d": 1}, "l": [{"x": None}]}
    )
    assert schema["required"] == ["a", "b", "l"]
    assert schema["properties"]["a"] == {"type": "number"}
    assert schema["properties"]["b"]["required"] == ["c"]
    assert schema["properties"]["l"]["items"]["required"] == ["x"]
    assert schema["properties"]["l"]["items"]["properties"]["x"] == {"type": ["integer", "null"]}


def test_few_values_become_an_enum() -> None:
    """Of values that were seen often enough to mean something; not of few events, nor of many values."""
    often = [{"currency": ["VND", "USD"][number % 2], "sku": f"s{number}"} for number in range(20)]
    properties = learnt(*often)["properties"]
    assert properties["currency"] == {"type": "string", "enum": ["USD", "VND"]}
    assert properties["sku"] == {"type": "string"}
    assert learnt(*often[:4])["properties"]["currency"] == {"type": "string"}


def test_formats_are_learnt_where_all_values_have_one() -> None:
    """One text of another kind, and there is none."""
    said = {
        "at": "2026-11-21T08:30:00Z",
        "day": "2026-11-21",
        "mail": "a@b.vn",
        "page": "https://shop.vn/x",
        "mixed": "2026-11-21",
    }
    properties = learnt(said, said | {"mixed": "soon"})["properties"]
    formats = {name: schema.get("format") for name, schema in properties.items()}
    assert formats == {"at": "date-time", "day": "date", "mail": "email", "page": "uri", "mixed": None}


def test_nothing_personal_gets_into_a_plan() -> None:
    """No name, address or number of a person becomes one of few values, nor a name of a property."""
    said = {
        "name": "lan",
        "who": "Nguyễn Thị Lan",
        "note": "0912 345 678",
        "by": {"lan@shop.vn": 3},
        "card": "4111 1111 1111 1111",
    }
    text = encode(inferred([Sample("identify", "", said)] * 50).body.stored()).decode()
    assert not [one for one in ("lan@", "0912", "Lan", "4111", '"lan"') if one in text]


def test_a_table_of_things_is_no_list_of_properties() -> None:
    """An object with very many properties is described as an object only."""
    found: Inferred = inferred([Sample("track", "E", {"stock": {f"sku-{number}": number for number in range(200)}})])
    assert found.body.events["E"]["properties"]["stock"] == {"type": "object"}

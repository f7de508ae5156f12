"""Random definitions and random lives over a small alphabet, so that they meet often and at the very edges."""

from __future__ import annotations

import json
from typing import Any, get_args

from hypothesis import strategies as st

from cdp.clock import DAY, HOUR
from cdp.traits import Rule, RuleName
from cdp.views import View
from segments.operators import OPERATORS
from segments.testing import Stage

NOW = 1_795_249_800_000

WINDOWS = {"1h": HOUR, "1d": DAY, "30d": 30 * DAY}
EVENT_NAMES = ("Order Completed", "Product Viewed", "Đặt hàng")
TYPES = ("track", "page")
TRAITS = ("country", "age", "tags", "address", "born")
TRAIT_PATHS = (*TRAITS, "address.city", "tags.0", "tags.0.0.city", "address.0", ["address", "a.b"])
PROPERTY_PATHS = ("total", "coupon", "product.sku", "products.0.sku", "products.1", "products.1.0.sku", "0.1", "at")

TEXTS = (
    "VN",
    "",
    "5",
    "true",
    "null",
    "Hà Nội",
    "nội",
    "V",
    '"',
    "\\",
    "2026-11-21",
    "2026-11-21T08:30:00+07:00",
    "\x00",
)
NUMBERS = (0, -1, 5, 5.0, 0.1, 1e20, 9007199254740993, 18446744073709551616, 2.5e-7, -0.0, 1e300, 123456.789)
DATES = (
    "2026-11-21",
    "1999-12-31",
    "2026-11-21T01:30:00Z",
    "2026-02-28T23:59:59.999-05:00",
    "1900-01-01",
    "2299-12-31",
)
NEAR_DATES = (
    "2026-02-29",
    "2026-04-31",
    "2026-13-01",
    "2026-11-21T24:00",
    "2300-01-01",
    "2026-11-21T8:30",
    "21/11/2026",
)

scalars = st.one_of(st.sampled_from(TEXTS), st.sampled_from(NUMBERS), st.booleans())
finite = st.sampled_from(NUMBERS)
values = st.one_of(
    scalars,
    st.none(),
    st.sampled_from(DATES + NEAR_DATES),
    st.lists(scalars, max_size=3),
    st.fixed_dictionaries({}, optional={"city": scalars, "0": scalars, "a.b": scalars}),
)
products = st.fixed_dictionaries({"sku": scalars})
documents = st.fixed_dictionaries(
    {},
    optional={
        "total": st.one_of(finite, values),
        "coupon": values,
        "at": st.sampled_from(DATES + NEAR_DATES),
        "product": st.one_of(values, st.fixed_dictionaries({"sku": scalars})),
        "products": st.one_of(
            values, st.lists(products, max_size=2), st.lists(st.lists(products, max_size=2), max_size=2)
        ),
        "0": st.one_of(values, st.lists(scalars, max_size=2)),
    },
)
traits = st.dictionaries(st.sampled_from(TRAITS), values, max_size=3)

SOURCES = ("web", "pos", "crm")
rules = st.dictionaries(
    st.sampled_from(TRAITS),
    st.builds(
        Rule,
        st.sampled_from(get_args(RuleName)),
        st.lists(st.sampled_from(SOURCES), unique=True, max_size=3).map(tuple),
    ),
)

# What each kind of value is drawn from.
ACCEPTED: dict[str, st.SearchStrategy[Any]] = {
    "a text": st.sampled_from(TEXTS),
    "a number": finite,
    "a text, a number, true or false": scalars,
    "a list of texts, numbers, true and false": st.lists(scalars, min_size=1, max_size=4),
    "a list of two numbers, the smaller first": st.tuples(finite, finite).map(sorted),
    "a date or time (ISO 8601)": st.sampled_from(DATES),
}


@st.composite
def tests(draw: st.DrawFn) -> dict[str, Any]:
    """`is` and `value`, of any operator."""
    operator = OPERATORS[draw(st.sampled_from(sorted(OPERATORS)))]
    test = {"is": operator.name}
    return test if operator.accepts.schema is None else test | {"value": draw(ACCEPTED[operator.accepts.words])}


def bounds(numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """One bound."""
    one = st.sampled_from(("at_least", "at_most", "exactly"))
    pair = st.tuples(numbers, numbers).map(sorted).map(lambda both: {"between": both})
    return st.one_of(st.tuples(one, numbers).map(lambda pair: {pair[0]: pair[1]}), pair)


@st.composite
def event_conditions(draw: st.DrawFn) -> dict[str, Any]:
    """A condition on events."""
    condition: dict[str, Any] = {}
    if draw(st.booleans()):
        condition["type"] = draw(st.sampled_from(TYPES))
    if "type" not in condition or draw(st.booleans()):
        condition["event"] = draw(st.sampled_from(EVENT_NAMES))
    if draw(st.booleans()):
        condition["within"] = draw(st.sampled_from(sorted(WINDOWS)))
    paths = st.sampled_from(PROPERTY_PATHS)
    filters = draw(st.lists(st.tuples(paths, tests()), max_size=2))
    if filters:
        condition["where"] = [{"property": path, **test} for path, test in filters]
    match draw(st.sampled_from(("count", "sum", ""))):
        case "count":
            condition["count"] = draw(bounds(st.integers(0, 3)))
        case "sum":
            amounts = st.sampled_from([number for number in NUMBERS if abs(number) <= 1e18])
            condition["sum"] = {"of": draw(paths), **draw(bounds(amounts))}
    return condition


trait_conditions = st.builds(lambda path, test: {"trait": path, **test}, st.sampled_from(TRAIT_PATHS), tests())
definitions = st.recursive(
    st.one_of(trait_conditions, event_conditions()),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
        inner.map(lambda part: {"not": part}),
    ),
    max_leaves=5,
)

# Moments at the edges of windows, seen from NOW; some lie in the future (a client's clock may say anything).
moments = st.one_of(
    st.sampled_from([NOW - width + edge for width in (0, *WINDOWS.values()) for edge in (-1, 0, 1)]),
    st.integers(NOW - 60 * DAY, NOW + 2 * DAY),
)


@st.composite
def lives(draw: st.DrawFn) -> dict[str, Any]:
    """What somebody did: how many anchors they have, and (anchor, moment, event) in the order of arrival."""
    anchors = draw(st.integers(1, 3))
    happened = st.tuples(
        st.integers(0, anchors - 1),
        moments,
        st.sampled_from(TYPES),
        st.sampled_from(EVENT_NAMES),
        documents,
        traits,
        st.sampled_from(SOURCES),
        st.booleans(),
    )
    return {"anchors": anchors, "events": draw(st.lists(happened, max_size=6))}


def live(stage: Stage, life: dict[str, Any]) -> str:
    """Put a life on the stage; returns the profile."""
    profile_id = stage.person(anchors=life["anchors"])
    anchors = stage.anchors(profile_id)
    for anchor, at, kind, name, properties, stated, source, verified in life["events"]:
        texts = {"properties": json.dumps(properties), "traits": json.dumps(stated)}
        stage.event(anchors[anchor], at, type=kind, name=name, source=source, verified=verified, **texts)
    return profile_id


def doings(people: int) -> st.SearchStrategy[tuple[Any, ...]]:
    """One thing that happens in a world of so many people."""
    who = st.integers(0, people - 1)
    return st.one_of(
        st.tuples(
            st.just("event"), who, moments, st.sampled_from(TYPES), st.sampled_from(EVENT_NAMES), documents, traits
        ),
        st.tuples(st.just("anchor"), who),
        st.tuples(st.just("move"), who, who, st.none() | who),
        st.tuples(st.just("merge"), who, who),
        st.tuples(st.just("wait"), st.sampled_from((1, HOUR - 1, HOUR, DAY, 30 * DAY))),
        st.tuples(
            st.just("define"), st.sampled_from(("one", "two", "three")), definitions, st.sampled_from(get_args(View))
        ),
        st.tuples(st.just("delete"), st.sampled_from(("one", "two", "three"))),
        st.tuples(st.just("restart")),
    )

"""Every operator means the same in SQL and in Python, for every kind of value; a new row is tested by being there."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from cdp.warehouse.base import Warehouse
from segments import moments
from segments.evaluate import read
from segments.expressions import Parameters, call, column, each, is_moment, moment
from segments.operators import OPERATORS, ROWS, Operator
from tests.segments.strategies import ACCEPTED, DATES, NEAR_DATES, NUMBERS, TEXTS

database = settings(
    max_examples=25,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# Texts as a sender may have written them: odd spacing, escapes, and what is no JSON at all.
WRITTEN = (
    *("", "null", " null ", "true", "false", "TRUE", "{", "[", "1e400", "-1e400", "NaN", "Infinity", "01", "1.", "+1"),
    *('"\\u0056N"', ' "VN" ', "5.0", "50e-1", " 5 ", "-0", "18446744073709551615", "18446744073709551616", "1E2"),
    *(
        "-9223372036854775808",
        "-9223372036854775809",
        '"\\ud800"',
        '"\\ud83d\\ude00"',
        '"a\\u0000b"',
        "0.1e-6",
        "5e-324",
    ),
    *('{"a":1,"a":2}', '[1, "VN", true, null, 5.0, [5]]', "[]", "{}", '{"city": "VN"}', '"\t"', "1 2", "//", "'VN'"),
    *(json.dumps(one) for one in (*TEXTS, *NUMBERS, *DATES, *NEAR_DATES)),
)


async def answers(warehouse: Warehouse, operator: Operator, given: Any, texts: list[str]) -> list[bool]:
    """What the SQL says of each text."""
    parameters = Parameters()
    written = parameters.bind("Array(String)", texts)
    raws = call("arrayMap", each("text", call("JSONExtractRaw", column("text"))), written)
    query = exp.select(call("arrayMap", each("raw", operator.sql(column("raw"), given, parameters)), raws))
    [(found,)] = await warehouse.rows(query.sql("clickhouse"), parameters.values)
    return [bool(one) for one in found]


@pytest.mark.parametrize("operator", ROWS, ids=lambda row: row.name)
@database
@given(st.data())
async def test_sql_and_python_agree(warehouse: Warehouse, operator: Operator, data: st.DataObject) -> None:
    """Over a corpus of JSON texts, and random ones, SQL's answer is Python's."""
    value = data.draw(ACCEPTED[operator.accepts.words]) if operator.accepts.schema else None
    given = operator.accepts.read(value, "value") if operator.accepts.schema else ()
    more = st.text() | st.floats(allow_nan=False, allow_infinity=False) | st.integers()
    texts = [*WRITTEN, *map(json.dumps, data.draw(st.lists(more)))]

    expected = [operator.holds(read(text), given) for text in texts]
    found = await answers(warehouse, operator, given, texts)

    assert list(zip(texts, expected, strict=True)) == list(zip(texts, found, strict=True))


@pytest.mark.parametrize("operator", ROWS, ids=lambda row: row.name)
def test_nothing_passes_no_test(operator: Operator) -> None:
    """Missing and null pass no test but `is_not_set`."""
    some = {"a text": "a", "a number": 1, "a date or time (ISO 8601)": "2026-11-21"}
    some |= {"a text, a number, true or false": 1, "a list of texts, numbers, true and false": [1]}
    some |= {"a list of two numbers, the smaller first": [1, 2]}
    given = operator.accepts.read(some[operator.accepts.words], "value") if operator.accepts.schema else ()

    assert operator.holds(None, given) == (operator.name == "is_not_set")


def test_every_row_says_what_it_means() -> None:
    """Names are unique words, meanings are sentences."""
    assert len(OPERATORS) == len(ROWS)
    assert all(row.name.replace("_", "").isalpha() and row.meaning.endswith(".") for row in ROWS)


@database
@given(
    st.datetimes(min_value=datetime.fromisoformat("1900-01-02"), max_value=datetime.fromisoformat("2299-12-30")),
    st.sampled_from(("", "Z", "+07:00", "-11:30", "+14:59")),
    st.sampled_from(("auto", "milliseconds", "seconds", "minutes")),
    st.sampled_from("T "),
)
async def test_moments_are_read_alike(
    warehouse: Warehouse, when: datetime, zone: str, precision: str, separator: str
) -> None:
    """Any date and time of four centuries, in any zone and precision, is the same moment in SQL and in Python."""
    text = when.isoformat(separator, precision) + zone
    parameters = Parameters()
    raw = parameters.bind("String", json.dumps(text))
    query = exp.select(is_moment(raw), moment(raw))

    assert await warehouse.rows(query.sql("clickhouse"), parameters.values) == [(1, moments.read(text))]

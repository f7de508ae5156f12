"""Every operator that a trait or a property can be tested with: one row each.

A row holds both meanings, so that they cannot drift apart: `sql` over the value's JSON text, and `holds` over the value
as Python has it (`tests/segments/test_compile.py` compares them on random input). A value that is missing or null
passes no test but `is_not_set`. JSON's types count: the text "5" is not the number 5. Letters are compared exactly.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlglot import exp
from sqlglot.expressions import Expr

from segments import moments
from segments.check import MOMENT, NOTHING, NUMBER, RANGE, SCALAR, SCALARS, TEXT, Accepts
from segments.expressions import (
    Parameters,
    both,
    call,
    column,
    each,
    either,
    equal,
    is_moment,
    is_number,
    is_set,
    is_text,
    items,
    moment,
    number,
    number_literal,
    opposite,
    text,
)
from segments.nodes import Scalar

Given = Sequence[Scalar]
TYPES = {"text": "String", "number": "Float64", "truth": "Bool", "moment": "Int64"}


class Operator(NamedTuple):
    """A row: its name, what it takes as `value`, what it means in words, in SQL and in Python."""

    name: str
    accepts: Accepts
    meaning: str
    sql: Callable[[Expr, Given, Parameters], Expr]
    holds: Callable[[Any, Given], bool]


def _bound(given: Given, parameters: Parameters) -> list[Expr]:
    return [parameters.bind(TYPES[scalar.kind], scalar.value) for scalar in given]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(value: Any, scalar: Scalar) -> bool:
    match scalar.kind:
        case "text":
            return isinstance(value, str) and value == scalar.value
        case "truth":
            return value is scalar.value
        case _:
            return _is_number(value) and float(value) == scalar.value


def _equals(raw: Expr, scalar: Scalar, parameters: Parameters) -> Expr:
    [given] = _bound([scalar], parameters)
    match scalar.kind:
        case "text":
            return both(is_text(raw), equal(text(raw), given))
        case "truth":
            return equal(raw, call("toString", given))
        case _:
            return both(is_number(raw), equal(number(raw), given))


def _between(value: Expr, low: Expr, high: Expr) -> Expr:
    return exp.Between(this=value, low=low, high=high)


def _one_of(raw: Expr, given: Given, parameters: Parameters) -> Expr:
    kinds: dict[str, list[Any]] = {}
    for scalar in given:
        kinds.setdefault(scalar.kind, []).append(scalar.value)
    parts = [_equals(raw, Scalar("truth", truth), parameters) for truth in kinds.get("truth", [])]
    if texts := kinds.get("text"):
        parts.append(both(is_text(raw), call("has", parameters.bind("Array(String)", texts), text(raw))))
    if numbers := kinds.get("number"):
        parts.append(both(is_number(raw), call("has", parameters.bind("Array(Float64)", numbers), number(raw))))
    return either(*parts)


def _numbers(name: str, meaning: str, sql: type[exp.Binary], holds: Callable[[float, float], bool]) -> Operator:
    return Operator(
        name,
        NUMBER,
        meaning,
        lambda raw, given, parameters: both(
            is_number(raw), sql(this=number(raw), expression=_bound(given, parameters)[0])
        ),
        lambda value, given: _is_number(value) and holds(float(value), float(given[0].value)),
    )


def _texts(name: str, meaning: str, sql: Callable[[Expr, Expr], Expr], holds: Callable[[str, str], bool]) -> Operator:
    return Operator(
        name,
        TEXT,
        meaning,
        lambda raw, given, parameters: both(is_text(raw), sql(text(raw), _bound(given, parameters)[0])),
        lambda value, given: isinstance(value, str) and holds(value, str(given[0].value)),
    )


def _moments(name: str, meaning: str, sql: type[exp.Binary], holds: Callable[[int, int], bool]) -> Operator:
    def compared(raw: Expr, given: Given, parameters: Parameters) -> Expr:
        compared = sql(this=moment(raw), expression=_bound(given, parameters)[0])
        return both(is_moment(raw), call("ifNull", compared, number_literal(0)))

    def hold(value: Any, given: Given) -> bool:
        when = moments.read(value) if isinstance(value, str) else None
        return when is not None and holds(when, int(given[0].value))

    return Operator(name, MOMENT, meaning, compared, hold)


ROWS = (
    Operator(
        "equals",
        SCALAR,
        "Is exactly the value.",
        lambda raw, given, parameters: _equals(raw, given[0], parameters),
        lambda value, given: _same(value, given[0]),
    ),
    Operator(
        "not_equals",
        SCALAR,
        "Is set, and is not the value.",
        lambda raw, given, parameters: both(is_set(raw), opposite(_equals(raw, given[0], parameters))),
        lambda value, given: value is not None and not _same(value, given[0]),
    ),
    Operator(
        "one_of",
        SCALARS,
        "Is exactly one of the values.",
        _one_of,
        lambda value, given: any(_same(value, scalar) for scalar in given),
    ),
    _numbers("greater_than", "Is a number greater than the value.", exp.GT, operator.gt),
    _numbers("less_than", "Is a number less than the value.", exp.LT, operator.lt),
    _numbers("at_least", "Is a number not less than the value.", exp.GTE, operator.ge),
    _numbers("at_most", "Is a number not greater than the value.", exp.LTE, operator.le),
    Operator(
        "between",
        RANGE,
        "Is a number from the first to the second value, both included.",
        lambda raw, given, parameters: both(is_number(raw), _between(number(raw), *_bound(given, parameters))),
        lambda value, given: _is_number(value) and float(given[0].value) <= float(value) <= float(given[1].value),
    ),
    _texts(
        "contains",
        "Is a text that has the value in it.",
        lambda value, given: exp.GT(this=call("position", value, given), expression=number_literal(0)),
        lambda value, given: given in value,
    ),
    _texts(
        "starts_with",
        "Is a text that starts with the value.",
        lambda value, given: call("startsWith", value, given),
        str.startswith,
    ),
    _texts(
        "ends_with",
        "Is a text that ends with the value.",
        lambda value, given: call("endsWith", value, given),
        str.endswith,
    ),
    Operator(
        "includes",
        SCALAR,
        "Is a list with the value among its items.",
        lambda raw, given, parameters: call(
            "arrayExists", each("item", _equals(column("item"), given[0], parameters)), items(raw)
        ),
        lambda value, given: isinstance(value, list) and any(_same(item, given[0]) for item in value),
    ),
    Operator(
        "is_set",
        NOTHING,
        "Is there, and is not null.",
        lambda raw, given, parameters: is_set(raw),
        lambda value, given: value is not None,
    ),
    Operator(
        "is_not_set",
        NOTHING,
        "Is missing, or is null.",
        lambda raw, given, parameters: opposite(is_set(raw)),
        lambda value, given: value is None,
    ),
    _moments("before", "Is a date or time before the value.", exp.LT, operator.lt),
    _moments("after", "Is a date or time after the value.", exp.GT, operator.gt),
)
OPERATORS = {row.name: row for row in ROWS}

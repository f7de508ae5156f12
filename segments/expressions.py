"""The shapes of SQL expression that segments are compiled from: calls, parameters, and readers of JSON text.

Everything is a sqlglot tree. What a definition says enters the tree as a bound parameter and nowhere else.
A JSON value is held as its text as `JSONExtractRaw` writes it: no space around it, '' when it is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlglot import exp
from sqlglot.expressions import Expr

from segments.moments import PATTERN
from segments.nodes import MILLIONTHS, Path, place_in_list

# Amounts beyond nine trillion count as nine trillion: in millionths they just fit 64 bits.
LARGEST_AMOUNT = 9_000_000_000_000


class Parameters:
    """What is bound to a query: `{p0: String}`, `{p1: Float64}` … The same value has one name."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._names: dict[tuple[str, str], str] = {}

    def bind(self, kind: str, value: Any) -> Expr:
        """The place of a value of a ClickHouse type."""
        name = self._names.setdefault((kind, repr(value)), f"p{len(self._names)}")
        self.values[name] = value
        return parameter(name, kind)


def parameter(name: str, kind: str) -> Expr:
    """The place of a parameter."""
    return exp.Placeholder(this=name, kind=_type(kind).copy())


@cache
def _type(kind: str) -> exp.DataType:
    return exp.DataType.build(kind, dialect="clickhouse")


def call(name: str, *arguments: Expr) -> Expr:
    """A function of ClickHouse, by exactly this name."""
    return exp.Anonymous(this=name, expressions=[argument.copy() for argument in arguments])


def column(name: str, table: str | None = None) -> Expr:
    """A column of ours."""
    return exp.column(name, table=table)


def text_literal(text: str) -> Expr:
    """A text of ours (never of a definition)."""
    return exp.Literal.string(text)


def number_literal(number: int) -> Expr:
    """A number of ours (never of a definition)."""
    return exp.Literal.number(number)


def both(*parts: Expr) -> Expr:
    """All of the parts hold; no parts hold always."""
    return exp.and_(*parts, copy=True) if parts else number_literal(1)


def either(*parts: Expr) -> Expr:
    """At least one part holds; no parts never hold."""
    return exp.or_(*parts, copy=True) if parts else number_literal(0)


def opposite(part: Expr) -> Expr:
    """The part does not hold."""
    return exp.not_(part, copy=True)


def equal(left: Expr, right: Expr) -> Expr:
    """Both are the same."""
    return exp.EQ(this=left.copy(), expression=right.copy())


def array(parts: Sequence[Expr]) -> Expr:
    """An array."""
    return exp.Array(expressions=[part.copy() for part in parts])


def each(variable: str, body: Expr) -> Expr:
    """A function of one variable, for ClickHouse's array functions."""
    return exp.Lambda(this=body, expressions=[exp.to_identifier(variable)])


def is_set(raw: Expr) -> Expr:
    """There is a value, and it is not null."""
    return call("notIn", raw, exp.Tuple(expressions=[text_literal(""), text_literal("null")]))


def is_text(raw: Expr) -> Expr:
    """The value is a text."""
    return call("startsWith", raw, text_literal('"'))


def text(raw: Expr) -> Expr:
    """The text that the value is."""
    return call("JSONExtractString", raw)


def is_number(raw: Expr) -> Expr:
    """The value is a number. (An integer of more than 64 bits is written as a text by ClickHouse.)"""
    return call("match", raw, text_literal("^[-0-9]"))


def number(raw: Expr) -> Expr:
    """The number that the value is."""
    return call("JSONExtractFloat", raw)


def is_moment(raw: Expr) -> Expr:
    """The value is a text that looks like a date or time."""
    return both(is_text(raw), call("match", text(raw), text_literal(PATTERN)))


def moment(raw: Expr) -> Expr:
    """The moment that the value is, in milliseconds since the epoch; NULL for a day that no month has."""
    parsed = call("parseDateTime64BestEffortOrNull", text(raw), number_literal(3), text_literal("UTC"))
    return call("toUnixTimestamp64Milli", parsed)


def items(raw: Expr) -> Expr:
    """The values in the list that the value is."""
    return call("JSONExtractArrayRaw", raw)


def millionths(raw: Expr) -> Expr:
    """The number that the value is, rounded to whole millionths; 0 when it is no number."""
    low, high = (call("toFloat64", number_literal(edge)) for edge in (-LARGEST_AMOUNT, LARGEST_AMOUNT))
    bounded = call("least", call("greatest", number(raw), low), high)
    rounded = call("round", exp.Mul(this=bounded, expression=number_literal(MILLIONTHS)))
    return call("if", is_number(raw), call("toInt64", rounded), number_literal(0))


def at_path(document: Expr, path: Path, parameters: Parameters) -> Expr:
    """What lies at the path of a JSON document. Digits are a place in a list (from 0), or a name in an object."""
    digits = [place for place, part in enumerate(path) if place_in_list(part) is not None]
    if not digits:
        return _under(document, path, parameters)
    before, part, rest = path[: digits[-1]], path[digits[-1]], path[digits[-1] + 1 :]
    whole = at_path(document, before, parameters)
    # As the argument of a function it is written once, however many such parts a path has.
    return call("arrayElement", call("arrayMap", _item(part, rest, parameters), array([whole])), number_literal(1))


def _item(part: str, rest: Path, parameters: Parameters) -> Expr:
    whole = column("whole")
    place = parameters.bind("UInt32", (place_in_list(part) or 0) + 1)
    names = [parameters.bind("String", name) for name in rest]
    is_list = call("startsWith", whole, text_literal("["))
    in_list = call("JSONExtractRaw", whole, place, *names)
    return each("whole", call("if", is_list, in_list, _under(whole, (part, *rest), parameters)))


def _under(document: Expr, names: Path, parameters: Parameters) -> Expr:
    return call("JSONExtractRaw", document, *(parameters.bind("String", name) for name in names))

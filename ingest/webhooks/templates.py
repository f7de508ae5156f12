"""Templates of mappings: texts with expressions in them, and objects made of expressions.

    text     "Order {status}"                                 all of it must say something, else there is none
    shape    {"order_id": "id | text", "currency": "'VND'"}   each text is an expression; what says nothing is left out
             {"each": "line_items", "as": {"sku": "sku"}}     one object for each element; `$outer` is around it

A brace is written twice to stand for itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ingest.webhooks.expressions import (
    DEEPEST,
    Expression,
    ExpressionError,
    Scope,
    elements,
    expression,
    says_something,
)
from ingest.webhooks.functions import scalar_text

Text = Callable[[Scope], str | None]
Shape = Expression

PIECE = re.compile(
    r"""(?P<brace>\{\{|\}\}) |
    \{(?P<expression>(?:[^{}'"]|'[^']*'|"[^"]*")*)\} |
    (?P<plain>[^{}]+) |
    (?P<odd>[{}])""",
    re.VERBOSE,
)
EACH = {"each", "as"}
MOST_FIELDS = 500


def pieces(template: str) -> list[str | Expression]:
    """The pieces of a text: plain ones, and expressions. Raises `ExpressionError`."""
    found: list[str | Expression] = []
    for piece in PIECE.finditer(template):
        if piece["odd"]:
            raise ExpressionError(f"A brace without its partner in {template!r}: write it twice if it is meant so.")
        if piece["expression"] is not None:
            found.append(expression(piece["expression"]))
        else:
            found.append(piece["plain"] or piece["brace"][0])
    return found


def text(template: str) -> Text:
    """Read a text. Raises `ExpressionError`."""
    parts = pieces(template)

    def written(scope: Scope) -> str | None:
        said = [part if isinstance(part, str) else scalar_text(part(scope)) for part in parts]
        return "".join(said) if said and all(said) else None

    return written


def shape(template: Any, *, levels: int = DEEPEST) -> Shape:
    """Read a shape. Numbers, truth values and null stand for themselves. Raises `ExpressionError`."""
    if levels <= 0:
        raise ExpressionError(f"A shape may be nested {DEEPEST} levels deep.")
    if isinstance(template, str):
        return expression(template)
    if isinstance(template, list):
        return _listed([shape(one, levels=levels - 1) for one in template])
    if not isinstance(template, dict):
        return lambda scope: template
    if len(template) > MOST_FIELDS:
        raise ExpressionError(f"An object of a shape may have {MOST_FIELDS} fields.")
    if template.keys() == EACH:
        return _repeated(_over(template["each"]), shape(template["as"], levels=levels - 1))
    return _object({name: shape(one, levels=levels - 1) for name, one in template.items()})


def readable(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A validator for models: what is given, if it can be read. Raises `ValueError`, which pydantic gives a path."""

    def check(given: Any) -> Any:
        try:
            read(given)
        except ExpressionError as error:
            raise ValueError(error.message) from None
        return given

    return check


def within(scope: Scope, item: Any) -> Scope:
    """The scope with another item at hand; the one before is `$outer`."""
    return {**scope, "item": item, "outer": scope.get("item")}


def _over(each: Any) -> Expression:
    if not isinstance(each, str):
        raise ExpressionError("`each` of a shape is an expression that leads to a list.")
    return expression(each)


def _repeated(each: Expression, inner: Shape) -> Shape:
    def repeated(scope: Scope) -> list[Any]:
        made = (inner(within(scope, element)) for element in elements(each(scope)))
        return [one for one in made if says_something(one)]

    return repeated


def _object(fields: dict[str, Shape]) -> Shape:
    return lambda scope: {name: value for name, field in fields.items() if says_something(value := field(scope))}


def _listed(members: list[Shape]) -> Shape:
    return lambda scope: [value for member in members if says_something(value := member(scope))]

"""Tests of the path language: what it says, and that nothing anyone writes or sends makes it raise anything else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.webhooks.expressions import ExpressionError, expression
from ingest.webhooks.functions import FUNCTIONS, THREE_DECIMAL, ZERO_DECIMAL, minor
from ingest.webhooks.templates import shape, text

BODY: dict[str, Any] = {
    "email": "",
    "customer": {"email": "Lan@Example.com", "first": "Lan", "last": "Nguyễn", "odd name": 1, "smtp-id": "x"},
    "items": [{"sku": "a", "tags": ["x", "y"]}, {"sku": "b", "tags": []}, {"sku": "c", "price": "12.50"}],
    "form": {"0": {"v": 1}, "1": {"v": 2}},
    "zero": 0,
    "no": False,
    "null": None,
    "amount": 1999,
    "currency": "usd",
    "at": 1795249800,
}
SCOPE = {"item": BODY, "header": {"x-topic": "orders/paid"}}

SAYS = [
    ("customer.email", "Lan@Example.com"),
    ("customer['odd name']", 1),
    ("customer.smtp-id", "x"),
    ("@.zero", 0),
    ("$header.x-topic", "orders/paid"),
    ("$nowhere.x", None),
    ("items[0].sku", "a"),
    ("items[-1].sku", "c"),
    ("items[9].sku", None),
    ("items[*].sku", ["a", "b", "c"]),
    ("items[*].tags[*]", ["x", "y"]),
    ("items[sku='b'].tags", []),
    ("items[sku='z'].tags", None),
    ("form[*].v", [1, 2]),
    ("form[1].v", 2),
    ("email ?? customer.email ?? 'none'", "Lan@Example.com"),
    ("email ?? nothing", None),
    ("zero ?? 5", 0),
    ("no ?? true", False),
    ("(nothing ?? customer).first", "Lan"),
    ("[customer.first, nothing, customer.last] | join(' ')", "Lan Nguyễn"),
    ("customer.email | lower", "lan@example.com"),
    ("email ?? customer.email | lower", "lan@example.com"),
    ("amount | minor(currency)", 19.99),
    ("amount | minor('VND')", 1999),
    ("amount | minor('kwd')", 1.999),
    ("amount | minor(nothing)", None),
    ("amount | minus(999)", 1000),
    ("items[*].price | sum", 12.5),
    ("items[*].price[0]", []),
    ("items | count", 3),
    ("items | first", {"sku": "a", "tags": ["x", "y"]}),
    ("'a, b,,c' | split(',')", ["a", "b", "c"]),
    ("'a_b_c' | split('_') | last", "c"),
    ("'84912345678' | phone", "+84912345678"),
    ("'0912 345 678' | phone", "0912345678"),
    ("at | time", "2026-11-21T08:30:00.000Z"),
    ("'2026-11-21 08:30:00' | time", "2026-11-21 08:30:00"),
    ("'soon' | time", None),
    ("' 12.50 ' | number", 12.5),
    ("'199000.00' | number", 199000),
    ("'1,5' | number", None),
    ("'paid' | map('paid', 'yes', 'void', 'no')", "yes"),
    ("'else' | map('paid', 'yes')", None),
    ("0 | unless(0)", None),
    ("7 | unless(0) | text", "7"),
    ("'{\"a\": [1, 2]}' | json", {"a": [1, 2]}),
    ("('{\"a\": 5}' | json).a", 5),
    ("'{' | json", None),
    ("items | table('sku', 'tags')", {"a": ["x", "y"], "b": []}),
    ("customer | without('email', 'first', 'last')", {"odd name": 1, "smtp-id": "x"}),
    ("'x' | named('key')", {"key": "x"}),
    ("'a' | sha256", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
    ("1.50 | text", "1.5"),
    ("2.0 | text", "2"),
    ("true | text", "true"),
]


@pytest.mark.parametrize(("written", "meant"), SAYS, ids=[written for written, _ in SAYS])
def test_an_expression_says(written: str, meant: Any) -> None:
    """Each form of the language means what its description says."""
    found = expression(written)(SCOPE)
    assert (type(meant), meant) == (type(found), found)


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ("", "it ends"),
        ("a.", "it ends"),
        ("a b", "found `b` at character 3"),
        ("a | nothing", "one of the functions"),
        ("a | minor", "takes 1 arguments, not 0"),
        ("a[", "after `[`"),
        ("a[b=]", "a quoted text or a number"),
        ("(a", "`)`"),
        ("[a", "`,`"),
        ("a ^ b", "`^` at character 3"),
        ("(" * 30 + "a" + ")" * 30, "Nested deeper"),
        ("a" * 1_001, "1000 characters"),
    ],
)
def test_what_is_no_expression_says_where(written: str, where: str) -> None:
    """An error names the place and what was expected there."""
    with pytest.raises(ExpressionError, match=r".*") as caught:
        expression(written)
    assert where in caught.value.message


def test_a_text_needs_all_of_its_parts() -> None:
    """One part that says nothing, and there is no text; a brace is written twice."""
    assert text("Order {currency}: {{{amount}}}")(SCOPE) == "Order usd: {1999}"
    assert text("Order {email}")(SCOPE) is None
    for broken in ("{", "a}", "{a", "{a | }"):
        with pytest.raises(ExpressionError):
            text(broken)


def test_a_shape_leaves_out_what_says_nothing() -> None:
    """Empty fields and elements do not appear; constants stand for themselves; `$outer` is around an element."""
    found = shape(
        {
            "n": 1,
            "yes": True,
            "gone": "nothing",
            "inner": {"gone": "email"},
            "list": ["currency", "email"],
            "each": {"each": "items", "as": {"sku": "sku", "of": "$outer.currency", "price": "price | number"}},
        }
    )(SCOPE)
    assert found == {
        "n": 1,
        "yes": True,
        "list": ["usd"],
        "each": [{"sku": "a", "of": "usd"}, {"sku": "b", "of": "usd"}, {"sku": "c", "of": "usd", "price": 12.5}],
    }


@given(st.integers(-(10**12), 10**12), st.sampled_from(["VND", "JPY", "USD", "EUR", "KWD", "UGX"]))
def test_minor_units_come_back(amount: int, currency: str) -> None:
    """An amount in minor units, times its unit, is the same again."""
    unit = 1 if currency in ZERO_DECIMAL else 1_000 if currency in THREE_DECIMAL else 100
    found = minor(amount, currency)
    assert found is not None
    assert round(found * unit) == amount


# --- nothing else is ever raised ------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(list("abc01")), inner, max_size=4),
    max_leaves=20,
)
NAMES = st.sampled_from(["a", "b", "c", "@", "$body", "$header", "$outer"])
STEPS = st.sampled_from([".a", ".b", "[0]", "[-1]", "[1]", "[*]", "['c']", "[a='x']", "[b=1]"])
PATHS = st.builds(lambda name, steps: name + "".join(steps), NAMES, st.lists(STEPS, max_size=4))
CONSTANTS = st.sampled_from(["'x'", "''", "1", "-2.5", "true", "null", "'{\"a\": 1}'", "'2026-11-21'", "'VND'"])


def _composed(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def call(value: str, name: str, arguments: list[str]) -> str:
        function = FUNCTIONS[name]
        given = (arguments * 2)[: max(function.least, min(function.most, len(arguments)))]
        return f"({value} | {name}({', '.join(given)}))" if given else f"({value} | {name})"

    return (
        st.builds(lambda one, other: f"({one} ?? {other})", inner, inner)
        | st.builds(lambda many: f"[{', '.join(many)}]", st.lists(inner, max_size=3))
        | st.builds(call, inner, st.sampled_from(sorted(FUNCTIONS)), st.lists(inner, min_size=1, max_size=2))
    )


EXPRESSIONS = st.recursive(PATHS | CONSTANTS, _composed, max_leaves=5)


@given(st.text(st.sampled_from(list("ab$@.[]()'\"|?*=, -1{}éộ\n"))) | st.text())
def test_any_text_is_read_or_refused(written: str) -> None:
    """Whatever is written, reading it gives an expression or an ExpressionError."""
    for read in (expression, text, shape):
        try:
            read(written)
        except ExpressionError as error:
            assert error.message


@given(EXPRESSIONS, JSON)
def test_a_good_expression_is_read_and_can_be_asked_of_anything(written: str, body: Any) -> None:
    """What the grammar makes is read; asked of any JSON value it answers with one that JSON can hold."""
    found = expression(written)({"item": body, "body": body, "header": {"a": "b"}})
    msgspec.json.encode(found)
    shape({"a": written, "b": {"each": written, "as": "@"}})({"item": body})
    text("{" + written + "}")({"item": body})

"""Tests of what is wrong with a text passed through: never missed, never seen in text."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cdp.soundness import fits, flaw, measure, misfit

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


@given(values)
def test_fitting_texts_decode(value: Any) -> None:
    """A JSON text that is said to fit is one that a full decoding takes."""
    text = json.dumps(value).encode()
    if fits(text):
        assert msgspec.json.decode(text) is not NotImplemented
        assert misfit(text) is None


@given(
    st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,5})?", fullmatch=True),
    st.sampled_from(['{"a":%s}', '{"a":[%s]}', '{"a":[1,%s ,2]}', '{"a":%s\n}', "%s"]),
)
@example("1e0000000000000400", '{"a":%s}')
@example("1" * 400 + ".5", '{"a":%s}')
@example("1" * 250 + "e99", '{"a":%s}')
def test_no_number_beyond_a_double_fits(number: str, around: str) -> None:
    """However a number is written: if no decoder takes it, its text does not fit, and the path to it is found."""
    text = (around % number).encode()
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        assert not fits(text)
        assert misfit(text) is not None


@settings(max_examples=50)
@given(st.text(max_size=5), st.integers(0, 40))
def test_path_of_a_misfit_leads_to_it(name: str, place: int) -> None:
    """The path names the member and the element."""
    assert f".{name}[{place}]" == misfit(f"{{{json.dumps(name)}:[{'0,' * place}1e999]}}".encode())


def test_text_is_never_a_misfit() -> None:
    """What looks like a number in text is text."""
    for name in ("3e456", "a-3e456 , ", "9" * 250):
        assert misfit(json.dumps({"x": name}).encode()) is None


@given(values)
def test_measure_counts_levels_and_keys(value: Any) -> None:
    """The iterative measure equals a recursive one."""

    def depth(each: Any) -> int:
        inner = each.values() if isinstance(each, dict) else each if isinstance(each, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    def keys(each: Any) -> int:
        if isinstance(each, dict):
            return len(each) + sum(map(keys, each.values()))
        return sum(map(keys, each)) if isinstance(each, list) else 0

    assert (depth(value), keys(value)) == measure(value)


@given(values, st.integers(1, 5))
def test_flaws_of_depth_are_those_that_measure_finds(value: Any, depth: int) -> None:
    """A text is too deep when its value is."""
    found = flaw(json.dumps(value).encode(), depth=depth)
    assert (found is not None and found.code == "too_deep") == (measure(value)[0] > depth)


@given(st.binary(max_size=40))
def test_broken_characters_are_flaws(text: bytes) -> None:
    """A part that is no UTF-8 is kept apart, and nothing else is for its characters."""
    part = b'{"x":"' + text.replace(b'"', b"").replace(b"\\", b"") + b'"}'
    try:
        part.decode()
    except UnicodeDecodeError:
        found = flaw(part, depth=32)
        assert found is not None and found.code == "invalid_utf8"
    else:
        assert (found := flaw(part, depth=32)) is None or found.code != "invalid_utf8"

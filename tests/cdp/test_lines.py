"""Tests of JSON that stays on one line."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from cdp.lines import encode_line

ODD = st.text(alphabet=st.sampled_from('a"\\\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029\u00c2đ'))


@given(st.dictionaries(ODD, ODD | st.lists(ODD) | st.none()))
def test_it_is_one_line_and_says_the_same(value: dict[str, object]) -> None:
    """However a reader splits lines, it is one, and reads back equal."""
    line = encode_line(value).decode()

    assert len(line.splitlines()) == 1
    assert json.loads(line) == value


def test_what_is_passed_through_raw_stays_on_the_line_too() -> None:
    """Bytes that nobody looked at on the way are escaped as well, and their layout is flattened."""
    line = encode_line({"properties": Raw('{\r\n  "note":\n"a\u2028b\\n"}'.encode())})

    assert line == rb'{"properties":{    "note": "a\u2028b\n"}}'

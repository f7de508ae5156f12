"""What the door may cost, counted in instructions, which no noise of the machine reaches."""

from __future__ import annotations

import pytest

from tests.load import instructions
from tests.parts import missing


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_batch_is_read_for_less_than_decoding_it() -> None:
    """Decoding and judging an event takes at most 0.6 of the instructions of `orjson.loads`."""
    if not instructions.is_possible():
        missing("valgrind (Debian: apt-get install valgrind)")
    assert instructions.ratio() <= 0.6

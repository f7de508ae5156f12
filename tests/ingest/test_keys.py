"""Tests of write keys: reading them from headers, rotation, and that strangers fill no memory."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.clock import HOUR
from cdp.errors import ConflictError
from cdp.registry import Registry
from cdp.testing import FrozenClock
from ingest.keys import Sources, WriteKeyError, basic_user, check_unused, rotated
from ingest.testing import ensure_source


@given(st.binary())
def test_any_header_is_read(header: bytes) -> None:
    """What holds no write key is an empty one."""
    assert isinstance(basic_user(header), str)
    assert basic_user(b"Bearer " + header) == ""


@given(
    st.text(alphabet=st.characters(codec="utf-8", exclude_characters=":"), max_size=50),
    st.sampled_from(["", ":", ":x"]),
)
def test_user_of_basic_authorization(user: str, rest: str) -> None:
    """The write key is the user name; the colon may be missing."""
    assert user == basic_user(b"Basic " + base64.b64encode((user + rest).encode()))


@pytest.mark.parametrize("grace", [0, 24])
def test_rotation_keeps_two_keys_at_most(grace: float) -> None:
    """The newest old key works for a while, older ones are gone; without grace all are."""
    body: dict[str, Any] = {"name": "n", "write_keys": [{"key": "a", "created_at": 1}, {"key": "b", "created_at": 2}]}
    changed, fresh = rotated(body, 1_000, grace_hours=grace)

    assert [one["key"] for one in changed["write_keys"]] == (["b", fresh] if grace else [fresh])
    if grace:
        assert changed["write_keys"][0]["expires_at"] == 1_000 + grace * HOUR
    assert changed["name"] == "n"
    again, _ = rotated(changed, 2_000, grace_hours=grace)
    assert len(again["write_keys"]) == (2 if grace else 1)


async def test_unknown_headers_are_not_remembered(registry: Registry, clock: FrozenClock) -> None:
    """Only headers that stand for a write key stay in memory."""
    await ensure_source(registry, "wk_1", "test", clock=clock)
    sources = Sources(registry, clock)
    for number in range(100):
        sources.basic(b"Basic " + base64.b64encode(b"stranger-%d:" % number))
    sources.basic(b"Basic " + base64.b64encode(b"wk_1:"))
    assert len(sources._headers) == 1


async def test_sources_follow_the_registry(registry: Registry, clock: FrozenClock) -> None:
    """What is defined later is known at once; what is deleted is not."""
    sources = Sources(registry, clock)
    with pytest.raises(WriteKeyError):
        sources.of("wk_1")
    await ensure_source(registry, "wk_1", "test", clock=clock)
    assert sources.of("wk_1").key == "default"
    await registry.delete("source", "default")
    assert not sources.knows("wk_1")


async def test_a_write_key_belongs_to_one_source(registry: Registry, clock: FrozenClock) -> None:
    """Taking over another source's key is a conflict; keeping one's own is not."""
    await ensure_source(registry, "wk_1", "test", clock=clock)
    check_unused(registry, ["wk_1"], but="default")
    check_unused(registry, ["wk_2"])
    with pytest.raises(ConflictError):
        check_unused(registry, ["wk_1"], but="other")


async def test_ensuring_a_source_twice_changes_nothing(registry: Registry, clock: FrozenClock) -> None:
    """The first source is made once, and gets each key once."""
    first = await ensure_source(registry, "wk_1", "test", clock=clock)
    assert await ensure_source(registry, "wk_1", "test", clock=clock) == first
    second = await ensure_source(registry, "wk_2", "test", clock=clock)
    assert [one["key"] for one in second.body["write_keys"]] == ["wk_1", "wk_2"]

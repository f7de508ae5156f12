"""Tests of who may call the API."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.auth import ADMIN, AREAS, SCOPES, Caller, UnauthenticatedError, authenticate, digest, new_token
from cdp.clock import HOUR
from cdp.registry import Registry
from cdp.testing import FrozenClock


async def put_token(registry: Registry, key: str, token: str, *, expires_at: int | None = None) -> None:
    """Define a token that may read segments."""
    body = {"name": key, "sha256": digest(token), "scopes": ["segments:read"], "expires_at": expires_at}
    await registry.put("token", key, body)


async def test_a_known_token_names_its_caller(registry: Registry, clock: FrozenClock) -> None:
    """Each token stands for its own key and scopes."""
    for key in ("a", "b", "c"):
        await put_token(registry, key, f"cdp_{key}")

    assert authenticate(registry, "cdp_b", clock.now()) == Caller("b", frozenset({"segments:read"}))


@pytest.mark.parametrize("token", ["", "cdp_x", "cdp_A", "cdp_a ", "ｃdp_a"])
async def test_any_other_token_is_refused(registry: Registry, clock: FrozenClock, token: str) -> None:
    """No token, an unknown one and a near miss get the same words."""
    await put_token(registry, "a", "cdp_a")

    with pytest.raises(UnauthenticatedError, match="A valid bearer token is needed"):
        authenticate(registry, token, clock.now())


async def test_a_token_ends_when_it_expires(registry: Registry, clock: FrozenClock) -> None:
    """It works until the moment it expires, not at it."""
    await put_token(registry, "a", "cdp_a", expires_at=clock.now() + HOUR)

    assert authenticate(registry, "cdp_a", clock.now() + HOUR - 1).key == "a"
    with pytest.raises(UnauthenticatedError):
        authenticate(registry, "cdp_a", clock.now() + HOUR)


async def test_a_deleted_token_is_refused_at_once(registry: Registry, clock: FrozenClock) -> None:
    """Deleting the definition ends the token."""
    await put_token(registry, "a", "cdp_a")
    await registry.delete("token", "a")

    with pytest.raises(UnauthenticatedError):
        authenticate(registry, "cdp_a", clock.now())


@given(scopes=st.frozensets(st.sampled_from(SCOPES)), area=st.sampled_from(AREAS))
def test_writing_includes_reading_and_admin_everything(scopes: frozenset[str], area: str) -> None:
    """A caller may read an area with its read or write scope, write it with its write scope, anything with admin."""
    caller = Caller("a", scopes)

    assert caller.may(f"{area}:write") == bool(scopes & {ADMIN, f"{area}:write"})
    assert caller.may(f"{area}:read") == bool(scopes & {ADMIN, f"{area}:write", f"{area}:read"})
    assert caller.may(ADMIN) == (ADMIN in scopes)


def test_tokens_are_long_and_differ() -> None:
    """A token has 256 random bits and a visible beginning for secret scanners."""
    tokens = {new_token() for _ in range(100)}

    assert len(tokens) == 100
    assert all(token.startswith("cdp_") and len(token) >= 47 for token in tokens)

"""Tests of the first source and the first token."""

from __future__ import annotations

from cdp import bootstrap
from cdp.auth import ADMIN, authenticate
from cdp.credentials import Credentials
from cdp.registry import Registry
from cdp.settings import BootstrapSettings
from cdp.testing import FrozenClock

NOTHING_GIVEN = BootstrapSettings()
GIVEN = BootstrapSettings(write_key="wk_given", admin_token="cdp_given")


async def ensured(registry: Registry, settings: BootstrapSettings, kept: Credentials | None = None) -> Credentials:
    """What a start makes sure of."""
    return await bootstrap.ensure(registry, settings, FrozenClock(), kept or Credentials())


async def test_the_first_start_makes_a_source_and_a_token(registry: Registry, clock: FrozenClock) -> None:
    """With nothing given, a write key and a token that may do everything are made, and work."""
    made = await ensured(registry, NOTHING_GIVEN)

    [key] = registry.get("source", "default").body["write_keys"]
    assert made.write_key == key["key"]
    assert made.write_key.startswith("wk_")
    assert key["created_at"] == clock.now()
    assert authenticate(registry, made.admin_token, clock.now()).scopes == {ADMIN}
    assert made.admin_token not in str(registry.all("token"))


async def test_the_second_start_finds_what_the_first_made(registry: Registry) -> None:
    """Nothing is made twice, and what the folder remembers is told again."""
    first = await ensured(registry, NOTHING_GIVEN)
    sources, tokens = registry.all("source"), registry.all("token")
    second = await ensured(registry, NOTHING_GIVEN, Credentials(admin_token=first.admin_token))

    assert (second.write_key, second.admin_token) == (first.write_key, first.admin_token)
    assert (registry.all("source"), registry.all("token")) == (sources, tokens)


async def test_given_ones_are_honoured_on_every_start(registry: Registry, clock: FrozenClock) -> None:
    """A key and a token given later are added beside what is there, once."""
    first = await ensured(registry, NOTHING_GIVEN)
    for _ in range(2):
        later = await ensured(registry, GIVEN, first)

    assert (later.write_key, later.admin_token) == ("wk_given", "cdp_given")
    keys = [one["key"] for one in registry.get("source", "default").body["write_keys"]]
    assert len(keys) == 2
    assert "wk_given" in keys
    assert len(registry.all("token")) == 2
    assert authenticate(registry, "cdp_given", clock.now()).may("segments:write")


async def test_a_write_key_of_another_source_is_not_added_again(registry: Registry) -> None:
    """A given key that some source has already is left where it is."""
    shop = {"name": "Shop", "write_keys": [{"key": "wk_given", "created_at": 0}], "enabled": True}
    await registry.put("source", "shop", shop)
    await ensured(registry, GIVEN)

    assert [entry.key for entry in registry.all("source")] == ["shop"]


async def test_a_token_nobody_remembers_is_not_invented(registry: Registry) -> None:
    """Where only the hash is kept, the token is told as unknown, not replaced."""
    await ensured(registry, NOTHING_GIVEN)
    later = await ensured(registry, NOTHING_GIVEN, Credentials(admin_token="cdp_of_another_folder"))

    assert later.admin_token == ""
    assert len(registry.all("token")) == 1
    assert "only its hash is kept" in bootstrap.greeting(later)


def test_the_greeting_tells_how_to_begin() -> None:
    """It holds the snippet, a curl that sends and one that reads, with the real key, token and address."""
    text = bootstrap.greeting(Credentials("http://127.0.0.1:8100", "wk_1", "cdp_1"), public_url="https://cdp.shop.vn")

    assert '<script async src="https://cdp.shop.vn/cdp.js" data-write-key="wk_1"></script>' in text
    assert "curl http://127.0.0.1:8100/v1/track -u wk_1:" in text
    assert "curl http://127.0.0.1:8100/api/v1/profiles/user_id:lan -H 'Authorization: Bearer cdp_1'" in text

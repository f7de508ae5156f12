"""Definitions: what is stored, what is shown, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from activation.destinations import (
    DESTINATION,
    SEGMENT,
    SYNC,
    DestinationBody,
    SyncBody,
    syncs,
)
from cdp.errors import ConflictError, InvalidError, MisconfiguredError, NotFoundError
from cdp.service import Platform
from cdp.topics import DEFINITIONS
from cdp.vault import MASK, masked, secrets_in
from tests.activation.house import SECRET, definitions

TOKEN = "Bearer very-secret-token"


def hook(**settings: Any) -> DestinationBody:
    """A webhook destination."""
    return DestinationBody(connector="webhook", settings={"url": "https://shop.example/"} | settings)


def settings_of(platform: Platform, key: str = "hook") -> Any:
    """The settings in the clear."""
    return definitions(platform).destination(key).settings


async def log_text(platform: Platform) -> bytes:
    """All that lies on the definitions topic."""
    reader = await platform.log.reader([DEFINITIONS], start="earliest")
    messages = await reader.read(limit=1000, timeout=1)
    await reader.close()
    return b"".join(message.value for message in messages)


async def test_secrets_are_sealed_on_the_log_and_masked_when_shown(platform: Platform) -> None:
    """No secret stands on the log or in the API's view; the destination has them in the clear."""
    given = hook(secret=SECRET, headers={"authorization": TOKEN})
    entry, made = await definitions(platform).put_destination("hook", given, by="an")
    written = await log_text(platform)

    assert b"very-secret-token" not in written and SECRET.encode() not in written
    assert masked(entry.body["settings"]) == {
        "url": "https://shop.example/",
        "secret": MASK,
        "headers": {"authorization": MASK},
        "batch": 1,
    }
    assert made == {}
    assert sorted(secrets_in(settings_of(platform))) == sorted([SECRET, TOKEN])
    assert SECRET not in repr(definitions(platform).destination("hook"))


async def test_a_secret_that_was_made_is_told_once(platform: Platform) -> None:
    """The first definition makes and tells it; the next one keeps it."""
    _, made = await definitions(platform).put_destination("hook", hook(), by="an")
    _, again = await definitions(platform).put_destination("hook", hook(batch=5), by="an")

    assert made["secret"].startswith("whsec_")
    assert again == {}
    assert settings_of(platform).secret.get_secret_value() == made["secret"]
    assert settings_of(platform).batch == 5


async def test_masks_stand_for_what_is_stored(platform: Platform) -> None:
    """What was read can be written back; a new secret replaces the old one; a header left out is gone."""
    await definitions(platform).put_destination(
        "hook", hook(secret=SECRET, headers={"authorization": TOKEN, "x-a": "1"}), by="an"
    )
    await definitions(platform).put_destination(
        "hook", hook(secret=MASK, headers={"authorization": MASK, "x-b": "2"}), by="an"
    )

    found = settings_of(platform)
    assert found.secret.get_secret_value() == SECRET
    assert {name: value.get_secret_value() for name, value in found.headers.items()} == {
        "authorization": TOKEN,
        "x-b": "2",
    }


async def test_secrets_do_not_follow_to_another_address(platform: Platform) -> None:
    """Who may write but not read cannot have the secrets sent to themselves."""
    await definitions(platform).put_destination("hook", hook(secret=SECRET, headers={"authorization": TOKEN}), by="an")
    moved = hook(url="https://thief.example/", headers={"authorization": MASK})
    _, made = await definitions(platform).put_destination("hook", moved, by="thief")

    assert TOKEN not in secrets_in(settings_of(platform))
    assert made["secret"] != SECRET


async def test_another_key_says_what_to_do(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process with another master key cannot open the secrets, and says why."""
    await definitions(platform).put_destination("hook", hook(secret=SECRET), by="an")
    (platform.settings.data_dir / "master.key").unlink()

    with pytest.raises(MisconfiguredError, match="CDP_VAULT__MASTER_KEY"):
        definitions(platform).destination("hook")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (DestinationBody(connector="carrier-pigeon"), "connector"),
        (hook(url="ftp://shop.example"), "settings.url"),
        (hook(secret="topsecret"), "settings.secret"),
        (hook(colour="red"), "settings.colour"),
        (hook(headers={"authorization": "a\nb"}), "settings.headers"),
        (DestinationBody(connector="kafka", settings={"topic": "vip"}), "settings.bootstrap_servers"),
    ],
)
async def test_unusable_definitions_are_refused(platform: Platform, body: DestinationBody, path: str) -> None:
    """The error leads to the field and does not repeat what was given."""
    with pytest.raises(InvalidError) as error:
        await definitions(platform).put_destination("hook", body, by="an")

    assert error.value.path == path
    assert "topsecret" not in error.value.message
    with pytest.raises(NotFoundError):
        definitions(platform).destination("hook")


async def test_a_connector_is_for_ever(platform: Platform) -> None:
    """Another connector is another destination: what the ledger knows would be false."""
    await definitions(platform).put_destination("hook", hook(), by="an")
    with pytest.raises(ConflictError):
        await definitions(platform).put_destination("hook", DestinationBody(connector="file"), by="an")
    with pytest.raises(InvalidError):
        await definitions(platform).put_destination("catalog", hook(), by="an")


async def test_a_sync_joins_what_exists_once(platform: Platform) -> None:
    """Both ends must exist, and a pair has one sync; a used destination cannot be deleted."""
    defined = definitions(platform)
    with pytest.raises(InvalidError) as error:
        await defined.put_sync("s", SyncBody(segment="vip", destination="hook"), by="an")
    assert error.value.path == SEGMENT
    await platform.registry.put(SEGMENT, "vip", {"name": "VIP"})
    with pytest.raises(InvalidError) as error:
        await defined.put_sync("s", SyncBody(segment="vip", destination="hook"), by="an")
    assert error.value.path == DESTINATION
    await defined.put_destination("hook", hook(), by="an")
    with pytest.raises(InvalidError, match="audience"):
        await defined.put_sync("s", SyncBody(segment="vip", destination="hook", audience={"id": 1}), by="an")

    await defined.put_sync("s", SyncBody(segment="vip", destination="hook"), by="an")
    await defined.put_sync("s", SyncBody(segment="vip", destination="hook"), by="an")
    with pytest.raises(ConflictError):
        await defined.put_sync("t", SyncBody(segment="vip", destination="hook"), by="an")
    with pytest.raises(ConflictError):
        await defined.delete_destination("hook", by="an")
    assert [sync.key for sync in syncs(platform.registry, destination="hook")] == ["s"]

    await platform.registry.delete(SYNC, "s")
    await defined.delete_destination("hook", by="an")
    assert syncs(platform.registry) == []

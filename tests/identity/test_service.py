"""What identity offers: the role resolves events that arrive, under the policy of the settings."""

from __future__ import annotations

import pytest

from cdp.errors import MisconfiguredError
from cdp.records import RawBatch, decode_resolved, encode
from cdp.service import Platform, wings
from cdp.settings import IdentitySettings, Settings
from cdp.streams.base import Draft
from cdp.testing import accepted_event
from cdp.topics import EVENTS_RAW, EVENTS_RESOLVED
from identity.policy import Policy
from identity.service import WING
from tests.waiting import eventually


def test_the_wing_is_found() -> None:
    """The ground finds the wing by its entry point; its group reads events.raw and needs the state."""
    assert WING in wings()
    offer = WING.roles["resolver"]
    assert (offer.needs, offer.reads) == ({"state"}, (EVENTS_RAW,))


async def test_the_role_resolves_what_arrives(platform: Platform) -> None:
    """An event on events.raw comes out on events.resolved, and its offset is committed."""
    role = WING.roles["resolver"].build(platform)
    await role.start()
    batch = RawBatch("web", "trace", platform.clock.now(), [accepted_event({"userId": "lan"})])
    await platform.log.append([Draft(EVENTS_RAW.name, 1, encode(batch), 1, "web")])

    async def committed() -> bool:
        return (await platform.log.committed("resolver", EVENTS_RAW)).get(1) == 1

    await eventually(committed)
    assert role.health().ok
    await role.stop()
    reader = await platform.log.reader([EVENTS_RESOLVED], start="earliest")
    [message] = await reader.read(limit=10, timeout=1)
    await reader.close()
    assert [event.user_id for event in decode_resolved(message.value).events] == ["lan"]


def test_the_policy_is_the_settings() -> None:
    """Limits, sizes and patterns come from the settings; other rules have another fingerprint."""
    settings = IdentitySettings(
        user_ids_per_profile=2, identifiers_per_profile=7, blocked_values=("demo.*",), likely=0.6, sure=0.9, accounts=2
    )
    policy = Policy.of(settings)
    assert (policy.views, policy.accounts) == ((0.6, 0.9), 2)
    assert (policy.limit_of("user_id"), policy.limit_of("email"), policy.limit_of("zalo_id")) == (2, 7, 7)
    assert policy.identifiers.read("user_id", "demo-1") is None
    assert policy.fingerprint == Policy.of(settings).fingerprint != Policy.of(IdentitySettings()).fingerprint


def test_limits_and_priorities_go_by_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each type may have its own; types go by any of their names; one that never joins anybody has no place there."""
    monkeypatch.setenv("CDP_IDENTITY__LIMITS", '{"loyalty_id": 1}')
    monkeypatch.setenv("CDP_IDENTITY__LIMITS_WITHIN__PHONE", "2")
    monkeypatch.setenv("CDP_IDENTITY__PRIORITIES", '["zalo_id", "Phone"]')
    policy = Policy.of(Settings.load().identity)
    assert (policy.limit_of("loyalty_card"), policy.limit_of("email")) == (1, 5)
    assert policy.limits_within == {"phone": 2}
    assert sorted(["user_id", "phone", "facebook_id", "zalo_id"], key=policy.order_of) == [
        *("zalo_id", "phone", "user_id", "facebook_id")
    ]
    for wrong in (IdentitySettings(limits={"gclid": 1}), IdentitySettings(priorities=("anonymous_id",))):
        with pytest.raises(MisconfiguredError, match="joins nobody"):
            Policy.of(wrong)


def test_a_pattern_that_is_none_is_told_at_start() -> None:
    """A wrong regular expression in the settings names the setting."""
    with pytest.raises(MisconfiguredError, match="CDP_IDENTITY__BLOCKED_VALUES"):
        Policy.of(IdentitySettings(blocked_values=("([",)))

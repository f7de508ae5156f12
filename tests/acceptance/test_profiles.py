"""Profiles of the running product: fresh after each event, never older than before, safe from strangers."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.processes import ADMIN_TOKEN, WRITE_KEY, Embedded, events
from tests.waiting import until

SECRET = "a secret of thirty-two characters"
SHOP_KEY = "wk_acceptance_shop"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """The product, with a source that enforces signed identity beside the usual one."""
    folder: Path = tmp_path_factory.mktemp("profiles")
    running = Embedded(folder)
    running.start()
    identity = {"mode": "enforce", "method": "hmac", "secrets": [SECRET]}
    shop = {"key": "shop", "name": "Shop", "identity": identity, "write_keys": [{"key": SHOP_KEY}]}
    answer = running.api("POST", "/api/v1/sources", json=shop)
    assert answer.status_code == 201, answer.text
    yield running
    running.stop()


def send(installation: Embedded, write_key: str, message_id: str, user: str, **event: Any) -> None:
    """An event that is answered 200."""
    body = {"messageId": message_id, "userId": user, **event}
    kind = body.pop("type", "track")
    answer = httpx.post(f"{installation.collector_url}/v1/{kind}", json=body, auth=(write_key, ""), timeout=30)
    assert answer.status_code == 200, answer.text


def wait_stored(installation: Embedded, message_id: str) -> None:
    """Wait until the event is among the stored ones."""
    until(lambda: list(events(installation, message_id=message_id)))


def profile(installation: Embedded, user: str) -> dict[str, Any]:
    """The profile, or nothing yet."""
    answer = installation.api("GET", f"/api/v1/profiles/user_id:{user}")
    found: dict[str, Any] = answer.json() if answer.status_code == 200 else {"event_count": 0}
    return found


def proof(user: str, **identifiers: str) -> dict[str, str]:
    """What the shop's server signs."""
    texts = {"signature": user} | {name: f"{user}\n{name}\n{value}" for name, value in identifiers.items()}
    return {name: hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest() for name, text in texts.items()}


def test_a_profile_is_fresh_after_each_event_and_never_goes_back(installation: Embedded) -> None:
    """Once an event is among the stored ones, the profile has it; who asks meanwhile never sees less than before."""
    seen: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        with httpx.Client(base_url=installation.api_url, headers=headers, timeout=30) as client:
            while not ended.is_set():
                seen.append(client.get("/api/v1/profiles/user_id:lan").json().get("event_count", 0))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        for n in range(1, 13):
            order = {"order_id": f"DH-{n}", "total": 1_000, "currency": "VND"}
            traits = {"email": "lan@example.com", "round": n}
            context = {"traits": traits}
            send(installation, WRITE_KEY, f"m-{n}", "lan", event="Order Completed", properties=order, context=context)
            wait_stored(installation, f"m-{n}")
            found = profile(installation, "lan")
            assert (found["event_count"], found["traits"]["round"]) == (n, n)
            assert found["computed"]["revenue"] == {"VND": 1_000 * n}
    finally:
        ended.set()
        watching.join()
    assert seen == sorted(seen)
    assert seen[-1] == 12


def test_an_unsigned_event_never_changes_what_was_proven(installation: Embedded) -> None:
    """Where signatures are enforced it is set aside; from elsewhere it adds, and overrides nothing (guarantee 7)."""
    traits = {"email": "hung@example.com", "name": "Lê Hùng", "birthday": "1990-02-01"}
    signed = {"identity": proof("hung", email="hung@example.com")}
    send(installation, SHOP_KEY, "s-1", "hung", type="identify", traits=traits, context=signed)
    send(installation, SHOP_KEY, "s-2", "hung", type="identify", traits={"name": "Mallory"})
    stranger = {"name": "Mallory", "birthday": "2000-01-01", "nickname": "M"}
    send(installation, WRITE_KEY, "s-3", "hung", type="identify", traits=stranger)
    found = until(lambda: (one := profile(installation, "hung"))["event_count"] == 2 and one)

    assert found["traits"] == traits | {"nickname": "M"}
    assert found["provenance"]["name"] | {"source": "shop", "verified": True} == found["provenance"]["name"]
    assert not found["provenance"]["nickname"]["verified"]
    aside = installation.api("GET", "/api/v1/quarantine", params={"source": "shop"}).json()["items"]
    assert [one["code"] for one in aside] == ["unsigned_identity"]


def test_a_rule_that_is_set_counts_at_once_in_the_profile_and_in_segments(installation: Embedded) -> None:
    """The value that counts, and who is in the segment that asks for it, follow the rule and its withdrawal."""
    for n, city in enumerate(("Huế", "Huế", "Vinh")):
        send(installation, WRITE_KEY, f"r-{n}", "my", type="identify", traits={"city": city})
        wait_stored(installation, f"r-{n}")
    people = {"name": "Huế", "conditions": {"trait": "city", "is": "equals", "value": "Huế"}}
    installation.api("PUT", "/api/v1/segments/hue", json=people)
    until(lambda: installation.api("GET", "/api/v1/segments/hue").json()["ready"])
    assert (profile(installation, "my")["traits"], profile(installation, "my")["segments"]) == ({"city": "Vinh"}, [])
    installation.api("PUT", "/api/v1/traits/city", json={"rule": "most_frequent"})
    assert profile(installation, "my")["traits"] == {"city": "Huế"}
    until(lambda: profile(installation, "my")["segments"] == ["hue"])
    installation.api("DELETE", "/api/v1/traits/city")
    assert profile(installation, "my")["traits"] == {"city": "Vinh"}
    until(lambda: profile(installation, "my")["segments"] == [])

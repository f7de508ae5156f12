"""Tests of the routes of API tokens."""

from __future__ import annotations

from typing import Any

import pytest

from cdp.clock import to_text
from cdp.service import Platform
from tests.cdp.apps import TOKEN, add_token, api

DRAFT = {"name": "Báo cáo", "scopes": ["segments:read", "profiles:read"]}


async def test_a_token_is_shown_once_and_works(platform: Platform) -> None:
    """The secret is in the answer that makes it, in no other, and is not kept; the token may do what its scopes say."""
    async with api(platform) as http:
        made = await http.post("/api/v1/keys", json=DRAFT)
        token = made.json()["token"]
        listed = await http.get("/api/v1/keys")
        one = await http.get(f"/api/v1/keys/{made.json()['key']}")
        allowed = await http.get("/api/v1/keys", headers={"Authorization": f"Bearer {token}"})

    assert made.status_code == 201
    assert made.json()["scopes"] == sorted(DRAFT["scopes"])
    assert made.json()["created_at"] == to_text(platform.clock.now())
    assert token not in listed.text + one.text + str(platform.registry.all("token"))
    assert "sha256" not in listed.text + one.text + made.text
    assert allowed.status_code == 403
    assert one.json() in listed.json()["items"]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": ["segments:read", "segments:fly"]}, "scopes[1]"),
        ({"name": ""}, "name"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"surprise": 1}, "surprise"),
    ],
)
async def test_a_wrong_draft_is_refused_with_its_path(platform: Platform, change: dict[str, Any], path: str) -> None:
    """Nothing is made, and the path leads to the fault."""
    async with api(platform) as http:
        answer = await http.post("/api/v1/keys", json=DRAFT | change)

    assert (answer.status_code, answer.json()["error"]["path"]) == (400, path)
    assert len(platform.registry.all("token")) == 1


async def test_nobody_hands_out_more_than_they_have(platform: Platform) -> None:
    """A token that manages tokens can neither make, change nor delete one that may do more."""
    await add_token(platform, "cdp_clerk", "keys:write", "segments:read")
    clerk = {"Authorization": "Bearer cdp_clerk"}
    async with api(platform) as http:
        more = await http.post("/api/v1/keys", json=DRAFT | {"scopes": ["admin"]}, headers=clerk)
        same = await http.post("/api/v1/keys", json=DRAFT | {"scopes": ["segments:read"]}, headers=clerk)
        [admin] = [entry.key for entry in platform.registry.all("token") if "admin" in entry.body["scopes"]]
        deleted = await http.delete(f"/api/v1/keys/{admin}", headers=clerk)
        changed = await http.put(f"/api/v1/keys/{admin}", json=DRAFT | {"scopes": ["segments:read"]}, headers=clerk)

    assert [one.status_code for one in (more, same, deleted, changed)] == [403, 201, 403, 403]


async def test_the_last_admin_stays(platform: Platform) -> None:
    """The only lasting token that may do everything can be neither deleted nor weakened; with another one it can."""
    async with api(platform) as http:
        [admin] = platform.registry.all("token")
        deleted = await http.delete(f"/api/v1/keys/{admin.key}")
        weakened = await http.put(f"/api/v1/keys/{admin.key}", json=DRAFT)
        ending = {"name": "x", "scopes": ["admin"], "expires_at": "2030-01-01T00:00:00Z"}
        limited = await http.put(f"/api/v1/keys/{admin.key}", json=ending)
        await http.post("/api/v1/keys", json={"name": "other", "scopes": ["admin"]})
        at_last = await http.delete(f"/api/v1/keys/{admin.key}")

    assert [one.status_code for one in (deleted, weakened, limited, at_last)] == [409, 409, 409, 204]


async def test_changing_a_token_keeps_its_secret(platform: Platform) -> None:
    """Name, scopes and expiry change; the token goes on working until it expires."""
    async with api(platform) as http:
        made = (await http.post("/api/v1/keys", json=DRAFT | {"scopes": ["keys:read"]})).json()
        change = {"name": "Khác", "scopes": ["keys:read"], "expires_at": "2026-11-21T09:00:00Z"}
        changed = await http.put(f"/api/v1/keys/{made['key']}", json=change)
        bearer = {"Authorization": f"Bearer {made['token']}"}
        before = await http.get("/api/v1/keys", headers=bearer)
        platform.clock.advance(30 * 60_000)  # type: ignore[attr-defined]
        after = await http.get("/api/v1/keys", headers=bearer)

    assert (changed.json()["name"], changed.json()["expires_at"]) == ("Khác", "2026-11-21T09:00:00.000Z")
    assert (before.status_code, after.status_code) == (200, 401)


async def test_pages_hold_every_token_once(platform: Platform) -> None:
    """Following `next` visits all tokens in order, however small the pages."""
    async with api(platform) as http:
        for number in range(5):
            await http.post("/api/v1/keys", json=DRAFT | {"name": str(number)})
        seen: list[str] = []
        after: str | None = ""
        while after is not None:
            page = (await http.get("/api/v1/keys", params={"limit": 2, "after": after})).json()
            seen += [item["key"] for item in page["items"]]
            after = page["next"]

    assert seen == [entry.key for entry in platform.registry.all("token")]


async def test_an_unknown_token_is_not_found(platform: Platform) -> None:
    """Reading, changing and deleting what does not exist is a 404."""
    async with api(platform) as http:
        answers = [
            await http.get("/api/v1/keys/nobody"),
            await http.put("/api/v1/keys/nobody", json=DRAFT),
            await http.delete("/api/v1/keys/nobody"),
        ]

    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert TOKEN not in str(answers)

"""`cdp identity model` and `learn` for people: what models did is told in a line each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import APIRouter

from cdp import wiring
from cdp.service import Wing
from cdp.settings import Settings
from cdp.wiring import running
from tests.cdp.test_cli import Cli, cli

__all__ = ["cli"]

JUDGED: dict[str, Any] = {
    "version": 1,
    "at": "2026-11-21T08:30:00.000Z",
    "observations": 2012,
    "sample": 2012,
    "people_before": 1116,
    "people_after": 1142,
    "merged": 30,
    "split": 50,
    "largest_before": 8,
    "largest_after": 9,
    "generic": 65,
    "pairs_expected": 1344,
    "pairs_joined": 1221,
    "reasons": [],
}
MODEL: dict[str, Any] = {
    "by": "evidence",
    "status": "ready",
    "version": 1,
    "adopted": JUDGED,
    "refused": JUDGED | {"version": 0, "people_after": 0, "reasons": ["it has seen nobody twice"]},
    "fields": {"phone": [{"how": "the same", "probability": 0.97}]},
}


@pytest.fixture
async def service(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The API with a stand-in for the wing that learns."""
    router = APIRouter(prefix="/api/v1/identity")

    @router.get("/model")
    async def show() -> dict[str, Any]:
        return MODEL

    @router.post("/model")
    async def learn(force: bool = False) -> dict[str, Any]:
        return MODEL | {"status": f"asked by force: {force}", "refused": None, "fields": {}}

    monkeypatch.setattr(wiring, "wings", lambda: [Wing("identity", {}, router)])
    monkeypatch.setenv("CDP_DATA_DIR", str(settings.data_dir))
    anywhere = settings.model_copy(update={"http": settings.http.model_copy(update={"port": 0})})
    async with running(anywhere, ["api"], say=lambda _: None):
        yield


async def test_a_model_is_shown_with_what_it_did_and_what_was_refused(service: None, cli: Cli) -> None:
    """What was learnt, the people before and after in words, why another was refused; JSON as the API says it."""
    people, machines = await cli("identity", "model"), await cli("identity", "model", "--json")
    lines = {line.split()[0]: line for line in people.out.splitlines() if line.strip()}
    adopted, refused = lines["adopted"], lines["refused"]

    assert "1,116 people in 2,012 of 2,012 observations become 1,142" in adopted
    assert "30 of these were several, 50 of those fall into several" in adopted
    assert "largest says 9 things, was 8" in adopted and "but" not in adopted
    assert refused.endswith("1,116 people in 2,012 of 2,012 observations; but it has seen nobody twice")
    assert ["phone", "the", "same", "0.97"] in [line.split() for line in people.out.splitlines()]
    assert machines.json() == MODEL


async def test_a_model_is_asked_for_by_force(service: None, cli: Cli) -> None:
    """`--force` reaches the service, and only then."""
    assert "asked by force: True" in (await cli("identity", "learn", "--force")).out
    assert (await cli("identity", "learn", "--json")).json()["status"] == "asked by force: False"

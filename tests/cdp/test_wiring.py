"""Tests of how the parts are opened, the roles run, and everything stopped."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.exceptions import RedisError

from cdp import wiring
from cdp.enrichers import Enrichers
from cdp.errors import MisconfiguredError, TransientError
from cdp.service import Health, Offer, Platform, Receive, Scope, Send, Wing
from cdp.settings import Settings
from cdp.state import EmbeddedValkey
from cdp.wiring import (
    LockedError,
    accompanied,
    borrows_state,
    locked,
    needs,
    needs_lock,
    offers,
    opened,
    patiently,
    prepare_folder,
    running,
)
from tests.cdp.test_http import answering

STATE, WAREHOUSE, BOTH = frozenset({"state"}), frozenset({"warehouse"}), frozenset({"state", "warehouse"})


class Recorder:
    """A role that writes down what is done with it."""

    def __init__(self, name: str, book: list[str]) -> None:
        self.name = name
        self._book = book

    async def start(self) -> None:
        """Write it down."""
        self._book.append(f"+{self.name}")

    async def stop(self) -> None:
        """Write it down."""
        self._book.append(f"-{self.name}")
        if self.name == "loader":
            raise RuntimeError("stopped badly")

    def health(self) -> Health:
        """Well."""
        return Health(True)


class Door(Recorder):
    """A gateway for /v1."""

    def claims(self, path: str, query: bytes = b"") -> bool:
        """Whether it is below /v1."""
        return path.startswith("/v1/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        await answering("collected")(scope, receive, send)


@pytest.fixture
def book(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two small wings in place of the real ones; what is done with their roles, in order."""
    written: list[str] = []
    roles = {name: Offer(lambda _, name=name: Recorder(name, written), BOTH) for name in ("loader", "resolver")}
    found = [
        Wing("identity", {**roles, "extra": Offer(lambda _: Recorder("extra", written))}),
        Wing("ingest", {"collector": Offer(lambda _: Door("collector", written), borrows=STATE)}),
    ]
    monkeypatch.setattr(wiring, "wings", lambda: found)
    monkeypatch.setattr(wiring, "LOADER", roles["loader"])
    return written


def silent(_: str) -> None:
    """Say nothing."""


def test_roles_are_in_the_order_of_the_walk(book: list[str]) -> None:
    """Whatever order the wings come in; a role the walk does not know comes last."""
    assert list(offers(wiring.wings())) == ["collector", "resolver", "loader", "extra"]
    assert wiring.role_names() == ["collector", "resolver", "loader", "extra", "api"]


def test_a_role_beside_another_runs_where_that_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be chosen alone, and nobody has to name it."""
    known = {"a": Offer(lambda _: Recorder("a", [])), "b": Offer(lambda _: Recorder("b", []), beside="api")}
    monkeypatch.setattr(wiring, "wings", lambda: [Wing("ingest", known)])

    assert wiring.role_names() == ["loader", "a", "api"]
    assert accompanied(["api"], known) == ["api", "b"]
    assert accompanied(["a"], known) == ["a"]


def test_parts_follow_from_roles(book: list[str]) -> None:
    """Only what the chosen roles need is opened; an unknown role is told with those there are."""
    known = offers(wiring.wings())

    assert needs(["collector"], known) == frozenset()
    assert needs(["collector", "resolver"], known) == BOTH
    assert needs(["api"], known) == BOTH
    with pytest.raises(MisconfiguredError, match=r"no role 'dreamer'; choose among collector, resolver"):
        needs(["dreamer"], known)


@pytest.mark.parametrize(
    ("url", "names", "lent"),
    [
        ("redis://h", ["collector"], True),
        ("redis://h", ["collector", "extra"], True),
        ("redis://h", ["extra"], False),
        ("redis://h", ["collector", "resolver"], False),
        ("redis://h", ["collector", "api"], False),
        ("embedded:", ["collector"], False),
    ],
)
def test_a_state_that_is_only_lent_is_a_server(url: str, names: list[str], *, lent: bool, book: list[str]) -> None:
    """Nobody starts a Valkey for a role that can do without; where one is open for others it is just used."""
    assert borrows_state(names, offers(wiring.wings()), Settings(state={"url": url})) == lent


@pytest.mark.parametrize(
    ("state", "warehouse", "wanted", "locks"),
    [
        ("embedded:", "chdb:", BOTH, True),
        ("embedded:", "clickhouse://h/d", BOTH, True),
        ("redis://h", "chdb:///x", BOTH, True),
        ("redis://h", "clickhouse://h/d", BOTH, False),
        ("embedded:", "chdb:", frozenset(), False),
        ("embedded:", "clickhouse://h/d", WAREHOUSE, False),
        ("redis://h", "chdb:", STATE, False),
    ],
)
def test_only_embedded_parts_need_the_folder_for_themselves(
    state: str, warehouse: str, wanted: frozenset[str], locks: bool
) -> None:
    """A lone collector on the embedded log, or roles on servers, share the folder."""
    assert needs_lock(Settings(state={"url": state}, warehouse={"dsn": warehouse}), wanted) == locks


def test_the_folder_is_its_owners(tmp_path: Path) -> None:
    """It is made with its parents, closed to others; one that cannot be is told."""
    folder = tmp_path / "a" / "b"
    prepare_folder(folder)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (tmp_path / "file").write_text("")
    with pytest.raises(MisconfiguredError, match="CDP_DATA_DIR"):
        prepare_folder(tmp_path / "file" / "below")


def test_a_folder_has_one_owner_until_that_is_killed(tmp_path: Path) -> None:
    """The second is told who is the first; kill -9 of the first frees the folder at once."""
    code = f"""
import sys
from pathlib import Path
from cdp.wiring import locked
with locked(Path({str(tmp_path)!r})):
    print("mine", flush=True)
    sys.stdin.read()
"""
    first = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with first:
        assert first.stdout
        assert first.stdout.readline() == "mine\n"
        with pytest.raises(LockedError, match=rf"process {first.pid}.*CDP_DATA_DIR"), locked(tmp_path):
            pass
        first.kill()
    with locked(tmp_path):
        assert (tmp_path / "lock").read_text() == str(os.getpid())
    with locked(tmp_path):
        pass


class Shy:
    """A part that opens at some try."""

    def __init__(self, book: list[str], comes_at: int) -> None:
        book.append("made")
        self._book = book
        self._comes = book.count("made") >= comes_at

    async def open(self) -> str:
        """Come, or not."""
        if not self._comes:
            raise TransientError("It is not up yet.", retry_after=0.01)
        return "opened"

    async def close(self) -> None:
        """Let go."""
        self._book.append("closed")


async def test_a_part_that_is_not_up_yet_is_waited_for() -> None:
    """Each failed try is closed and told in a line; then it goes on as if nothing had been."""
    said: list[str] = []
    tries: list[str] = []

    def attempt() -> tuple[Shy, Awaitable[str]]:
        shy = Shy(tries, comes_at=3)
        return shy, shy.open()

    _, answer = await patiently("state", attempt, say=said.append, patience=5)

    assert answer == "opened"
    assert tries == ["made", "closed", "made", "closed", "made"]
    assert said == ["Waiting for the state: It is not up yet."] * 2


async def test_patience_ends() -> None:
    """Then the part's own sentence is raised."""

    def attempt() -> tuple[Shy, Awaitable[str]]:
        shy = Shy([], comes_at=3)
        return shy, shy.open()

    with pytest.raises(TransientError, match="It is not up yet"):
        await patiently("state", attempt, say=silent, patience=0.03)


async def test_only_what_is_wanted_is_open(settings: Settings) -> None:
    """A platform for the log alone has neither state nor warehouse, and two processes could share the folder."""
    async with opened(settings, frozenset(), say=silent) as platform:
        assert platform.parts == frozenset()
        assert platform.registry.all("source") == []
        with locked(settings.data_dir):
            pass


async def test_a_lent_state_is_not_waited_for(settings: Settings, state_server: EmbeddedValkey) -> None:
    """It may be away at the start, and that makes nothing unready; once it is there, it answers."""
    away = settings.model_copy(update={"state": settings.state.model_copy(update={"url": "redis://127.0.0.1:1"})})
    async with opened(away, frozenset(), lends_state=True, say=silent) as platform:
        assert platform.parts == frozenset()
        assert platform.lent_state is not None
        with pytest.raises(RedisError):
            await platform.lent_state.ping()
    there = settings.state.model_copy(update={"url": f"unix://{state_server.socket}"})
    async with opened(settings.model_copy(update={"state": there}), frozenset(), lends_state=True) as platform:
        assert platform.lent_state is not None
        assert await platform.lent_state.ping()


async def test_what_a_process_has_anyway_is_lent(platform: Platform) -> None:
    """Beside roles that need the state there is one client for all."""
    assert platform.lent_state is platform.state


async def test_a_second_product_on_the_folder_is_refused(settings: Settings) -> None:
    """While the embedded parts are open nobody else may open them."""
    async with opened(settings, STATE, say=silent):
        with pytest.raises(LockedError):
            async with opened(settings, STATE, say=silent):
                pass


@pytest.fixture
def anywhere(settings: Settings) -> Settings:
    """The settings, on a free port."""
    return settings.model_copy(update={"http": settings.http.model_copy(update={"port": 0})})


async def test_roles_start_from_the_end_of_the_walk_and_stop_from_its_beginning(
    anywhere: Settings, book: list[str]
) -> None:
    """So nobody sends to one who is not there; a role that stops badly stops no other."""
    async with running(anywhere, ["collector", "resolver", "loader", "api"], say=silent) as service:
        assert book == ["+loader", "+resolver", "+collector"]
        async with httpx.AsyncClient(base_url=service.credentials.url) as http:
            assert (await http.post("/v1/track")).text == "collected"
            assert (await http.get("/readyz")).status_code == 200
            token = {"Authorization": f"Bearer {service.credentials.admin_token}"}
            roles = (await http.get("/api/v1/status", headers=token)).json()["roles"]
    assert [role["name"] for role in roles] == ["collector", "resolver", "loader"]
    assert book[3:] == ["-collector", "-resolver", "-loader"]


async def test_every_wings_enrichers_are_there_for_roles(
    anywhere: Settings, book: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role that is built finds what the wings add to events, whichever wing it is of."""
    found: list[Any] = []

    def build(platform: Platform) -> Recorder:
        found.extend(platform.enrichers)
        return Recorder("resolver", book)

    first: Any = Enrichers()
    second: Any = Enrichers()
    wings = [
        Wing("identity", {"resolver": Offer(build)}, enricher=lambda _: second),
        Wing("ingest", enricher=lambda _: first),
    ]
    monkeypatch.setattr(wiring, "wings", lambda: wings)
    async with running(anywhere, ["resolver"], say=silent):
        assert found == [second, first]


async def test_a_lone_gateway_serves_its_paths_and_orchestrators(anywhere: Settings, book: list[str]) -> None:
    """It has no API; a key that nobody gave is not made up."""
    async with running(anywhere, ["collector"], say=silent) as service:
        assert service.credentials.write_key == ""
        assert service.platform.registry.all("source") == []
        async with httpx.AsyncClient(base_url=service.credentials.url) as http:
            assert (await http.get("/readyz")).status_code == 200
            assert (await http.get("/api/v1/status")).status_code == 404


async def test_a_background_role_serves_orchestrators_where_told(anywhere: Settings, book: list[str]) -> None:
    """Without `telemetry.port` it listens nowhere; with it, on that port."""
    async with running(anywhere, ["extra"], say=silent) as service:
        assert service.credentials.url == ""
    told = anywhere.model_copy(update={"telemetry": anywhere.telemetry.model_copy(update={"port": 0})})
    async with running(told, ["extra"], say=silent) as service, httpx.AsyncClient() as http:
        health = await http.get(f"{service.credentials.url}/healthz")
        assert health.json()["roles"][0]["name"] == "extra"
        assert (await http.get(f"{service.credentials.url}/metrics")).status_code == 200


async def test_a_role_that_does_not_start_takes_the_others_down(
    anywhere: Settings, book: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error is the service's, and what had started is stopped."""

    async def fail(_: Any) -> None:
        raise MisconfiguredError("No.")

    monkeypatch.setattr(Door, "start", fail)
    with pytest.raises(MisconfiguredError):
        async with running(anywhere, ["collector", "resolver"], say=silent):
            pass
    assert book == ["+resolver", "-collector", "-resolver"]


async def test_the_second_start_finds_everything(anywhere: Settings, book: list[str]) -> None:
    """Key and token are the same after a restart."""
    seen = set()
    for _ in range(2):
        async with running(anywhere, ["api"], say=silent) as service:
            seen.add((service.credentials.write_key, service.credentials.admin_token))
            assert isinstance(service.platform, Platform)
    assert len(seen) == 1


async def test_a_cancelled_service_stops_in_order(anywhere: Settings, book: list[str]) -> None:
    """Ctrl-C is a cancellation: roles are stopped, and the folder is free again."""

    async def serve() -> None:
        async with running(anywhere, ["resolver", "api"], say=silent):
            started.set()
            await asyncio.Event().wait()

    started = asyncio.Event()
    task = asyncio.create_task(serve())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert book == ["+resolver", "-resolver"]
    with locked(anywhere.data_dir):
        pass

"""Tests of the command line: against a running service, and without one."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fastapi import APIRouter

from cdp import credentials, wiring
from cdp.cli.commands import run
from cdp.cli.output import field, text_of
from cdp.cli.tail import rendered
from cdp.credentials import Credentials
from cdp.records import RawBatch, encode
from cdp.service import Wing
from cdp.settings import Settings
from cdp.streams.base import Draft
from cdp.topics import EVENTS_RAW
from cdp.wiring import Service, running
from tests.waiting import eventually


class Said(NamedTuple):
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


Cli = Callable[..., Awaitable[Said]]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs `cdp` with the words given, in a thread, as a shell would."""

    async def call(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["cdp", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            await asyncio.to_thread(run)
        out, err = capsys.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    return call


def recorder(calls: list[Any]) -> APIRouter:
    """Routes that stand in for a wing's: they write down what they are asked."""
    router = APIRouter(prefix="/api/v1/segments", tags=["segments"])

    @router.get("")
    async def list_segments(after: str = "", limit: int = 1) -> dict[str, Any]:
        rows = [{"key": f"s{n}", "name": f"Nhóm {n}", "description": None} for n in range(1, 6)]
        start = 0 if not after else int(after)
        size = min(limit, 2)
        return {"items": rows[start : start + size], "next": str(start + size) if start + size < len(rows) else None}

    @router.put("/{key}")
    async def put_segment(key: str, body: dict[str, Any]) -> dict[str, Any]:
        calls.append((key, body))
        return {"key": key, "version": 1, **body}

    @router.get("/{key}")
    async def get_segment(key: str) -> dict[str, Any]:
        return {
            "key": key,
            "name": "VIP",
            "version": 3,
            "created_at": "x",
            "updated_at": "y",
            "conditions": {"all": []},
        }

    @router.delete("/{key}", status_code=204)
    async def delete_segment(key: str) -> None:
        calls.append(key)

    return router


@pytest.fixture
def calls() -> list[Any]:
    """What the stand-in routes were asked."""
    return []


@pytest.fixture
async def service(settings: Settings, calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    """The API on a free port with one stand-in wing; the command line finds it through the data folder."""
    monkeypatch.setattr(wiring, "wings", lambda: [Wing("segments", {}, recorder(calls))])
    monkeypatch.setenv("CDP_DATA_DIR", str(settings.data_dir))
    anywhere = settings.model_copy(update={"http": settings.http.model_copy(update={"port": 0})})
    async with running(anywhere, ["api"], say=lambda _: None) as started:
        yield started


async def test_the_service_is_found_through_the_data_folder(service: Service, cli: Cli) -> None:
    """Without --url and --token the folder's credentials are used; `status` is for people, and JSON with --json."""
    people, machines = await cli("status"), await cli("status", "--json")

    assert (people.code, machines.code) == (0, 0)
    assert "warehouse" in people.out
    assert [part["name"] for part in machines.json()["parts"]] == ["log", "state", "warehouse"]


async def test_lists_follow_their_pages(service: Service, cli: Cli) -> None:
    """A list is read page after page up to --limit, and drawn as a table."""
    everything, some = await cli("segment", "list", "--json"), await cli("segment", "list", "--json", "--limit", "3")
    table = await cli("segment", "list")

    assert [item["key"] for item in everything.json()] == ["s1", "s2", "s3", "s4", "s5"]
    assert [item["key"] for item in some.json()] == ["s1", "s2", "s3"]
    assert "Nhóm 5" in table.out


async def test_a_definition_is_put_from_a_file(service: Service, cli: Cli, calls: list[Any], tmp_path: Path) -> None:
    """The key is the file's name, the file's `key`, or what --key says; the body is the rest."""
    plain, named = tmp_path / "vip.json", tmp_path / "x.json"
    plain.write_text('{"name": "VIP"}')
    named.write_text('{"key": "inside", "name": "VIP"}')
    for words in ([str(plain)], [str(named)], [str(named), "--key", "told"]):
        assert (await cli("segment", "put", *words)).code == 0

    assert calls == [(key, {"name": "VIP"}) for key in ("vip", "inside", "told")]


async def test_what_get_prints_can_be_put(service: Service, cli: Cli, calls: list[Any], tmp_path: Path) -> None:
    """The fields that only the service sets are left out."""
    got = await cli("segment", "get", "vip")
    file = tmp_path / "any.json"
    file.write_text(got.out)
    await cli("segment", "put", str(file))

    assert calls == [("vip", {"name": "VIP", "conditions": {"all": []}})]


async def test_deleting_says_what_was_deleted(service: Service, cli: Cli, calls: list[Any]) -> None:
    """A sentence for people, an object for machines."""
    assert (await cli("segment", "delete", "vip")).out == "The segment vip is deleted.\n"
    assert (await cli("segment", "delete", "vip", "--json")).json() == {}
    assert calls == ["vip", "vip"]


@pytest.mark.parametrize("content", [None, "{", "[]"])
async def test_a_bad_file_is_told_without_a_traceback(
    service: Service, cli: Cli, tmp_path: Path, content: str | None
) -> None:
    """A missing file, no JSON, no object: one sentence, exit code 1."""
    file = tmp_path / "vip.json"
    if content is not None:
        file.write_text(content)
    said = await cli("segment", "put", str(file))

    assert said.code == 1
    assert said.err.startswith(f"cdp: {file} ")
    assert said.err.count("\n") == 1


async def test_tokens_come_and_go(service: Service, cli: Cli) -> None:
    """A token is made, works for what it may, is refused for the rest, and is deleted."""
    made = (await cli("key", "create", "Reports", "--scope", "status:read", "--json")).json()
    allowed = await cli("status", "--token", made["token"])
    refused = await cli("key", "list", "--token", made["token"])
    unknown = await cli("status", "--token", "cdp_nobody")
    deleted = await cli("key", "delete", made["key"])
    after = await cli("key", "list", "--json")

    assert (allowed.code, refused.code, unknown.code, deleted.code) == (0, 1, 1, 0)
    assert "keys:read" in refused.err
    assert "--token" in unknown.err
    assert made["key"] not in after.out


async def test_what_the_service_refuses_names_the_path(service: Service, cli: Cli) -> None:
    """The service's own sentence, with the place of the fault, and exit code 1."""
    said = await cli("key", "create", "x", "--scope", "segments:fly")

    assert said.code == 1
    assert said.err.startswith("cdp: scopes[0]: There is no scope 'segments:fly'")


async def test_nobody_there_is_exit_code_3(cli: Cli, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says where it looked and how to start the service."""
    monkeypatch.setenv("CDP_DATA_DIR", str(settings.data_dir))
    said = await cli("status", "--url", "http://127.0.0.1:9")

    assert said.code == 3
    assert "http://127.0.0.1:9" in said.err
    assert "cdp up" in said.err


async def test_misuse_is_exit_code_2(cli: Cli) -> None:
    """An unknown command, option or value is told by its name."""
    for words in (["fly"], ["status", "--high"], ["segment", "list", "--limit", "0"], ["run"]):
        said = await cli(*words)
        assert (said.code, "Traceback" in said.err) == (2, False)


async def test_wrong_settings_are_told_by_their_variables(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """`cdp up` does not start with a wrong setting."""
    monkeypatch.setenv("CDP_HTTP__PORT", "many")
    said = await cli("up")

    assert (said.code, "CDP_HTTP__PORT" in said.err) == (1, True)


async def test_an_unknown_role_is_told_with_those_there_are(
    cli: Cli, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cdp run` names the roles."""
    monkeypatch.setattr(wiring, "wings", lambda: [])
    monkeypatch.setenv("CDP_DATA_DIR", str(settings.data_dir))
    said = await cli("run", "dreamer")

    assert (said.code, "choose among loader, api" in said.err) == (2, True)


async def test_the_tail_shows_lines_as_they_happen(
    service: Service, cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --json each line is the service's; it ends when the service does."""
    watching = asyncio.create_task(cli("tail", "--json", "--source", "web"))
    await eventually(lambda: service.app.state.tail._clients)
    batch = RawBatch("web", "4bf9", 1, [])
    await service.platform.log.append([Draft(EVENTS_RAW.name, 0, encode(batch))])
    await service.app.state.tail.close()
    said = await watching

    assert (said.code, said.out) == (0, "")


async def test_events_are_lines(service: Service, cli: Cli) -> None:
    """No events are no lines."""
    said = await cli("events", "--limit", "5")

    assert (said.code, said.out) == (0, "")


async def test_the_doctor_asks_the_running_service(service: Service, cli: Cli) -> None:
    """The embedded parts belong to the service, so it examines them itself."""
    said = await cli("doctor", "--json")
    report = said.json()

    checks = {finding["check"]: finding for finding in report["findings"]}
    assert {"data folder", "log", "state", "warehouse", "definitions"} <= checks.keys()
    assert (said.code, report["ok"]) == (0, True), report
    assert "was asked" in report["where"]


async def test_the_doctor_opens_the_parts_when_no_service_runs(
    cli: Cli, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part is opened and looked at; one that is away is told with a remedy and hides no other."""
    monkeypatch.setenv("CDP_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("CDP_WAREHOUSE__DSN", settings.warehouse.dsn)
    monkeypatch.setenv("CDP_STATE__URL", "redis://:s3cret@127.0.0.1:9/0")
    said = await cli("doctor", "--json", "--token", "x")
    report = said.json()

    checks = {finding["check"]: finding for finding in report["findings"]}
    assert (said.code, report["ok"]) == (1, False)
    assert [checks[name]["ok"] for name in ("log", "state", "warehouse")] == [True, False, True]
    assert "CDP_STATE__URL" in checks["state"]["remedy"]
    assert report["settings"]["CDP_STATE__URL"] == "redis://:***@127.0.0.1:9/0"
    assert "s3cret" not in said.out


async def test_the_doctor_for_people(cli: Cli, service: Service) -> None:
    """One line a check."""
    said = await cli("doctor")

    assert "  ok   log: a record was appended and read back" in said.out


def test_tail_lines_for_people() -> None:
    """Time, stage, trace and what the stage is about, without what is empty."""
    line = {"stage": "raw", "trace_id": "4bf92f3577b34da6", "at": 0, "source": "web", "type": "track", "user_id": ""}

    assert rendered(line).endswith("raw         4bf92f35  source=web  type=track")


def test_values_for_people() -> None:
    """Nothing is a dash, lists are comma-separated, dots lead inside."""
    assert [text_of(value) for value in (None, True, False, 1, ["a", "b"], [], {"a": 1}, "x")] == [
        "-",
        "yes",
        "no",
        "1",
        "a, b",
        "-",
        '{"a":1}',
        "x",
    ]
    assert field({"a": {"b": 1}}, "a.b") == 1
    assert field({"a": None}, "a.b") is None


def test_credentials_of_another_machine_are_given_by_hand(tmp_path: Path) -> None:
    """What is given wins over what the folder keeps."""
    from cdp.cli.connection import connect

    credentials.write(tmp_path, Credentials("http://here", "wk", "cdp_kept"))
    with connect("http://there/", "cdp_given") as service:
        assert service.url == "http://there"

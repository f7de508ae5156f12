"""Tests of imports from end to end, on real parts: from a file to profiles."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from msgspec import structs

from cdp.errors import TransientError
from cdp.settings import Settings
from cdp.wiring import running
from ingest.imports import importer
from ingest.imports.job import Jobs, folder_of
from ingest.imports.reading import FILE
from tests.ingest.imports.conftest import ROLES, Shop, opened
from tests.ingest.imports.files import as_csv, as_jsonl, as_parquet, as_xlsx
from tests.ingest.imports.test_reading import CUSTOMERS, ORDERS
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORMATS: dict[str, Callable[..., bytes]] = {"xlsx": as_xlsx, "jsonl": as_jsonl, "parquet": as_parquet}


async def test_a_file_becomes_profiles(shop: Shop) -> None:
    """Those with an account, and those known by a telephone number; history keeps its own time."""
    done = await shop.imported(as_csv(CUSTOMERS))
    lan = await shop.get("/api/v1/profiles/user_id:KH1?include=events")
    binh = await shop.get("/api/v1/profiles/phone:0905123457")

    assert (done["state"], done["kind"], done["accepted"], done["quarantined"]) == ("finished", "customers", 2, 0)
    assert lan["traits"]["name"] == "Nguyễn Thị Lan" and lan["traits"]["address"]["state"] == "TP. HCM"
    assert lan["events"][0]["at"] == "2024-04-30T17:00:00.000Z"
    assert binh["traits"]["name"] == "Trần Văn Bình"
    assert not (folder_of(shop.service.platform.settings, done["key"]) / FILE).exists()


async def test_the_same_file_twice_changes_nothing(shop: Shop) -> None:
    """It is told at once; forced, or in another format, every event is found to be there already."""
    rows = shop.customers(50)
    first = await shop.imported(as_csv(rows))
    before = sorted(one["message_id"] for one in await shop.stored())
    again = await shop.bring(as_csv(rows))
    forced = await shop.imported(as_csv(rows), again=True)
    other = await shop.imported(as_xlsx(rows), name="file.xlsx")
    told = await shop.imported(as_csv(rows), mapping='{"columns": {"SĐT": "phone"}}')

    assert (again.status_code, again.json()["key"], again.json()["already"]) == (200, first["key"], True)
    assert (forced["accepted"], forced["unchanged"]) == (other["accepted"], other["unchanged"]) == (0, 50)
    assert told["earlier"] == first["key"] and told["unchanged"] == 50
    assert sorted(one["message_id"] for one in await shop.stored()) == before and len(before) == 50


async def test_overlapping_files_bring_what_is_new(shop: Shop) -> None:
    """This month's list holds most of last month's."""
    await shop.imported(as_csv(shop.customers(30)))
    second = await shop.imported(as_csv(shop.customers(45)))

    assert (second["accepted"], second["unchanged"]) == (15, 30)
    assert len(await shop.stored()) == 45


async def test_a_changed_order_is_an_update(shop: Shop) -> None:
    """Neither counted twice nor passed over; the same change again changes nothing."""
    changed = [*ORDERS[:2], [*ORDERS[2][:-2], "600.000 ₫", "Đã hủy"], ORDERS[3]]
    await shop.imported(as_csv(ORDERS))
    update = await shop.imported(as_csv(changed))
    again = await shop.imported(as_csv(changed), again=True)

    assert (update["accepted"], update["updated"], update["unchanged"]) == (1, 1, 1)
    assert (again["accepted"], again["updated"], again["unchanged"]) == (0, 0, 2)
    assert Counter(one["name"] for one in await shop.stored()) == {
        "Order Completed": 1,
        "Order Cancelled": 1,
        "Order Updated": 1,
    }


async def test_bad_rows_are_set_aside_by_row_and_column(shop: Shop) -> None:
    """Nothing is lost, and no neighbour harmed."""
    bad = ["DH9", "31/31/2024", *ORDERS[1][2:]]
    done = await shop.imported(as_csv([*ORDERS, bad, ["DH10", *ORDERS[1][1:3], "", *ORDERS[1][4:]]]))

    async def aside() -> list[dict[str, Any]]:
        found = (await shop.get(f"/api/v1/quarantine?source={shop.source}"))["items"]
        return found if len(found) == 2 else []

    found = await eventually(aside)
    assert (done["accepted"], done["quarantined"]) == (2, 2)
    assert {(one["path"], one["code"]) for one in found} == {
        ("row 5.Ngày đặt", "invalid_time"),
        ("row 6", "missing_identity"),
    }


@pytest.mark.parametrize("name", FORMATS)
async def test_every_format_comes_in(shop: Shop, name: str) -> None:
    """By the address that Segment's batches have too."""
    content = FORMATS[name](shop.customers(5))
    answer = await shop.bring(content, "/v1/import", kind="customers", name=f"file.{name}")
    done = await shop.until(answer.json()["key"], "finished", "failed")

    assert (answer.status_code, done["accepted"], done["mapping"]["format"]) == (201, 5, name)


async def test_a_write_key_brings_no_files(shop: Shop) -> None:
    """They are public, and a report tells of people; its batches still come in at the same address."""
    url = shop.service.credentials.url
    async with httpx.AsyncClient(base_url=url, auth=(f"wk_{shop.source}", "")) as anybody:
        file = await anybody.post("/v1/import?kind=customers", content=as_csv(CUSTOMERS))
        batch = await anybody.post("/v1/import", json={"batch": [{"type": "track", "event": "x", "userId": "u"}]})

    assert (file.status_code, batch.status_code, batch.json()["success"]) == (401, 200, True)
    assert shop.jobs() == 0


async def test_a_dry_run_sends_nothing_and_tells_who_is_known(shop: Shop) -> None:
    """It can be started afterwards."""
    await shop.imported(as_csv(shop.customers(3)))
    looked = await shop.imported(as_csv(shop.customers(5)), dry_run=True)
    report = await shop.get(f"/api/v1/imports/{looked['key']}/report")
    before = len(await shop.stored())
    await shop.client.post(f"/api/v1/imports/{looked['key']}/start")
    done = await shop.until(looked["key"], "finished")

    assert (looked["state"], before) == ("ready", 3)
    assert report["people"] == {"known": 3, "new": 2, "nobody": 0}
    assert (done["accepted"], done["unchanged"]) == (2, 3)


async def test_a_mapping_is_corrected_and_saved(shop: Shop) -> None:
    """A file that nobody could be told by waits for it; a saved one serves the next file."""
    rows = [["Tên gọi", "Cột lạ"], ["Lan", "KH1"], ["Bình", "KH2"]]
    waiting = await shop.imported(as_csv(rows))
    refused = await shop.client.post(f"/api/v1/imports/{waiting['key']}/start")
    mapping = {"columns": {"Cột lạ": "user_id"}}
    await shop.client.put(f"/api/v1/imports/{waiting['key']}/mapping", json=mapping)
    ready = await shop.until(waiting["key"], "ready")
    await shop.client.put("/api/v1/mappings/la", json=ready["mapping"])
    other = await shop.imported(as_csv([*rows, ["Nam", "KH3"]]), mapping="la")

    assert (waiting["state"], refused.status_code) == ("ready", 400)
    assert "No column says whose a row is" in waiting["problems"][0]
    assert ready["problems"] == [] and ready["mapping"]["columns"]["Cột lạ"]["field"] == "user_id"
    assert other["accepted"] == 3
    assert [one["key"] for one in (await shop.get("/api/v1/mappings"))["items"]] == ["la"]
    assert (await shop.client.delete("/api/v1/mappings/la")).status_code == 204


async def test_what_cannot_be_taken_is_refused_before_it_is_a_job(shop: Shop) -> None:
    """In words, with the path of what to correct; nothing of it is kept."""
    settings = shop.service.platform.settings
    before = sorted(folder_of(settings).glob("*"))
    sent = [
        await shop.bring(b""),
        await shop.bring(b"\x1f\x8b\x08" + bytes(50)),
        await shop.bring(as_csv(CUSTOMERS), source="nobody"),
        await shop.bring(as_csv(CUSTOMERS), kind="dogs"),
        await shop.bring(as_csv(CUSTOMERS), mapping="{"),
        await shop.bring(as_csv(CUSTOMERS), mapping='{"columns": {"a": "nose"}}'),
        await shop.bring(as_csv(CUSTOMERS), mapping="unknown"),
        await shop.client.post(f"/api/v1/imports?source={shop.source}", files={"file": b"a,b"}),
    ]

    assert [one.status_code for one in sent] == [400, 400, 400, 400, 400, 400, 404, 400]
    assert "curl --data-binary @FILE" in sent[-1].json()["error"]["message"]
    assert shop.jobs() == 0
    assert sorted(folder_of(settings).glob("*")) == before


async def test_a_file_that_cannot_be_read_fails_in_words(shop: Shop) -> None:
    """And can be read again under another mapping."""
    content = "Họ tên,SĐT\nTrần,0905123457\n" + "Lan,0905123458\n" * 20
    failed = await shop.imported(content.encode(), encoding="ascii")
    await shop.client.put(f"/api/v1/imports/{failed['key']}/mapping", json={})
    ready = await shop.until(failed["key"], "ready")

    assert failed["state"] == "failed" and "not written in ascii" in failed["reason"]
    assert ready["rows"] == 21


async def test_an_import_goes_on_where_it_was(anywhere: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a stop in its middle: every row comes in, none twice."""
    monkeypatch.setattr(importer, "CHUNK", 20)
    monkeypatch.setattr(importer.Importer, "_room", lambda self: asyncio.sleep(0.05))
    async with running(anywhere, ROLES, say=lambda _: None) as service, opened(service) as shop:
        key = (await shop.bring(as_csv(shop.customers(400)))).json()["key"]

        async def some() -> bool:
            return bool(40 < (await shop.get(f"/api/v1/imports/{key}"))["sent"] < 300)

        await eventually(some, 30)
    monkeypatch.undo()
    async with running(anywhere, ROLES, say=lambda _: None) as service, opened(service) as shop:
        done = await shop.until(key, "finished")
        stored = Counter(one["message_id"] for one in await shop.stored())

    assert (done["sent"], done["accepted"], done["unchanged"]) == (400, 400, 0)
    assert len(stored) == 400 and set(stored.values()) == {1}


async def test_an_import_waits_while_live_events_wait(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent while more than so many are not yet resolved."""
    waiting = 10_000

    class Behind:
        records = property(lambda self: {"web": waiting})

    async def backlog(*_: Any) -> Behind:
        return Behind()

    monkeypatch.setattr(shop.service.platform.log, "backlog", backlog)
    key = (await shop.bring(as_csv(shop.customers(5)))).json()["key"]
    await shop.until(key, "sending")
    await asyncio.sleep(0.5)
    held = await shop.get(f"/api/v1/imports/{key}")
    waiting = 0
    done = await shop.until(key, "finished")

    assert (held["state"], held["sent"], done["accepted"]) == ("sending", 0, 5)


async def test_a_log_that_is_away_delays_an_import(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The role says why it waits, and goes on by itself."""
    log = shop.service.platform.log
    append, refusals = log.append, 2

    async def away(drafts: Any) -> Any:
        nonlocal refusals
        if refusals and "events.raw" in {draft.topic for draft in drafts}:
            refusals -= 1
            raise TransientError("The log is away.", retry_after=0.1)
        return await append(drafts)

    monkeypatch.setattr(log, "append", away)
    done = await shop.imported(as_csv(shop.customers(5)))

    assert (done["state"], done["accepted"], refusals) == ("finished", 5, 0)


async def test_an_import_is_cancelled_or_deleted_with_its_file(shop: Shop) -> None:
    """People's data does not stay behind."""
    settings = shop.service.platform.settings
    one = await shop.imported(as_csv(shop.customers(2)), dry_run=True)
    two = await shop.imported(as_csv(shop.customers(3)), dry_run=True)
    cancelled = await shop.client.post(f"/api/v1/imports/{one['key']}/cancel")
    deleted = await shop.client.delete(f"/api/v1/imports/{two['key']}")
    again = await shop.client.post(f"/api/v1/imports/{one['key']}/start")

    assert (cancelled.json()["state"], deleted.status_code, again.status_code) == ("cancelled", 204, 409)
    assert sorted(path.name for path in folder_of(settings, one["key"]).iterdir()) == ["report.json"]
    assert not folder_of(settings, two["key"]).exists()
    listed = [item["key"] for item in (await shop.get("/api/v1/imports?limit=5"))["items"]]
    assert one["key"] in listed and two["key"] not in listed


async def test_a_source_that_is_gone_ends_an_import(shop: Shop) -> None:
    """It can be started again when the source is back."""
    looked = await shop.imported(as_csv(shop.customers(2)), dry_run=True)
    source = await shop.get(f"/api/v1/sources/{shop.source}")
    fields = {"name": "Pos", "enabled": False}
    await shop.client.put(f"/api/v1/sources/{shop.source}", json=fields)
    await shop.client.post(f"/api/v1/imports/{looked['key']}/start")
    failed = await shop.until(looked["key"], "failed")
    await shop.client.put(f"/api/v1/sources/{shop.source}", json={**fields, "enabled": True})
    await shop.client.post(f"/api/v1/imports/{looked['key']}/start")
    done = await shop.until(looked["key"], "finished")

    assert (
        source["enabled"] and failed["reason"] == f"The source {shop.source!r} is disabled." and done["accepted"] == 2
    )


async def test_a_file_that_nobody_starts_is_not_kept_for_ever(shop: Shop) -> None:
    """Nor is a folder that no import knows; what is waited for stays."""
    platform = shop.service.platform
    [role] = [role for role in platform.roles if isinstance(role, importer.Importer)]
    fresh, stale = [await shop.imported(as_csv(shop.customers(n)), dry_run=True) for n in (2, 3)]
    jobs = Jobs(platform.registry)
    await jobs.put(stale["key"], structs.replace(jobs.get(stale["key"]), started_at=0), "test")
    unknown = folder_of(platform.settings, "unknown")
    unknown.mkdir()
    os.utime(unknown, (0, 0))

    await role.sweep()

    assert (await shop.until(stale["key"], "cancelled"))["reason"] == "Nobody started it in time."
    assert not (folder_of(platform.settings, stale["key"]) / FILE).exists() and not unknown.exists()
    assert (folder_of(platform.settings, fresh["key"]) / FILE).exists()


async def test_a_file_may_be_larger_than_a_request(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes to the disk as it comes; beyond its own limit it is refused, and nothing of it stays."""
    settings = shop.service.platform.settings
    large = as_csv([["Mã KH", "Ghi chú"], *([f"KH{n}", "x" * 90_000] for n in range(60))])
    taken = await shop.imported(large, dry_run=True)
    before = sorted(folder_of(settings).glob("*"))
    smaller = settings.imports.model_copy(update={"max_file_bytes": 1_000_000})
    monkeypatch.setitem(settings.__dict__, "imports", smaller)
    refused = await shop.bring(large)

    assert len(large) > settings.collector.max_body_bytes and taken["rows"] == 60
    assert refused.status_code in (400, 413) and sorted(folder_of(settings).glob("*")) == before

"""Segments through the API: defined, tried out, read, changed, deleted; who is in, who was in, and why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import jsonschema
import pytest

from cdp.clock import DAY, HOUR, to_text
from cdp.records import SegmentChange, decode_touched
from cdp.topics import PROFILES_TOUCHED
from cdp.warehouse.rows import SegmentChangeRow, encode_rows
from segments.definitions import SEGMENT
from segments.routes import router
from segments.schema import EXAMPLES, LAPSED, VIP
from tests.cdp.apps import add_token, api
from tests.segments.world import World

PATH = "/api/v1/segments"
BUYERS = {"name": "Buyers", "conditions": {"event": "Order Completed"}}


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the admin's token."""
    async with api(world.platform, routers=[router]) as client:
        yield client


async def put(client: httpx.AsyncClient, key: str, body: Any, **headers: str) -> httpx.Response:
    """Define a segment, successfully."""
    answer = await client.put(f"{PATH}/{key}", json=body, headers=headers)
    assert answer.is_success, answer.text
    return answer


async def told(world: World) -> list[Any]:
    """The messages on profiles.touched, handed to the segmenter."""
    reader = await world.platform.log.reader([PROFILES_TOUCHED], start="earliest")
    messages = await reader.read(limit=1_000, timeout=0.01)
    await reader.close()
    await world.segmenter.handle(messages)
    return [decode_touched(message.value) for message in messages]


async def store(world: World, *changes: SegmentChange) -> None:
    """Put changes into the warehouse, as the loader does."""
    rows = [
        SegmentChangeRow(one.segment, one.profile_id, one.sequence, one.change, one.at / 1000, one.reason, one.trace_id)
        for one in changes
    ]
    await world.platform.warehouse.insert("segment_changes", SegmentChangeRow.__struct_fields__, encode_rows(rows))


async def test_a_segment_is_defined_and_becomes_ready(world: World, client: httpx.AsyncClient) -> None:
    """A new segment answers 201, is announced to every partition under the request's trace, and counts its members."""
    lan = world.person()
    world.bought(lan)
    await world.stage.store()
    trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    answer = await put(client, "buyers", BUYERS, **trace)
    assert answer.status_code == 201
    assert (answer.json()["members"], answer.json()["ready"]) == (0, False)

    news = await told(world)
    assert {(one.segment, one.definition_offset) for one in news} == {("buyers", answer.json()["version"])}
    assert {one.trace_id for one in news} == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    assert len(news) == world.partitions
    await world.settle()

    found = (await client.get(f"{PATH}/buyers")).json()
    assert found == {
        "key": "buyers",
        "name": "Buyers",
        "description": "",
        "conditions": {"event": "Order Completed"},
        "view": "sure",
        "version": answer.json()["version"],
        "members": 1,
        "ready": True,
        "created_at": to_text(world.clock.now()),
        "updated_at": to_text(world.clock.now()),
    }


async def test_a_definition_can_be_replaced_by_who_knows_it(client: httpx.AsyncClient) -> None:
    """If-Match guards against overwriting what somebody else changed; If-None-Match against overwriting at all."""
    first = await put(client, "vip", VIP)
    tag = first.headers["etag"]
    assert tag == f'"{first.json()["version"]}"'
    second = await put(client, "vip", LAPSED, **{"If-Match": tag})
    assert (second.status_code, second.json()["name"]) == (200, LAPSED["name"])
    for headers in ({"If-Match": tag}, {"If-None-Match": "*"}):
        refused = await client.put(f"{PATH}/vip", json=VIP, headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    odd = await client.put(f"{PATH}/vip", json=VIP, headers={"If-Match": "latest"})
    assert (odd.status_code, odd.json()["error"]["path"]) == (400, "If-Match")


async def test_a_wrong_definition_is_refused_at_its_place(client: httpx.AsyncClient) -> None:
    """The answer leads to the fault; nothing is defined."""
    conditions = {"all": [{"event": "Order Completed"}, {"event": "Order Completed", "window": "1d"}]}
    for method, path in (("PUT", f"{PATH}/vip"), ("POST", f"{PATH}/preview")):
        answer = await client.request(method, path, json={"conditions": conditions})
        assert answer.status_code == 400
        assert answer.json()["error"]["path"] == "conditions.all[1].window"
        assert "within" in answer.json()["error"]["message"]
    wide = [{"trait": [str(n), *"000000000"], "is": "one_of", "value": ["x", 1, True]} for n in range(90)]
    answer = await client.put(f"{PATH}/vip", json={"conditions": {"all": wide}})
    assert (answer.status_code, answer.json()["error"]["path"]) == (400, "conditions")
    assert "too much for one query" in answer.json()["error"]["message"]
    assert (await client.get(f"{PATH}/vip")).status_code == 404
    assert (await client.put(f"{PATH}/schema", json=VIP)).json()["error"]["path"] == "key"
    assert (await client.put(f"{PATH}/VIP", json=VIP)).status_code == 400


async def test_a_deleted_segment_empties(world: World, client: httpx.AsyncClient) -> None:
    """After DELETE everybody leaves, and the segment is not found."""
    lan = world.person()
    world.bought(lan)
    await world.stage.store()
    await put(client, "buyers", BUYERS)
    await told(world)
    await world.settle()
    assert (await client.delete(f"{PATH}/buyers")).status_code == 204
    await told(world)
    await world.settle()

    assert [change.change for change in await world.history()] == ["entered", "exited"]
    assert (await client.get(f"{PATH}/buyers")).status_code == 404
    assert (await client.delete(f"{PATH}/buyers")).status_code == 404


async def test_segments_are_listed_page_by_page(client: httpx.AsyncClient) -> None:
    """By key, with a cursor."""
    for key, example in EXAMPLES.items():
        await put(client, key, example)
    first = (await client.get(PATH, params={"limit": 3})).json()
    second = (await client.get(PATH, params={"limit": 3, "after": first["next"]})).json()

    assert [one["key"] for one in (*first["items"], *second["items"])] == sorted(EXAMPLES)
    assert second["next"] is None


async def test_a_preview_counts_and_explains(world: World, client: httpx.AsyncClient) -> None:
    """It says how many would be in, names some, and counts who meets each part; nothing is defined."""
    people = [world.person() for _ in range(5)]
    for one in people[:3]:
        world.bought(one, ago=40 * DAY)
    world.bought(people[0])
    await world.stage.store()
    found = (await client.post(f"{PATH}/preview", json={"conditions": LAPSED["conditions"]})).json()

    assert (found["profiles"], found["of"], sorted(found["sample"])) == (2, 5, sorted(people[1:3]))
    assert [(one["path"], one["profiles"]) for one in found["explain"]] == [
        ("conditions", 2),
        ("conditions.all[0]", 3),
        ("conditions.all[1]", 4),
        ("conditions.all[1].not", 1),
    ]
    assert world.platform.registry.all(SEGMENT) == []


async def test_a_preview_of_an_empty_installation_counts_nobody(client: httpx.AsyncClient) -> None:
    """Nobody is not an error."""
    found = (await client.post(f"{PATH}/preview", json={"conditions": VIP["conditions"]})).json()

    assert (found["profiles"], found["of"], found["sample"]) == (0, 0, [])
    assert {one["profiles"] for one in found["explain"]} == {0}


async def test_a_segment_says_who_counts_as_one_person(world: World, client: httpx.AsyncClient) -> None:
    """Two who bought once each, and likely are one, are a regular in the likely view only; previews say so before."""
    regulars = {"event": "Order Completed", "count": {"at_least": 2}}
    lan, hoa = world.person(), world.person()
    world.bought(lan)
    world.bought(hoa)
    world.stage.assign(world.stage.anchors(hoa)[0], lan, hoa)
    await world.stage.store()
    for view, people, of in (("likely", [lan], 1), ("sure", [], 2)):
        found = (await client.post(f"{PATH}/preview", json={"conditions": regulars, "view": view})).json()
        assert (found["sample"], found["of"]) == (people, of)
        answer = await put(client, view, {"conditions": regulars, "view": view})
        assert answer.json()["view"] == view
    await told(world)
    await world.settle()

    assert await world.members() == {("likely", lan)}
    assert (await client.put(f"{PATH}/x", json={"conditions": regulars, "view": "odd"})).status_code == 400


async def test_people_who_are_sent_stay_sure(world: World, client: httpx.AsyncClient) -> None:
    """A segment that a sync sends cannot become one of likely people."""
    await put(client, "buyers", BUYERS)
    await world.platform.registry.put("sync", "buyers-to-crm", {"segment": "buyers", "destination": "crm"})
    refused = await client.put(f"{PATH}/buyers", json=BUYERS | {"view": "likely"})

    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    assert "buyers-to-crm" in refused.json()["error"]["message"]
    assert (await put(client, "others", BUYERS | {"view": "likely"})).status_code == 201


async def test_members_are_told_for_any_moment(world: World, client: httpx.AsyncClient) -> None:
    """Who was in at T is who entered last before T; pages go by profile."""
    await put(client, "buyers", BUYERS)
    now = world.clock.now()
    people = sorted(world.person() for _ in range(3))
    for number, one in enumerate(people):
        await store(world, SegmentChange("buyers", one, "entered", 1, now - 3 * HOUR + number))
    await store(world, SegmentChange("buyers", people[0], "exited", 2, now - HOUR))
    await store(world, SegmentChange("others", people[0], "entered", 1, now - HOUR))

    async def members(**place: Any) -> set[str]:
        answer = await client.get(f"{PATH}/buyers/members", params=place)
        assert answer.status_code == 200, answer.text
        return {one["profile_id"] for one in answer.json()["items"]}

    assert await members() == set(people[1:])
    assert await members(at=to_text(now - HOUR)) == set(people[1:])
    assert await members(at=to_text(now - HOUR - 1)) == set(people)
    assert await members(at=to_text(now - 4 * HOUR)) == set()
    seen, after = [], ""
    for _ in range(3):
        page = (
            await client.get(
                f"{PATH}/buyers/members", params={"limit": 1, "after": after, "at": to_text(now - 2 * HOUR)}
            )
        ).json()
        seen += [one["profile_id"] for one in page["items"]]
        after = page["next"]
    assert (sorted(seen), after) == (people, None)
    assert (await client.get(f"{PATH}/buyers/members", params={"at": "soon"})).status_code == 400
    assert (await client.get(f"{PATH}/buyers/members", params={"after": "x"})).json()["error"]["path"] == "after"


async def test_changes_are_told_the_latest_first(world: World, client: httpx.AsyncClient) -> None:
    """Each change once, with its reason and trace, page by page, and of one profile if asked."""
    await put(client, "buyers", BUYERS)
    now = world.clock.now()
    lan, hung = world.person(), world.person()
    changes = [
        SegmentChange("buyers", lan, "entered", 1, now - 3, "event", "t1"),
        SegmentChange("buyers", hung, "entered", 1, now - 2, "identity", "t2"),
        SegmentChange("buyers", lan, "exited", 2, now - 1, "timer", "t3"),
    ]
    await store(world, *changes)
    await store(world, *changes)
    seen: list[Any] = []
    after = ""
    while after is not None:
        page = (await client.get(f"{PATH}/buyers/changes", params={"limit": 2, "after": after})).json()
        seen, after = seen + page["items"], page["next"]

    assert [(one["profile_id"], one["change"], one["sequence"], one["reason"], one["trace_id"]) for one in seen] == [
        (one.profile_id, one.change, one.sequence, one.reason, one.trace_id) for one in reversed(changes)
    ]
    assert [one["at"] for one in seen] == [to_text(one.at) for one in reversed(changes)]
    own = (await client.get(f"{PATH}/buyers/changes", params={"profile_id": hung})).json()["items"]
    assert [one["trace_id"] for one in own] == ["t2"]
    for place in ({"after": "x"}, {"profile_id": "x"}):
        refused = await client.get(f"{PATH}/buyers/changes", params=place)
        assert (refused.status_code, refused.json()["error"]["path"]) == (400, *place)


async def test_the_schema_is_served(client: httpx.AsyncClient) -> None:
    """The JSON Schema that is served validates the examples that the API's document gives."""
    validator = jsonschema.Draft202012Validator((await client.get(f"{PATH}/schema")).json())
    document = (await client.get("/openapi.json")).json()
    examples = document["components"]["schemas"]["SegmentBody"]["examples"]

    assert [one["name"] for one in examples] == [one["name"] for one in EXAMPLES.values()]
    for example in examples:
        validator.validate(example["conditions"])


async def test_scopes_are_asked_for(world: World, client: httpx.AsyncClient) -> None:
    """Reading needs segments:read, defining segments:write; a preview stores nothing, so reading is enough."""
    await add_token(world.platform, "cdp_reader", "segments:read")
    reader = {"Authorization": "Bearer cdp_reader"}
    assert (await client.get(PATH, headers=reader)).status_code == 200
    assert (await client.post(f"{PATH}/preview", json={"conditions": VIP["conditions"]}, headers=reader)).is_success
    assert (await client.put(f"{PATH}/vip", json=VIP, headers=reader)).status_code == 403
    assert (await client.delete(f"{PATH}/vip", headers=reader)).status_code == 403
    for path in ("", "/schema", "/vip", "/vip/members", "/vip/changes"):
        assert (await client.get(PATH + path, headers={"Authorization": ""})).status_code == 401

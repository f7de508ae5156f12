"""People through the API: found, explained, joined, parted, reviewed; rules tried; the graph made again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import msgspec
import pytest

from cdp.records import RawBatch, encode
from cdp.service import Platform
from cdp.streams.base import Message
from cdp.testing import START, accepted_event
from cdp.topics import EVENTS_RAW, EVENTS_RESOLVED, IDENTITY_CHANGES
from cdp.warehouse.loader import Loader
from identity.evidence import OBSERVED
from identity.graph import Graph
from identity.judgement import Judgement
from identity.learner import FORCE, JUDGEMENT, KEY, KIND, REFUSED, adopt
from identity.matching.model import assumed_model
from identity.policy import Policy
from identity.resolver import Resolver
from identity.routes import router
from tests.cdp.apps import add_token, api
from tests.waiting import eventually

DEVICE = "53a322b7-89c7-40ae-b485-187d61233e4d"
PROFILES = "/api/v1/profiles"
IDENTITY = "/api/v1/identity"


class House:
    """The parts, a resolver and a loader, without their loops."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self._resolver = Resolver(platform.log, platform.state, platform.settings, platform.clock)
        self._loader = Loader(platform.log, platform.warehouse, platform.state, platform.settings.state.prefix, pace=0)
        self._read = {EVENTS_RESOLVED.name: 0, IDENTITY_CHANGES.name: 0}
        self._offset = 0
        self._at = START

    async def send(self, *bodies: dict[str, Any], source: str = "web") -> None:
        """Events are sent, resolved and stored; each is received a second after the one before."""
        for body in bodies:
            self._at += 1_000
            event = accepted_event(body, f"m-{self._at}")
            value = encode(RawBatch(source, "trace", self._at, [event]))
            await self._resolver.handle([Message(EVENTS_RAW.name, 0, self._offset, self._at, value, 1, "web")])
            self._offset += 1
        await self.load()

    async def load(self) -> None:
        """What is on the log reaches the warehouse."""
        reader = await self.platform.log.reader([EVENTS_RESOLVED, IDENTITY_CHANGES], start="earliest")
        messages: list[Message] = []
        while batch := await reader.read(limit=1_000, timeout=0.02):
            messages += batch
        await reader.close()
        await self._loader.handle(messages)


@pytest.fixture
def house(platform: Platform) -> House:
    """The parts that the routes read."""
    return House(platform)


@pytest.fixture
async def client(house: House) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the admin's token."""
    async with api(house.platform, routers=[router]) as client:
        yield client


async def person(client: httpx.AsyncClient, identifier: str, **query: str) -> dict[str, Any]:
    """The profile."""
    answer = await client.get(f"{PROFILES}/{identifier}", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def post(client: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    """A decision that is accepted."""
    answer = await client.post(f"{IDENTITY}/{path}", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


LAN = {
    "type": "identify",
    "userId": "lan/1:x:%y",
    "anonymousId": DEVICE,
    "traits": {"email": "Lan+shop@Gmail.com", "phone": "0905 123 456", "name": "Nguyễn Thị Lan"},
}
PAGE = {"type": "page", "anonymousId": DEVICE, "name": "Áo dài"}


async def test_a_person_is_found_by_whatever_identifies_them(house: House, client: httpx.AsyncClient) -> None:
    """By account, by mailbox and number however written, by device, by profile id: one profile, all that is known."""
    await house.send(PAGE, LAN)
    found = await person(client, "email:lan@gmail.com")
    same = [
        "user_id:lan/1:x:%25y",
        "user_id:lan%2F1%3Ax%3A%25y",
        "email:L.A.N@googlemail.com",
        "phone:%2B84905123456",
        "phone:+84905123456",
        "phone:84 905.123.456",
        f"anonymous_id:{DEVICE}",
        f"profile_id:{found['profile_id']}",
    ]
    for identifier in same:
        assert (await person(client, identifier))["profile_id"] == found["profile_id"], identifier
    assert [(one["type"], one["value"]) for one in found["identifiers"]] == [
        ("user_id", "lan/1:x:%y"),
        ("email", "lan@gmail.com"),
        ("phone", "+84905123456"),
        ("anonymous_id", DEVICE),
    ]
    assert found["identifiers"][0]["sources"] == ["web"]
    assert found["traits"]["name"] == "Nguyễn Thị Lan"
    assert (found["event_count"], found["segments"], found["shared_with"]) == (2, [], [])
    assert found["events"] is None


async def test_more_is_shown_on_request(house: House, client: httpx.AsyncClient) -> None:
    """Events, links, deliveries and anchors are shown where they are asked for."""
    await house.send(PAGE, LAN, {"type": "track", "userId": "lan/1:x:%y", "event": "Order Completed"})
    found = await person(client, "user_id:lan/1:x:%y", include="events,links, anchors,deliveries")
    assert {event["name"] for event in found["events"]} == {"Order Completed", "Áo dài", ""}
    assert [(link["rule"], link["because"]) for link in found["links"]] == [
        ("user_id", "both have the user_id lan/1:x:%y")
    ]
    assert sorted(anchor["kind"] for anchor in found["anchors"]) == ["observation", "observation", "session"]
    assert found["deliveries"] == []
    answer = await client.get(f"{PROFILES}/user_id:lan/1:x:%y", params={"include": "everything"})
    assert (answer.status_code, answer.json()["error"]["path"]) == (400, "include")


async def test_an_absorbed_id_answers(house: House, client: httpx.AsyncClient) -> None:
    """The id of a profile that became part of another answers with that."""
    await house.send({"userId": "lan"}, {"type": "identify", "userId": "null", "traits": {"phone": "0905123456"}})
    gone = (await person(client, "phone:0905123456"))["profile_id"]
    await house.send({"type": "identify", "userId": "lan", "traits": {"phone": "0905123456"}})
    kept = await person(client, f"profile_id:{gone}")
    assert kept["profile_id"] == (await person(client, "user_id:lan"))["profile_id"] != gone
    assert kept["event_count"] == 3


@pytest.mark.parametrize(
    ("identifier", "status"),
    [
        ("user_id:nobody", 404),
        ("user_id:null", 404),
        ("email:no-address", 404),
        ("anonymous_id:nothing", 404),
        ("profile_id:00000000-0000-0000-0000-000000000001", 404),
        ("observation:00000000-0000-0000-0000-000000000001", 404),
        ("profile_id:x", 400),
        ("zalo_id:z", 404),
    ],
)
async def test_who_is_unknown_is_not_found(client: httpx.AsyncClient, identifier: str, status: int) -> None:
    """An unknown identifier answers 404 in the one shape of errors, an id that is none 400."""
    for suffix in ("", "/explain"):
        answer = await client.get(f"{PROFILES}/{identifier}{suffix}")
        assert answer.status_code == status
        assert answer.json()["error"]["message"]


async def test_a_shared_identifier_names_all_who_share_it(house: House, client: httpx.AsyncClient) -> None:
    """A number of two accounts answers with one of them, and says who else has it."""
    for user in ("lan", "hung"):
        await house.send({"type": "identify", "userId": user, "traits": {"phone": "0905123456"}})
    found = await person(client, "phone:0905123456")
    both = {(await person(client, f"user_id:{user}"))["profile_id"] for user in ("lan", "hung")}
    assert {found["profile_id"], *found["shared_with"]} == both


async def test_why_somebody_is_one_person(house: House, client: httpx.AsyncClient) -> None:
    """Explaining shows observations, the links between them and the same in words; `to` shows one path."""
    await house.send(
        {"type": "identify", "userId": "lan", "traits": {"email": "lan@example.com"}},
        {"type": "identify", "anonymousId": "a", "traits": {"email": "lan@example.com", "phone": "0905123456"}},
        {"anonymousId": "b", "context": {"traits": {"phone": "0905123456", "name": "Lan"}}},
    )
    answer = (await client.get(f"{PROFILES}/user_id:lan/explain")).json()
    assert len(answer["observations"]) == 3
    assert [(link["rule"], link["value"], link["probability"]) for link in answer["links"]] == [
        ("email", "lan@example.com", 0.99),
        ("phone", "+84905123456", 0.97),
    ]
    assert answer["steps"][1].endswith("are one person: both have the phone +84905123456.")
    path = (await client.get(f"{PROFILES}/user_id:lan/explain", params={"to": "email:lan@example.com"})).json()
    assert len(path["links"]) == 0, "the oldest observation of the mailbox is the account's own"
    path = (await client.get(f"{PROFILES}/user_id:lan/explain", params={"to": "phone:0905123456"})).json()
    assert [link["rule"] for link in path["links"]] == ["email"]
    await house.send({"userId": "hung"})
    apart = await client.get(f"{PROFILES}/user_id:lan/explain", params={"to": "user_id:hung"})
    assert (apart.status_code, apart.json()["error"]["code"]) == (409, "different_people")


async def test_joined_and_parted_by_hand(house: House, client: httpx.AsyncClient) -> None:
    """Merging beats the limits, splitting takes it back and keeps them apart, merging again takes that back."""
    await house.send({"userId": "lan"}, {"userId": "hung"})
    lan, hung = [(await person(client, f"user_id:{user}"))["profile_id"] for user in ("lan", "hung")]
    ends = {"left": {"type": "user_id", "value": "lan"}, "right": "user_id:hung"}

    joined = await post(client, "merge", **ends, reason="she told us")
    assert joined["changed"]
    assert joined["left"] == joined["right"] == lan
    assert not (await post(client, "merge", **ends))["changed"]
    assert (await person(client, f"profile_id:{hung}"))["profile_id"] == lan

    parted = await post(client, "split", **ends)
    assert (parted["left"], len(parted["withdrawn"]), len(parted["decided"])) == (lan, 1, 1)
    assert parted["right"] != lan
    await house.send({"type": "alias", "userId": "lan", "previousId": "hung"})
    assert (await person(client, "user_id:hung"))["profile_id"] != lan, "a deny beats an alias"

    again = await post(client, "merge", **ends)
    assert len(again["withdrawn"]) == 1
    assert again["left"] == again["right"]
    await house.load()
    kinds = await house.platform.warehouse.rows("SELECT kind, reason FROM profile_changes ORDER BY version")
    assert kinds[0] == ("merged", "she told us")


async def test_what_was_only_joined_by_hand_can_be_taken_back(house: House, client: httpx.AsyncClient) -> None:
    """Without a deny only the decision is withdrawn: evidence may join them again."""
    await house.send({"userId": "lan"}, {"userId": "hung"})
    ends = {"left": "user_id:lan", "right": "user_id:hung"}
    await post(client, "merge", **ends)
    parted = await post(client, "split", **ends, deny=False)
    assert (len(parted["withdrawn"]), parted["decided"]) == (1, [])
    assert parted["left"] != parted["right"]
    await house.send({"type": "alias", "userId": "lan", "previousId": "hung"})
    found = [(await person(client, f"user_id:{user}"))["profile_id"] for user in ("lan", "hung")]
    assert len(set(found)) == 1


async def test_what_cannot_be_decided_is_refused(house: House, client: httpx.AsyncClient) -> None:
    """One event that names both cannot be parted, and who never signed in cannot be joined."""
    await house.send(LAN, {"type": "page", "anonymousId": "other"})
    inseparable = await client.post(
        f"{IDENTITY}/split", json={"left": "user_id:lan/1:x:%y", "right": "phone:0905123456"}
    )
    assert (inseparable.status_code, inseparable.json()["error"]["code"]) == (409, "inseparable")
    nobody = await client.post(f"{IDENTITY}/merge", json={"left": "user_id:lan/1:x:%y", "right": "anonymous_id:other"})
    assert (nobody.status_code, nobody.json()["error"]["path"]) == (400, "right")
    unknown = await client.post(f"{IDENTITY}/merge", json={"left": "user_id:lan/1:x:%y", "right": "user_id:nobody"})
    assert unknown.status_code == 404
    malformed = await client.post(f"{IDENTITY}/merge", json={"left": "lan", "right": "user_id:nobody"})
    assert (malformed.status_code, malformed.json()["error"]["path"]) == (400, "left")


async def test_refused_links_wait_for_review(house: House, client: httpx.AsyncClient) -> None:
    """Pairs that share a value and were kept apart are listed with the reason, page by page; joined, they are gone."""
    for number in range(3):
        for user in ("a", "b"):
            traits = {"phone": f"090512345{number}"}
            await house.send({"type": "identify", "userId": f"{user}{number}", "traits": traits})
    first = (await client.get(f"{IDENTITY}/review", params={"limit": 2})).json()
    second = (await client.get(f"{IDENTITY}/review", params={"limit": 2, "after": first["next"]})).json()
    found = [*first["items"], *second["items"]]
    assert [one["value"] for one in found] == ["+84905123452", "+84905123451", "+84905123450"]
    assert second["next"] is None
    assert found[0]["reason"] == "together they would have 2 values of user_id; the limit is 1"
    await post(client, "merge", left=found[0]["left"], right=found[0]["right"])
    rest = (await client.get(f"{IDENTITY}/review")).json()["items"]
    assert [one["value"] for one in rest] == ["+84905123451", "+84905123450"]
    assert (await client.get(f"{IDENTITY}/review", params={"after": "x"})).status_code == 400


async def test_other_rules_are_tried_without_harm(house: House, client: httpx.AsyncClient) -> None:
    """What other limits or blocked values would merge and split is told, and nothing changes."""
    for user in ("lan", "hung"):
        await house.send({"type": "identify", "userId": user, "traits": {"phone": "0905123456"}})
    await house.send({"type": "identify", "anonymousId": "a", "traits": {"phone": "0905123456", "name": "Lan"}})
    before = [await person(client, f"user_id:{user}") for user in ("lan", "hung")]
    ids = sorted(one["profile_id"] for one in before)

    merging = await post(client, "simulate", limits={"user_id": 2})
    assert merging == {
        "observations": 3,
        "profiles_before": 2,
        "profiles_after": 1,
        "merges": [ids],
        "splits": [],
        "complete": True,
    }
    splitting = await post(client, "simulate", blocked_values=[r"\+84905.*"], identifiers=["user_id:lan"])
    assert (splitting["profiles_after"], splitting["merges"]) == (3, [])
    assert [one["parts"] for one in splitting["splits"]] == [2]
    assert not (await post(client, "simulate", most=1))["complete"]
    assert before == [await person(client, f"user_id:{user}") for user in ("lan", "hung")]
    wrong = {
        "blocked_values": ["(["],
        "limits": {"gclid": 1},
        "limits_within": {"anonymousId": 1},
        "priorities": ["gclid"],
    }
    for name, value in (wrong | {"priorities": ["gclid"]}).items():
        broken = await client.post(f"{IDENTITY}/simulate", json={name: value})
        assert (broken.status_code, broken.json()["error"]["path"]) == (400, name)


async def test_limits_of_a_period_and_priorities_are_tried(house: House, client: httpx.AsyncClient) -> None:
    """A limit counts what came in one period, though nobody asked for it before; another type may link first."""
    for email in ("lan@example.com", "lan@shop.vn", "tran.lan@example.com"):
        await house.send({"type": "identify", "anonymousId": "a", "traits": {"phone": "0905123456", "email": email}})

    parted = await post(client, "simulate", limits_within={"Email": 2})
    assert (parted["profiles_before"], parted["profiles_after"]) == (1, 2)
    assert (await post(client, "simulate", limits_within={"email": 3}, limit_period="day"))["profiles_after"] == 1
    # The telephone is stronger then, so the e-mail's limit has nothing to say about it.
    swapped = await post(client, "simulate", limits_within={"email": 2}, priorities=["phone"])
    assert swapped["profiles_after"] == 1


async def test_evidence_is_tried_without_harm(house: House, client: httpx.AsyncClient) -> None:
    """Slips that no rule forgives would join, once there is enough to learn from; and nothing changes."""
    few = await client.post(f"{IDENTITY}/simulate", json={"evidence": True})
    family = ["Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Phan", "Vũ", "Đặng", "Bùi", "Đỗ"]
    given = ["Lan", "Hùng", "Mai", "Sơn", "Thảo", "Khôi", "Vy"]
    said: list[dict[str, Any]] = []
    for number in range(300):
        name = f"{family[number % 10]} {given[number % 7]} {given[number // 43]}"
        born = f"{1960 + number % 45}-{number % 12 + 1:02d}-{number % 28 + 1:02d}"
        for user in (f"web-{number}", f"pos-{number}"):
            email = f"kh{number * 7919}@example.com" if user.startswith("web") or number % 3 else None
            traits = {"name": name, "birthday": born, "email": email}
            said.append({"type": "identify", "userId": user, "traits": traits})
    await house.send(*said)
    before = await person(client, "user_id:web-3")
    found = await post(client, "simulate", evidence=True)

    assert (few.status_code, few.json()["error"]["path"]) == (400, "evidence")
    assert (found["observations"], found["profiles_before"], found["splits"]) == (600, 600, [])
    assert 200 < len(found["merges"]) <= 300
    assert all(len(group) == 2 for group in found["merges"])
    assert before == await person(client, "user_id:web-3")


async def by_evidence(house: House) -> None:
    """From now on people are made by a model that is written down."""
    platform = house.platform
    await graph_of(platform).adopt(assumed_model(OBSERVED, 30), 1)


def graph_of(platform: Platform) -> Graph:
    """A graph of another process."""
    policy = Policy.of(platform.settings.identity)
    return Graph(platform.state, platform.settings.state.prefix, policy, platform.clock, partitions=4)


async def test_a_household_is_a_relation(house: House, client: httpx.AsyncClient) -> None:
    """People with one telephone and one address, and quite different names, stay two and are told of each other."""
    home = {"phone": "0905123456", "address": {"street": "5 Lê Lợi", "city": "Huế"}}
    names = {"lan": "Nguyễn Thị Lan", "hung": "Trần Văn Hùng"}
    for user, name in names.items():
        await house.send({"type": "identify", "userId": user, "traits": {**home, "name": name}})
    await house.send({"type": "identify", "userId": "tu", "traits": {"phone": "0905999888", "name": "Lê Minh Tú"}})
    by_rules = (await client.get(f"{PROFILES}/user_id:lan/household")).json()
    await by_evidence(house)
    found = (await client.get(f"{PROFILES}/user_id:lan/household")).json()
    hung = await person(client, "user_id:hung")

    assert by_rules["members"] == []
    assert [(one["profile_id"], one["probability"] > 0.5) for one in found["members"]] == [(hung["profile_id"], True)]
    assert "phone the same" in found["members"][0]["because"]
    assert found["profile_id"] == (await person(client, "user_id:lan"))["profile_id"] != hung["profile_id"]


async def test_who_is_likely_and_not_surely_one_waits_for_review(house: House, client: httpx.AsyncClient) -> None:
    """A doubtful link is one profile and two sure people; accepted it is surely one, rejected it is two profiles."""
    await by_evidence(house)
    names = {"first": "Nguyễn Thị Lan", "second": "Lan Nguyen"}
    await house.send(
        *({"type": "identify", "traits": {"phone": "0905123456", "name": name}} for name in names.values())
    )
    found = await person(client, "phone:0905123456", include="links")
    assert len(found["sure"]) == 2
    [link] = found["links"]
    assert (link["rule"], 0.5 < link["probability"] < 0.95) == ("evidence", True)
    assert link["because"].startswith("what they say fits one person: name ")
    told = (await client.get(f"{PROFILES}/phone:0905123456/explain")).json()
    assert f"likely ({link['probability']:.0%}) one person" in told["steps"][0]
    [doubt] = (await client.get(f"{IDENTITY}/review")).json()["items"]
    assert doubt["left"] == doubt["right"] == f"profile_id:{found['profile_id']}"
    assert (doubt["probability"], "not surely" in doubt["reason"]) == (link["probability"], True)
    ends = {side: f"observation:{doubt[f'{side}_observation']}" for side in ("left", "right")}

    assert (await post(client, "merge", **ends, reason="she said so"))["changed"]
    await house.load()
    assert (await person(client, "phone:0905123456"))["sure"] == []
    assert (await client.get(f"{IDENTITY}/review")).json()["items"] == []

    assert (await post(client, "split", **ends))["changed"]
    await house.load()
    left, right = [(await person(client, end))["profile_id"] for end in ends.values()]
    assert left != right


async def test_by_what_people_are_made_is_shown(house: House, client: httpx.AsyncClient) -> None:
    """Rules while there is too little; a model with what it says of each field; a new one when somebody asks."""
    await house.send(LAN)
    shown = (await client.get(f"{IDENTITY}/model")).json()
    assert (shown["by"], shown["status"], shown["observations"], shown["next_at"]) == ("rules", "waiting", 1, 2_000)
    refused = await client.post(f"{IDENTITY}/model")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "too_few_observations")
    await by_evidence(house)
    shown = (await client.get(f"{IDENTITY}/model")).json()
    assert (shown["by"], shown["status"]) == ("evidence", "remaking")
    likely = {how["how"]: how["probability"] for how in shown["fields"]["birthday"]}
    assert likely["the same"] == max(likely.values())
    await house.platform.state.set(f"{house.platform.settings.state.prefix}ion", 900)
    asked = await client.post(f"{IDENTITY}/model")
    assert (asked.status_code, asked.json()["status"]) == (202, "asked")
    await client.post(f"{IDENTITY}/model", params={"force": "true"})
    assert await house.platform.state.get(f"{house.platform.settings.state.prefix}iwq") == FORCE


async def test_what_was_refused_is_shown(house: House, client: httpx.AsyncClient) -> None:
    """When, why, and what the model would have done; the next comes with three times as many observations."""
    shown = (await client.get(f"{IDENTITY}/model")).json()
    assert (shown["adopted"], shown["refused"]) == (None, None)
    judgement = Judgement(version=1, observations=2_000, sample=2_000, before=7, after=9, reasons=("it is odd",))
    await house.platform.registry.put(KIND, REFUSED, msgspec.to_builtins(judgement))
    shown = (await client.get(f"{IDENTITY}/model")).json()
    assert (shown["by"], shown["status"], shown["next_at"], shown["adopted"]) == ("rules", "waiting", 6_000, None)
    refused = shown["refused"]
    assert (refused["people_before"], refused["people_after"], refused["reasons"]) == (7, 9, ["it is odd"])
    assert refused["at"].startswith("20")
    # A model that is adopted later says what it did, and nothing is refused any more.
    judgement = Judgement(version=1, observations=6_000, sample=6_000, before=9, after=8, merged=1)
    model = msgspec.to_builtins(replace(assumed_model(OBSERVED, 30), version=1))
    await house.platform.registry.put(KIND, KEY, model | {JUDGEMENT: msgspec.to_builtins(judgement)})
    await adopt(graph_of(house.platform), house.platform)
    shown = (await client.get(f"{IDENTITY}/model")).json()
    assert (shown["by"], shown["refused"]) == ("evidence", None)
    assert (shown["adopted"]["people_after"], shown["adopted"]["merged"], shown["adopted"]["reasons"]) == (8, 1, [])


async def test_the_graph_is_compared_and_made_again(house: House, client: httpx.AsyncClient) -> None:
    """The comparison says that both are equal; after the state is lost it says what is missing, and makes it again."""
    assert (await client.get(f"{IDENTITY}/rebuild")).json()["status"] == "finished"
    await house.send(PAGE, LAN)
    before = await person(client, "user_id:lan/1:x:%y")
    found = (await client.post(f"{IDENTITY}/rebuild")).json()
    assert (found["status"], found["equal"], found["anchors"]) == ("finished", True, 2)
    await house.platform.state.flushall()
    found = (await client.post(f"{IDENTITY}/rebuild")).json()
    assert (found["equal"], found["missing"]) == (False, 2)
    assert (await client.get(f"{PROFILES}/user_id:lan/1:x:%y")).status_code == 404
    await client.post(f"{IDENTITY}/rebuild", params={"apply": "true"})

    async def finished() -> dict[str, Any]:
        answer = await client.get(f"{IDENTITY}/rebuild")
        assert answer.json()["status"] == "finished"
        shown: dict[str, Any] = answer.json()
        return shown

    shown = await eventually(finished)
    assert (shown["applied"], shown["equal"], shown["done"], shown["total"]) == (True, True, 3, 3)
    assert await person(client, "user_id:lan/1:x:%y") == before


async def test_scopes(house: House, client: httpx.AsyncClient) -> None:
    """Reading people, reading what waits for review, and deciding are three permissions."""
    await house.send({"userId": "lan"})
    asked = {
        "profiles:read": ("GET", f"{PROFILES}/user_id:lan"),
        "identity:read": ("GET", f"{IDENTITY}/review"),
        "identity:write": ("POST", f"{IDENTITY}/rebuild"),
    }
    for scope in asked:
        await add_token(house.platform, f"cdp_{scope}", scope)
    for granted in asked:
        for scope, (method, path) in asked.items():
            answer = await client.request(method, path, headers={"Authorization": f"Bearer cdp_{granted}"})
            allowed = granted == scope or (granted, scope) == ("identity:write", "identity:read")
            assert answer.status_code == (200 if allowed else 403), (granted, path)

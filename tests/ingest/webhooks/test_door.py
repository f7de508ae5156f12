"""Tests of the door: whose webhook, handshakes, what cannot be understood, what a platform only announces, rotation."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from pydantic import ValidationError

from cdp.registry import Registry
from cdp.service import Platform
from cdp.settings import VaultSettings
from cdp.testing import FrozenClock
from cdp.vault import MASK
from ingest.collector import Collector
from ingest.metrics import FIGURES
from ingest.source import KIND
from ingest.testing import Client, set_aside, stored, zipped
from ingest.webhooks.webhook import Webhook
from tests.ingest.webhooks.conftest import Define, Graph
from tests.ingest.webhooks.senders import KEY, PATH, SECRET, case, definition

BEARER = {"Authorization": f"Bearer {SECRET}"}
JSON = {"Content-Type": "application/json"}


def own(**mapping: Any) -> dict[str, Any]:
    """A webhook without a preset, by bearer token."""
    return {"signature": {"scheme": "bearer", "secrets": [SECRET]}, "mapping": mapping}


# --- whose ----------------------------------------------------------------------------------------


async def test_only_sources_with_a_webhook_take_them(define: Define, sender: Client) -> None:
    """An unknown source, one without a webhook and a disabled one: 404 each, with its own word."""
    reply = await sender.ask("POST", PATH, BEARER, [b"{}"])
    assert (reply.status, reply.json()["code"]) == (404, "unknown_source")
    await define(webhook=None)
    reply = await sender.ask("POST", PATH, BEARER, [b"{}"])
    assert (reply.status, reply.json()["code"]) == (404, "no_webhook")
    await define(webhook=own(), enabled=False)
    reply = await sender.ask("POST", PATH, BEARER, [b"{}"])
    assert (reply.status, reply.json()["code"]) == (404, "no_webhook")


async def test_a_write_key_opens_nothing_here(ground: Platform, define: Define, sender: Client) -> None:
    """Write keys are public, so they prove nothing."""
    await define(webhook=own())
    entry = ground.registry.get(KIND, KEY)
    await ground.registry.put(KIND, KEY, entry.body | {"write_keys": [{"key": "wk_public_key", "created_at": 0}]})
    for headers in ({"Authorization": "Bearer wk_public_key"}, {"X-Write-Key": "wk_public_key"}):
        reply = await sender.ask("POST", f"{PATH}?writeKey=wk_public_key", headers, [b"{}"])
        assert reply.status == 401


async def test_secrets_that_cannot_be_opened(ground: Platform, define: Define, registry: Registry) -> None:
    """Under another master key nobody is let in, and nobody is told that the signature is wrong: 503, come again."""
    await define(webhook=own())
    other = ground.settings.model_copy(
        update={"vault": VaultSettings.model_validate({"master_key": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="})}
    )
    elsewhere = Collector(Platform(other, ground.clock, ground.log, registry))
    await elsewhere.start()
    for headers in (BEARER, {"Authorization": f"Bearer {MASK}"}):
        reply = await Client(elsewhere).ask("POST", PATH, headers, [b"{}"])
        assert (reply.status, reply.json()["code"]) == (503, "secrets_closed")
        assert int(reply.headers["retry-after"]) > 0


async def test_a_secret_is_replaced_without_a_gap(define: Define, sender: Client) -> None:
    """Old alone, old and new, new alone: the mask keeps the old one while the new one is added."""

    async def statuses() -> list[int]:
        tries = [{"Authorization": f"Bearer {secret}"} for secret in (SECRET, "new-secret")]
        return [(await sender.ask("POST", PATH, headers, [b'{"user_id":"lan"}'])).status for headers in tries]

    await define(webhook=own(user_id="user_id"))
    assert await statuses() == [200, 401]
    await define(webhook={"signature": {"scheme": "bearer", "secrets": [MASK, "new-secret"]}})
    assert await statuses() == [200, 200]
    await define(webhook={"signature": {"scheme": "bearer", "secrets": ["new-secret"]}})
    assert await statuses() == [401, 200]


# --- handshakes -----------------------------------------------------------------------------------


async def test_meta_hears_its_challenge(define: Define, sender: Client, log: Any) -> None:
    """With the right word the challenge comes back as plain text; with another one 401; nothing is stored."""
    await define("meta-leads")
    query = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token"
    reply = await sender.ask("GET", f"{PATH}?{query}=my-word")
    assert (reply.status, reply.body) == (200, b"1158201444")
    assert reply.headers["content-type"].startswith("text/plain")
    assert (await sender.ask("HEAD", f"{PATH}?{query}=my-word")).status == 200
    reply = await sender.ask("GET", f"{PATH}?{query}=other")
    assert (reply.status, reply.json()["code"]) == (401, "wrong_verify_token")
    reply = await sender.ask("GET", PATH)
    assert (reply.status, reply.headers["allow"]) == (405, "POST, OPTIONS")
    assert await stored(log) == []


@pytest.mark.parametrize(
    ("preset", "method", "path", "body", "kind", "status"),
    [
        ("mailchimp", "GET", f"{PATH}?token={SECRET}", b"", "", 200),
        ("mailchimp", "GET", f"{PATH}?token=other", b"", "", 401),
        ("mailchimp", "GET", PATH, b"", "", 401),
        ("mandrill", "HEAD", PATH, b"", "", 200),
        ("mandrill", "POST", PATH, b"mandrill_events=%5B%5D", "application/x-www-form-urlencoded", 200),
        ("woocommerce", "POST", PATH, b"webhook_id=7", "application/x-www-form-urlencoded", 200),
        ("woocommerce", "POST", PATH, b'{"webhook_id":7,"id":1}', "application/json", 401),
        ("tiktok-leads", "GET", f"{PATH}?token={SECRET}&challenge=42", b"", "", 200),
        ("zalo-oa", "POST", PATH, b"", "", 200),
        ("shopify", "GET", PATH, b"", "", 405),
        ("shopify", "HEAD", PATH, b"", "", 405),
    ],
)
async def test_a_platform_tries_the_address(
    preset: str, method: str, path: str, body: bytes, kind: str, status: int, define: Define, sender: Client, log: Any
) -> None:
    """Each platform's way to try an address is answered as it wants, and stores nothing."""
    await define(preset)
    reply = await sender.ask(method, path, {"Content-Type": kind} if kind else {}, [body])
    assert reply.status == status, reply.body
    assert (await stored(log), await set_aside(log)) == ([], [])


# --- what cannot be understood --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"broken":', "invalid_json"),
        (b"\xff\xfe{}", "invalid_utf8"),
        (b'{"n":1e999}', "number_out_of_range"),
        (b"[" * 2_000, "too_deep"),
    ],
)
async def test_what_is_signed_and_unreadable_is_kept(
    body: bytes, code: str, define: Define, sender: Client, log: Any
) -> None:
    """The platform would repeat it for nothing and then give up: 200, and the body lies in quarantine as it came."""
    await define(webhook=own())
    reply = await sender.ask("POST", PATH, BEARER | JSON, [body])
    assert (reply.status, reply.json()["accepted"]) == (200, 0)
    [kept] = await set_aside(log)
    assert (kept.code, kept.source) == (code, KEY)
    assert reply.json()["results"][0]["quarantine_id"] == kept.id
    assert (await sender.ask("POST", PATH, JSON, [body])).status == 401


async def test_an_empty_or_oversized_body_is_refused(ground: Platform, define: Define, sender: Client) -> None:
    """There is nothing to keep of the one, and too much of the other."""
    await define(webhook=own())
    assert (await sender.ask("POST", PATH, BEARER, [b" "])).json()["code"] == "empty_body"
    most = ground.settings.collector.max_body_bytes
    assert (await sender.ask("POST", PATH, BEARER, [b"x" * (most + 1)])).json()["code"] == "body_too_large"


@pytest.mark.parametrize("body", [b"5", b'"text"', b"null", b"true", b"[1]", b'[[{"a":1}]]', b"{}", b"[{}]"])
async def test_any_json_becomes_something(body: bytes, define: Define, sender: Client, log: Any) -> None:
    """A payload of an unexpected shape is kept aside whole, never lost and never a 500."""
    await define(webhook=own(each="entry[*].changes", topic="field"))
    assert (await sender.ask("POST", PATH, BEARER, [body])).status == 200
    [kept] = await set_aside(log)
    made = json.loads(kept.body)
    assert (kept.code, made["event"]) == ("missing_identity", "Webhook")
    if body not in (b"null", b"{}"):
        assert made["properties"] in (json.loads(body), {"payload": json.loads(body)})


async def test_a_topic_without_a_rule(define: Define, sender: Client, log: Any) -> None:
    """It is stored under the topic's name with all that is in it; or left out by choice, and counted."""
    body = b'{"topic":"table.reserved","seats":4,"guest":"lan"}'
    await define(webhook=own(topic="topic", user_id="guest"))
    await sender.ask("POST", PATH, BEARER, [body])
    [one] = await stored(log)
    assert (one.body["event"], one.body["properties"]["seats"]) == ("table.reserved", 4)

    await define(webhook=own(topic="topic", user_id="guest", unmatched="ignore"))
    before = FIGURES.events[KEY, "ignored"]
    reply = await sender.ask("POST", PATH, BEARER, [body])
    assert (reply.json()["accepted"], reply.json()["ignored"]) == (0, 1)
    assert FIGURES.events[KEY, "ignored"] == before + 1
    assert len(await stored(log)) == 1


async def test_a_bad_part_harms_no_neighbour(define: Define, sender: Client, log: Any) -> None:
    """Of three events in one delivery, the one with a time that is none is kept aside."""
    await define(webhook=own(each="@", user_id="who", timestamp="at", events=[{"event": "Table Reserved"}]))
    body = b'[{"who":"a","at":1795249800},{"who":"b","at":"soon"},{"who":"c"}]'
    reply = await sender.ask("POST", PATH, BEARER, [body])
    assert [one.body["userId"] for one in await stored(log)] in (["a", "c"], ["c", "a"])
    assert [(one["index"], one["code"]) for one in reply.json()["results"]] == [(1, "invalid_timestamp")]


async def test_own_rules_go_before_the_preset_s(define: Define, sender: Client, log: Any, clock: FrozenClock) -> None:
    """A shop may rename, leave out or add without copying the preset: the rest of it still holds."""
    rules = [
        {"when": {"$header.x-shopify-topic": "orders/create", "source_name": "pos"}, "type": "ignore"},
        {"when": {"$header.x-shopify-topic": "orders/create"}, "event": "Đơn hàng mới"},
    ]
    await define("shopify", mapping={"events": rules, "ids": {"crm_id": "{note_attributes[name='crm'].value}"}})
    for name in ("an order", "paid"):
        sent = case("shopify", name).sent(clock.now())
        await sender.ask("POST", sent.path, sent.headers, [sent.body])
    found = {one.body["event"]: one.body for one in await stored(log)}
    assert found.keys() == {"Đơn hàng mới", "Order Paid"}
    assert found["Đơn hàng mới"]["properties"]["order_id"] == "5551234567890"


async def test_one_payload_may_become_several_events(define: Define, sender: Client, log: Any) -> None:
    """`each` of a rule makes one event of each element, each with a messageId of its own, the same when sent again."""
    rule = {"each": "visits", "event": "Store Visited", "timestamp": "at", "properties": {"store": "$outer.store"}}
    await define(webhook=own(user_id="$body.who", message_id="{$body.id}", events=[rule]))
    body = b'{"id":"v-1","who":"lan","store":"Q1","visits":[{"at":1795249800},{"at":1795250800}]}'
    for _ in range(2):
        await sender.ask("POST", PATH, BEARER | {"Content-Encoding": "gzip"}, [zipped(body)])
    events = [one.body for one in await stored(log)]
    assert sorted(one["messageId"] for one in events) == ["v-1", "v-1", "v-1#1", "v-1#1"]
    assert all(one["properties"] == {"store": "Q1"} for one in events)


@pytest.mark.parametrize("kind", ["page", "screen", "group", "alias", "identify"])
async def test_every_kind_of_event_can_be_made(kind: str, define: Define, sender: Client, log: Any) -> None:
    """Pages, screens, groups and aliases have their own fields."""
    rule = {"type": kind, "event": "{name}", "group_id": "group", "previous_id": "before", "traits": {"plan": "plan"}}
    await define(webhook=own(user_id="who", events=[rule]))
    await sender.ask("POST", PATH, BEARER, [b'{"who":7,"name":"N","group":"G","before":"B","plan":"pro"}'])
    [one] = await stored(log)
    assert (one.event.type, one.body["userId"]) == (kind, "7")
    wanted = {"page": ("name", "N"), "screen": ("name", "N"), "group": ("groupId", "G"), "alias": ("previousId", "B")}
    name, value = wanted.get(kind, ("traits", {"plan": "pro"}))
    assert one.body[name] == value


async def test_the_platform_s_address_is_nobody_s(define: Define, sender: Client, log: Any) -> None:
    """The address that a webhook comes from is a data centre's."""
    await define(webhook=own(user_id="who", context={"userAgent": "ua"}, events=[{"event": "E"}]))
    await sender.ask("POST", PATH, BEARER, [b'{"who":"lan","ua":"Mozilla/5.0"}'])
    [one] = await stored(log)
    assert one.batch.ip is None


# --- what is only announced -----------------------------------------------------------------------


def announcement(*leads: str) -> bytes:
    """Meta's notification of leads."""
    changes = [{"field": "leadgen", "value": {"leadgen_id": lead, "created_time": 1795249790}} for lead in leads]
    return json.dumps({"object": "page", "entry": [{"id": "1", "changes": [change]} for change in changes]}).encode()


async def announce(sender: Client, body: bytes) -> Any:
    """Send it, signed."""
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return await sender.ask("POST", PATH, {**JSON, "X-Hub-Signature-256": f"sha256={signature}"}, [body])


async def test_a_lead_is_asked_for_with_the_source_s_token(
    define: Define, sender: Client, graph: Graph, log: Any
) -> None:
    """The answers come from the Graph API, at the version and host of the setting, for the fields of the preset."""
    graph.nodes["11"] = {"id": "11", "field_data": [{"name": "email", "values": ["lan@example.com"]}]}
    await define("meta-leads")
    assert (await announce(sender, announcement("11"))).status == 200
    assert graph.asked[0].startswith("/v25.0/11?fields=id%2Ccreated_time")
    [one] = await stored(log)
    assert one.body["context"]["traits"]["email"] == "lan@example.com"


async def test_a_lead_that_is_not_given_is_announced_again(
    define: Define, sender: Client, graph: Graph, log: Any
) -> None:
    """503, so that Meta repeats it; leads that were given are stored at once, and known when they come again."""
    graph.nodes["11"] = {"id": "11", "field_data": [{"name": "email", "values": ["lan@example.com"]}]}
    await define("meta-leads")
    reply = await announce(sender, announcement("11", "22"))
    assert (reply.status, reply.json()["code"]) == (503, "not_fetched")
    assert int(reply.headers["retry-after"]) > 0
    assert [one.event.id for one in await stored(log)] == ["leadgen:11"]

    graph.nodes["22"] = {"id": "22", "field_data": []}
    assert (await announce(sender, announcement("11", "22"))).status == 200
    assert sorted(one.event.id for one in await stored(log)) == ["leadgen:11", "leadgen:11", "leadgen:22"]


async def test_a_wrong_token_and_a_dead_host(define: Define, sender: Client, graph: Graph, log: Any) -> None:
    """Whatever keeps a lead back, it is announced again: 503."""
    graph.nodes["11"] = {"id": "11"}
    graph.token = "another"
    await define("meta-leads")
    assert (await announce(sender, announcement("11"))).status == 503
    for odd in ("../me", "1/2", "", "x" * 50):
        assert (await announce(sender, announcement(odd))).status == 503
    assert len(graph.asked) == 1
    assert await stored(log) == []


# --- definitions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("webhook", "word"),
    [
        ({"preset": "nobody", "signature": {"secrets": ["x"]}}, "There is no preset 'nobody'"),
        ({"preset": "shopify"}, "signature.secrets"),
        ({"mapping": {}}, "signature.scheme"),
        ({"preset": "meta-leads", "signature": {"secrets": ["x"]}}, "verify_token"),
        ({"preset": "meta-leads", "signature": {"secrets": ["x"]}, "verify_token": "w"}, "access_token"),
        (definition("shopify", mapping={"timestamp": "a |"}), "mapping.timestamp"),
        (definition("shopify", mapping={"events": [{"when": {"a b": "c"}}]}), "mapping.events.0.when"),
        (definition("shopify", mapping={"events": [{"event": "{"}]}), "mapping.events.0.event"),
        (definition("shopify", mapping={"properties": {"a": {"b": "c |"}}}), "mapping.properties"),
        (definition("shopify", signature={"secrets": ["a", "b", "c"]}), "signature.secrets"),
        (definition("shopify", mapping={"nothing": 1}), "mapping.nothing"),
    ],
)
def test_a_wrong_definition_says_where(webhook: dict[str, Any], word: str) -> None:
    """What could not work, or could let anybody in, is refused when it is defined."""
    with pytest.raises(ValidationError) as caught:
        Webhook.model_validate(webhook)
    told = [f"{'.'.join(map(str, one['loc']))} {one['msg']}" for one in caught.value.errors()]
    assert any(word in one for one in told), told

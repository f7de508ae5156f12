"""Tests of signed identity at the doors: what passes, what is set aside and why, and that no proof reaches the log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.records import RawBatch, RawEvent, decode_raw, encode
from cdp.registry import Registry
from cdp.service import Platform
from cdp.settings import CollectorSettings
from cdp.testing import FrozenClock
from identity import attributes, extract
from identity.policy import Policy
from ingest.collector import Collector
from ingest.edits import Remove
from ingest.envelopes import Receipt
from ingest.identities import CONTACTS, PERSONAL, SignedIdentities
from ingest.intake import Intake
from ingest.keys import Sources
from ingest.metrics import FIGURES
from ingest.origins import Origins
from ingest.quarantine import Quarantine
from ingest.signatures import SignedIdentity
from ingest.source import Source, SourceBody
from ingest.sources.segment import Limits, Opened, SegmentReader, made
from ingest.testing import Client, set_aside, stored
from tests.ingest.conftest import WRITE_KEY
from tests.ingest.test_signatures import KEYS, SECRET, pem, signed, token

MAIL = "lan@shop.vn"
PROOF = {"signature": signed("lan")}
WHOLE = {**PROOF, "email": signed(f"lan\nemail\n{MAIL}")}


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """The figures of no test are another's."""
    yield
    FIGURES.identities.clear()


async def ruled(registry: Registry, **identity: Any) -> None:
    """Give the source `shop` rules of identity. (Secrets in clear are as good here as sealed ones.)"""
    rules = {"mode": "enforce", "method": "hmac", "secrets": [SECRET], **identity}
    await registry.put("source", "shop", {**registry.get("source", "shop").body, "identity": rules})


def track(**more: Any) -> dict[str, Any]:
    """A track event."""
    return {"type": "track", "event": "E", "messageId": "m-1", **more}


def identify(**more: Any) -> dict[str, Any]:
    """An identify event."""
    return {"type": "identify", "messageId": "m-1", **more}


def context(identity: Any, **more: Any) -> dict[str, Any]:
    """A context with a proof."""
    return {"context": {"identity": identity, **more}}


# --- what passes ----------------------------------------------------------------------------------

ANONYMOUS = [
    track(anonymousId="a"),
    track(anonymousId="a", userId=None, context={"device": {"id": "d"}, "ip": "1.2.3.4"}),
    track(anonymousId="a", userId="", properties={"email": MAIL}),
    identify(anonymousId="a", traits={"plan": "free", "email": "", "name": None, "phone": {}, "address": []}),
    {"type": "group", "messageId": "m", "anonymousId": "a", "groupId": "g", "traits": {"name": "Shop", "email": MAIL}},
    track(
        anonymousId="a", context={"externalIds": [{"type": "gclid", "id": "x"}, {"type": "fcm.push_token", "id": "y"}]}
    ),
    track(anonymousId="a", context={"externalIds": [{"type": "crm", "id": "x", "collection": "accounts"}, 5, None]}),
    track(anonymousId="a", context={"externalIds": "none", "traits": {}}),
]
NAMED = [
    (track(userId="lan"), "userId"),
    (track(userId=12345), "userId"),
    (track(userId=" lan "), "userId"),
    (identify(userId="lan", traits={"email": MAIL}), "userId"),
    (identify(anonymousId="a", traits={"email": MAIL}), "traits.email"),
    (identify(anonymousId="a", traits={"mobile": 84901234567}), "traits.mobile"),
    (identify(anonymousId="a", traits={"name": "Lan"}), "traits.name"),
    (identify(anonymousId="a", traits={"address": {"city": "Hà Nội"}}), "traits.address"),
    (track(anonymousId="a", context={"traits": {"phone_number": "0901234567"}}), "context.traits.phone_number"),
    (track(anonymousId="a", context={"traits": {"dob": "1990-01-01"}}), "context.traits.dob"),
    (track(anonymousId="a", context={"externalIds": [{"type": "x"}, {"id": 7}]}), "context.externalIds[1].id"),
    ({"type": "alias", "messageId": "m", "userId": "lan", "previousId": "minh"}, "userId"),
    (track(anonymousId="a", previousId="minh"), "previousId"),
]  # fmt: skip
SIGNED = [
    track(userId="lan", **context(PROOF)),
    track(userId=" lan ", anonymousId="a", **context(PROOF)),
    identify(userId="lan", traits={"name": "Lan", "plan": "gold", "birthday": "1990-01-01"}, **context(PROOF)),
    identify(userId="lan", traits={"email": " Lan@Shop.VN"}, **context(WHOLE)),
    track(userId="lan", **context(WHOLE, traits={"email": MAIL})),
    track(userId="lan", **context(PROOF, externalIds=[{"type": "user_id", "id": "lan"}])),
    identify(anonymousId="a", traits={"email": MAIL}, **context({"email": signed(f"\nemail\n{MAIL}")})),
    {"type": "alias", "messageId": "m", "userId": "lan", "previousId": "lan", **context(PROOF)},
    {
        "type": "alias", "messageId": "m", "userId": "lan", "previousId": "minh",
        **context({**PROOF, "previousId": signed("lan\npreviousId\nminh")}),
    },
    track(userId="lan", **context({**PROOF, "crm": signed("lan\ncrm\n7")}, externalIds=[{"type": "CRM", "id": 7}])),
]  # fmt: skip
UNPROVEN = [
    (track(userId="minh", **context(PROOF)), "context.identity.signature"),
    (track(userId="lan", **context("text")), "context.identity"),
    (track(userId="lan", **context({"token": token()})), "userId"),
    (identify(userId="lan", traits={"email": MAIL}, **context(PROOF)), "traits.email"),
    (identify(userId="lan", traits={"email": "minh@shop.vn"}, **context(WHOLE)), "context.identity.email"),
    (track(userId="lan", **context(PROOF, traits={"email": MAIL})), "context.traits.email"),
    (track(userId="lan", **context(PROOF, externalIds=[{"type": "crm", "id": "7"}])), "context.externalIds[0].id"),
    (track(userId="lan", **context(PROOF, externalIds=[{"id": "7"}])), "context.externalIds[0].id"),
    ({"type": "alias", "messageId": "m", "userId": "lan", "previousId": "minh", **context(PROOF)}, "previousId"),
    (identify(anonymousId="a", traits={"name": "Lan"}, **context(PROOF)), "traits.name"),
    (identify(anonymousId="a", traits={"email": MAIL}, **context(WHOLE)), "context.identity.email"),
]


@pytest.mark.parametrize("event", ANONYMOUS, ids=json.dumps)
async def test_anonymous_activity_passes(event: dict[str, Any], client: Client, registry: Registry, log: Any) -> None:
    """Whoever is not named needs no proof, and is not verified."""
    await ruled(registry)
    assert "results" not in (await client.post("/v1/batch", {"batch": [event]})).json()
    assert [one.event.verified for one in await stored(log)] == [None]


@pytest.mark.parametrize(("event", "path"), NAMED, ids=lambda one: json.dumps(one) if isinstance(one, dict) else one)
async def test_whoever_is_named_without_a_proof_is_set_aside(
    event: dict[str, Any], path: str, client: Client, registry: Registry, log: Any
) -> None:
    """With the place in the event, and what to do; the neighbours are taken."""
    await ruled(registry)
    answer = (await client.post("/v1/batch", {"batch": [track(anonymousId="a"), event, track(anonymousId="b")]})).json()

    result = answer["results"][0]
    assert (result["index"], result["code"], result["path"]) == (1, "unsigned_identity", f"batch[1].{path}")
    assert "context.identity.signature" in result["message"]
    assert [one.event.anonymous_id for one in await stored(log)] == ["a", "b"]
    aside = await set_aside(log)
    assert [(one.code, one.status) for one in aside] == [("unsigned_identity", "quarantined")]
    assert dict(FIGURES.identities) == {("shop", "anonymous"): 2, ("shop", "unsigned"): 1}


@pytest.mark.parametrize("event", SIGNED, ids=json.dumps)
async def test_a_proven_event_is_verified(event: dict[str, Any], client: Client, registry: Registry, log: Any) -> None:
    """What the proof covers passes, marked; the proof itself is not stored."""
    await ruled(registry)
    assert "results" not in (await client.post("/v1/batch", {"batch": [event]})).json()
    (one,) = await stored(log)
    assert one.event.verified is True
    assert "identity" not in one.body["context"]
    assert PROOF["signature"] not in encode(one.batch).decode()


@pytest.mark.parametrize(("event", "path"), UNPROVEN, ids=lambda one: json.dumps(one) if isinstance(one, dict) else one)
async def test_a_proof_covers_no_more_than_is_in_it(
    event: dict[str, Any], path: str, client: Client, registry: Registry, log: Any
) -> None:
    """Another's id, another's address, another's account: set aside; the proof is not kept with it."""
    await ruled(registry)
    result = (await client.post("/v1/batch", {"batch": [event]})).json()["results"][0]
    assert (result["code"], result["path"]) == ("unsigned_identity", f"batch[0].{path}")
    (one,) = await set_aside(log)
    assert PROOF["signature"] not in one.body
    assert await stored(log) == []
    assert dict(FIGURES.identities) == {("shop", "unproven"): 1}


# --- where the proof stands -----------------------------------------------------------------------


async def test_a_proof_may_stand_beside_a_batch_or_in_a_header(client: Client, registry: Registry, log: Any) -> None:
    """An event's own comes first, then the batch's, then the header's; none of them is stored."""
    await ruled(registry)
    header = {"X-Identity-Proof": PROOF["signature"]}
    minh = {"signature": signed("minh")}
    batch = {"batch": [track(userId="lan"), track(userId="minh", **context(minh))]}
    for body, headers in ((batch, header), ({**batch, "context": {"identity": PROOF, "locale": "vi"}}, {})):
        answer = await client.post("/v1/batch", body, headers)
        assert "results" not in answer.json(), answer.body
    assert "results" not in (await client.post("/v1/track", track(userId="lan"), header)).json()
    assert "results" in (await client.post("/v1/track", track(userId="minh"), header)).json()

    kept = await stored(log)
    assert [one.event.verified for one in kept] == [True] * 5
    assert {bytes(one.batch.context) for one in kept} == {b"", b'{"locale":"vi"}'}


async def test_who_is_named_beside_a_batch_is_named_by_each_event(client: Client, registry: Registry, log: Any) -> None:
    """No way around: what stands beside the events becomes part of each."""
    await ruled(registry)
    for beside in ({"traits": {"email": MAIL}}, {"externalIds": [{"type": "crm", "id": "7"}]}):
        answer = await client.post("/v1/batch", {"batch": [track(anonymousId="a")], "context": beside})
        assert answer.json()["results"][0]["code"] == "unsigned_identity"
    inner = b'{"tr\\u0061its":{"em\\u0061il":"x@y.vn"}}'
    hidden = b'{"batch":[{"type":"track","event":"E","anonymousId":"a","context":%s}]}' % inner
    assert (await client.post("/v1/batch", hidden)).json()["results"][0]["path"] == "batch[0].context.traits.email"
    assert await stored(log) == []


async def test_tokens(client: Client, registry: Registry, log: Any) -> None:
    """The same with a JWT, in the event and in the header."""
    await ruled(registry, method="ES256", secrets=[], public_keys=[{"pem": pem(KEYS["ES256"])}])
    made_token = token(KEYS["ES256"], "ES256", email=MAIL)
    event = identify(userId="lan", traits={"email": MAIL, "name": "Lan"})
    assert "results" not in (await client.post("/v1/identify", {**event, **context({"token": made_token})})).json()
    assert "results" not in (await client.post("/v1/identify", event, {"X-Identity-Proof": made_token})).json()
    answer = (await client.post("/v1/identify", {**event, "userId": "minh"}, {"X-Identity-Proof": made_token})).json()
    assert [result["path"] for result in answer["results"]] == ["userId"]
    assert len(await stored(log)) == 2


async def test_an_image_request_can_carry_one(client: Client, registry: Registry, log: Any) -> None:
    """In its query, as every part of an event."""
    await ruled(registry)
    query = f"/pixel/v1/track?writeKey={WRITE_KEY}&userId=lan&event=Opened"
    await client.ask("GET", query)
    await client.ask("GET", f"{query}&context.identity.signature={PROOF['signature']}")
    assert [one.event.verified for one in await stored(log)] == [True]
    assert [one.code for one in await set_aside(log)] == ["unsigned_identity"]


# --- modes ----------------------------------------------------------------------------------------


async def test_observing_counts_and_lets_pass(client: Client, registry: Registry, log: Any) -> None:
    """So that it shows, before anything is set aside, how much is covered; a good proof marks, none is stored."""
    await ruled(registry, mode="observe")
    wrong = context({"signature": "0" * 64})
    batch = [
        track(anonymousId="a"),
        track(userId="minh"),
        track(userId="lan", **wrong),
        track(userId="lan", **context(PROOF)),
    ]
    assert "results" not in (await client.post("/v1/batch", {"batch": batch})).json()
    kept = {(one.event.anonymous_id or one.event.user_id, one.event.verified) for one in await stored(log)}
    assert kept == {("a", None), ("minh", None), ("lan", None), ("lan", True)}
    assert not any(b"signature" in one.event.body for one in await stored(log))
    assert {outcome: count for (_, outcome), count in FIGURES.identities.items()} == dict.fromkeys(
        ("anonymous", "unsigned", "unproven", "verified"), 1
    )


async def test_without_rules_everything_is_as_it_was(client: Client, log: Any) -> None:
    """Off: nothing is looked at, nothing taken out, nothing verified."""
    assert "results" not in (await client.post("/v1/track", track(userId="lan", **context(PROOF)))).json()
    (one,) = await stored(log)
    assert (one.event.verified, one.body["context"]) == (None, {"identity": PROOF})
    assert not FIGURES.identities


async def test_closed_secrets_make_senders_wait(client: Client, registry: Registry, log: Any) -> None:
    """Who enforces and cannot check answers 503, and loses nothing; who observes goes on."""
    sealed = {"$sealed": "v1.000000000000.AAAA"}
    await ruled(registry, secrets=[sealed])
    reply = await client.post("/v1/track", track(userId="lan", **context(PROOF)))
    assert (reply.status, reply.headers["retry-after"]) == (503, "30")
    await ruled(registry, secrets=[sealed], mode="observe")
    assert (await client.post("/v1/track", track(userId="lan", **context(PROOF)))).status == 200
    assert [one.event.verified for one in await stored(log)] == [None]


async def test_new_secrets_count_at_once(client: Client, registry: Registry, log: Any) -> None:
    """What was remembered under the old ones is forgotten."""
    await ruled(registry)
    event = track(userId="lan", **context(PROOF))
    assert "results" not in (await client.post("/v1/track", event)).json()
    await ruled(registry, secrets=["n" * 32])
    assert "results" in (await client.post("/v1/track", event)).json()


async def test_a_door_that_knows_its_sender_vouches(ground: Platform, registry: Registry, log: Any) -> None:
    """A signed webhook, an operator's file: verified, whatever the source asks of others."""
    await ruled(registry)
    source = Sources(registry, ground.clock).of(WRITE_KEY)
    event = track(userId="lan", context={"traits": {"email": MAIL}})
    taken = await Intake(ground).take(source, made([event], vouched=True), Receipt("shop", "t", 1, None))
    assert (taken.accepted, [one.event.verified for one in await stored(log)]) == (1, [True])
    taken = await Intake(ground).take(source, made([event]), Receipt("shop", "t", 1, None))
    assert taken.accepted == 0


# --- sent in again --------------------------------------------------------------------------------


async def test_what_is_corrected_is_not_thereby_proven(
    ground: Platform, client: Client, registry: Registry, log: Any, clock: FrozenClock
) -> None:
    """An event that was set aside for another fault is held to its proof when it goes in again, as of when it came."""
    await ruled(registry, method="HS256")
    fault = {"timestamp": "yesterday"}
    proof = context({"token": token(exp=clock.now() // 1_000 + 60)})
    events = [track(userId="lan", messageId="m-1", **fault), track(userId="lan", messageId="m-2", **fault, **proof)]
    await client.post("/v1/batch", {"batch": [*events, track(anonymousId="a", messageId="m-3", **fault)]})
    clock.advance(7 * 86_400_000)

    quarantine = Quarantine(ground)
    aside = [one for one in await set_aside(log) if one.code == "invalid_timestamp"]
    outcomes = await quarantine.edit_all(aside, [Remove(op="remove", path="timestamp")], replay=True)
    told = dict(zip((event.message_id for event in aside), outcomes, strict=True))
    assert {name: one.status for name, one in told.items()} == {"m-1": "refused", "m-2": "replayed", "m-3": "replayed"}
    assert getattr(told["m-1"].error, "code", "") == "unsigned_identity"
    assert {one.event.id: one.event.verified for one in await stored(log)} == {"m-2": True, "m-3": None}
    assert not any(b"token" in one.event.body for one in await stored(log))
    (outcome,) = await quarantine.replay_all([one for one in aside if one.message_id == "m-1"], vouch=True)
    assert getattr(outcome.error, "code", "") == "invalid_timestamp", "to vouch for it corrects nothing"


async def test_who_passed_the_door_and_broke_a_plan_stays_verified(
    ground: Platform, client: Client, registry: Registry, log: Any
) -> None:
    """Its proof is gone, but it was checked; once the plan allows it, it goes in as it was."""
    await ruled(registry)
    await registry.put("plan", "shop", {"mode": "quarantine", "events": {"E": {"required": ["x"]}}})
    await client.post("/v1/track", track(userId="lan", **context(PROOF)))
    await registry.put("plan", "shop", {"mode": "quarantine", "events": {"E": {}}})
    aside = await set_aside(log)
    assert [one.code for one in aside] == ["plan_violation"]
    (outcome,) = await Quarantine(ground).replay_all(aside)
    assert outcome.status == "replayed"
    assert [one.event.verified for one in await stored(log)] == [True]


# --- nobody says so himself -----------------------------------------------------------------------

EXTRACTOR = extract.Extractor(Policy())
READER = SegmentReader(Limits.of(CollectorSettings()))


@given(
    st.sampled_from(['"verified"', '"verif\\u0069ed"']),
    st.sampled_from(["true", "false", "null", "1", '"yes"', "{}", "[true]"]),
)
def test_no_sender_says_that_it_is_verified(name: str, value: str) -> None:
    """A member of that name is left out like others that the spec does not know; the event is taken."""
    event = f'{{"type":"track","event":"E","userId":"u","messageId":"m",{name}:{value}}}'
    for opened in (READER.open_single(event.encode(), "track"), READER.open_batch(f'{{"batch":[{event}]}}'.encode())):
        assert isinstance(opened, Opened)
        reading = READER.read(opened)
        assert [(key, one.verified) for key, one in reading.accepted] == [("u", None)]
        assert b"verif" not in reading.accepted[0][1].body


def test_the_mark_travels() -> None:
    """It is there where somebody was verified, and costs no byte where not."""
    events = [RawEvent("track", "m-1", user_id="u", verified=True), RawEvent("track", "m-2", user_id="u")]
    value = encode(RawBatch("shop", "t", 1, events))
    assert value.count(b"verified") == 1
    assert [event.verified for event in decode_raw(value)[0].events] == [True, None]
    assert msgspec.json.decode(events[1].body).keys() == {"type", "messageId", "userId"}


# --- against the wing that reads it ---------------------------------------------------------------

values = st.sampled_from(["", "lan", "lan@shop.vn", "0901234567", 901234567, None, True, ["x"], {"y": 1}])
traits = st.dictionaries(st.sampled_from([*CONTACTS, *PERSONAL, "plan", "userId", "Email", "id"]), values, max_size=2)
kinds = st.sampled_from(["email", "user_id", "crm", "gclid", "anonymous_id", "", "USERID", "a.push_token", 5])
ids = st.fixed_dictionaries(
    {"type": kinds, "id": values},
    optional={"collection": st.sampled_from(["users", "accounts"]), "encoding": st.sampled_from(["none", "sha256"])},
)
contexts = st.fixed_dictionaries(
    {}, optional={"traits": traits, "externalIds": st.lists(ids, max_size=1) | values, "device": st.just({"id": "d"})}
)
events = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["track", "identify", "group"]),
        "event": st.just("E"),
        "anonymousId": st.just("a"),
        "groupId": st.just("g"),
    },
    optional={"userId": st.sampled_from(["", " ", None]), "traits": traits, "context": contexts},
)
RULES = SignedIdentity.model_validate({"mode": "enforce", "secrets": [SECRET]})
SOURCE = Source("shop", SourceBody(name="Shop", identity=RULES), Origins())


@settings(max_examples=300)
@given(events, contexts)
def test_what_passes_unproven_identifies_nobody(event: dict[str, Any], beside: dict[str, Any]) -> None:
    """Identity reads no identifier out of it, no name, no address: there is nothing to join and nothing to change."""
    opened = READER.open_batch(encode({"batch": [event], "context": beside}))
    assert isinstance(opened, Opened)
    reading = SignedIdentities(FrozenClock().now).inspect(SOURCE, opened, READER.read(opened))
    for _, accepted in reading.accepted:
        found = EXTRACTOR.extract(accepted, RawBatch("shop", "t", 1, [accepted], context=opened.context))
        assert isinstance(found, extract.Extracted)
        assert found.observation is None
        assert not attributes.attributes(msgspec.json.decode(found.traits))


# --- what names a person --------------------------------------------------------------------------


def test_every_trait_that_identity_reads_is_looked_at() -> None:
    """Two wings, one list: a trait that identity learns to read must be guarded here."""
    assert set(CONTACTS) == {*extract.PHONES, "email"}
    assert _asked(attributes.attributes) == PERSONAL


def _asked(reads: Any) -> set[str]:
    """The names that a function asks of the traits it is given."""

    class Asked(dict[str, Any]):
        """Traits that write down what they are asked for."""

        def get(self, name: str, default: Any = None) -> Any:
            """Nothing."""
            names.add(name)
            return default

    names: set[str] = set()
    reads(Asked())
    return names


def test_the_collector_looks_first_at_who(ground: Platform) -> None:
    """Before any other inspection could set an event aside with its proof inside."""
    assert type(Collector(ground)._intake._inspections[0]).__name__ == "SignedIdentities"

"""The courier, step by step: retries, consent, poison, lost leases, order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from activation.connector import Batch, Capabilities, Connector, ConnectorSettings, Omitted
from activation.ledger import ABSENT, PRESENT, LeaseLostError, Standing
from activation.requests import HttpRequest, Reply, Request
from cdp.clock import HOUR
from tests.activation.arena import Arena, away, change, person, profile_id


def told(arena: Arena) -> list[tuple[str, str, int]]:
    """The deliveries on the log: action, outcome, attempt."""
    return [(one.action, one.outcome, one.attempt) for one in arena.log.deliveries]


def bodies(arena: Arena) -> list[dict[str, Any]]:
    """What was sent."""
    return [json.loads(request.body) for request in arena.sent]


async def test_a_change_is_delivered_and_told(state: Redis, tmp_path: Path) -> None:
    """One request, one record, and the ledger knows."""
    arena = Arena(state, tmp_path)
    arena.people[profile_id(1)] = person(1, city="Huế")
    await arena.desire(change(1, 1, at=7))
    await arena.settle(await arena.courier())

    [body] = bodies(arena)
    assert (body["type"], body["data"]["traits"], body["data"]["trace_id"]) == ("segment.entered", {"city": "Huế"}, "t")
    assert body["data"]["identifiers"] == {"email": ["an1@example.com"]}
    [delivery] = arena.log.deliveries
    assert delivery.id == arena.sent[0].headers["webhook-id"]
    assert (delivery.outcome, delivery.attempt, delivery.trace_id) == ("delivered", 1, "t")
    assert await arena.ledger.standing() == Standing(0, None, 0)
    assert await arena.ledger.outgoing() == []


async def test_failures_are_retried_under_one_id(state: Redis, tmp_path: Path) -> None:
    """Each attempt has its record, all have one id, and the last word is delivered."""
    arena = Arena(state, tmp_path)
    answers = [500, 429, 503, 200]
    arena.answer = lambda request: Reply(answers.pop(0), arena.clock.now())
    await arena.desire(change(1, 1))
    await arena.settle(await arena.courier())

    assert [outcome for _, outcome, _ in told(arena)] == ["retrying"] * 3 + ["delivered"]
    assert [attempt for *_, attempt in told(arena)] == [1, 2, 3, 4]
    assert len({request.headers["webhook-id"] for request in arena.sent}) == 1
    assert len({one.id for one in arena.log.deliveries}) == 1


async def test_retry_after_is_honoured(state: Redis, tmp_path: Path) -> None:
    """Nothing is sent before the moment that the destination named, not to other members either."""
    arena = Arena(state, tmp_path)
    start = arena.clock.now()
    arena.answer = lambda request: Reply(429, arena.clock.now(), {"retry-after": "120"})
    await arena.desire(change(1, 1))
    courier = await arena.courier()
    await courier.turn()
    await courier.landed()
    await arena.desire(change(2, 1))
    arena.clock.advance(119_000)
    await courier.turn()
    await courier.landed()
    assert len(arena.sent) == 1

    arena.answer = lambda request: Reply(200, arena.clock.now())
    await arena.settle(courier)
    assert arena.clock.now() >= start + 120_000
    assert arena.receiver.members() == {profile_id(1), profile_id(2)}


async def test_it_gives_up_after_the_hours_and_can_be_replayed(state: Redis, tmp_path: Path) -> None:
    """Never before, and what was set aside is visible and comes back."""
    arena = Arena(state, tmp_path, activation={"retry_hours": 2})
    start = arena.clock.now()
    arena.answer = away
    await arena.desire(change(1, 1))
    courier = await arena.courier()
    await arena.settle(courier)

    assert arena.clock.now() >= start + 2 * HOUR
    assert await arena.ledger.standing() == Standing(0, None, 1)
    last = arena.log.deliveries[-1]
    assert last.outcome == "failed" and last.reason == "given up after 2 h: the host cannot be reached"

    arena.answer = lambda request: Reply(200, arena.clock.now())
    assert await arena.ledger.replay(arena.clock.now()) == 1
    await arena.settle(courier)
    assert arena.log.deliveries[-1].outcome == "delivered"
    assert len({one.id for one in arena.log.deliveries}) == 1
    assert [one.attempt for one in arena.log.deliveries] == list(range(1, len(arena.log.deliveries) + 1))


async def test_a_dead_destination_is_left_alone(state: Redis, tmp_path: Path) -> None:
    """A thousand members wait while it is probed with single requests; none of them is given up untried."""
    arena = Arena(state, tmp_path, activation={"retry_hours": 1})
    arena.answer = away
    await arena.desire(*[change(number, 1) for number in range(1000)])
    courier = await arena.courier()
    await arena.settle(courier, hours=10)

    assert len(arena.sent) < 200
    standing = await arena.ledger.standing()
    assert standing.pending + standing.failed == 1000 and standing.failed < 50
    assert (await arena.ledger.facts())["breaker"] in ("open", "half-open")
    assert (await arena.ledger.facts())["error"] in (
        "the host cannot be reached",
        "given up after 1 h: the host cannot be reached",
    )

    arena.answer = lambda request: Reply(200, arena.clock.now())
    await arena.ledger.replay(arena.clock.now())
    await arena.settle(courier)
    assert len(arena.receiver.members()) == 1000
    assert (await arena.ledger.facts())["breaker"] == "closed"


async def test_a_refused_member_is_set_aside_alone(state: Redis, tmp_path: Path) -> None:
    """Its neighbours are delivered."""
    arena = Arena(state, tmp_path)

    def answer(request: HttpRequest) -> Reply:
        return Reply(422 if profile_id(3).encode() in request.body else 200, arena.clock.now())

    arena.answer = answer
    await arena.desire(*[change(number, 1) for number in range(6)])
    await arena.settle(await arena.courier())

    assert arena.receiver.members() == {profile_id(number) for number in range(6) if number != 3}
    assert await arena.ledger.standing() == Standing(0, None, 1)


async def test_members_are_batched(state: Redis, tmp_path: Path) -> None:
    """As many in one request as the receiver wants, never two segments together."""
    arena = Arena(
        state,
        tmp_path,
        settings={"url": "https://shop.example/", "secret": "whsec_" + "A" * 40, "batch": 10},
        segments=("vip", "lapsed"),
    )
    await arena.desire(*[change(number, 1) for number in range(25)])
    await arena.desire(*[change(number, 1, segment="lapsed") for number in range(5)])
    await arena.settle(await arena.courier())

    sizes = [
        (len(c), {one["data"]["segment"] for one in c}) for c in (body["data"]["changes"] for body in bodies(arena))
    ]
    assert sorted(size for size, _ in sizes) == [5, 5, 10, 10]
    assert all(len(segments) == 1 for _, segments in sizes)


async def test_a_change_during_a_flight_is_sent_after_it(state: Redis, tmp_path: Path) -> None:
    """The exit that comes while the entry is on its way waits for it, then goes."""
    arena = Arena(state, tmp_path)
    gate = asyncio.Event()
    courier = await arena.courier()
    send = arena.send

    async def slowly(request: Any) -> Reply:
        await gate.wait()
        return await send(request)

    arena.send = slowly  # type: ignore[method-assign]
    await arena.desire(change(1, 1))
    await courier.turn()
    await asyncio.sleep(0.01)
    await arena.desire(change(1, 2))
    await courier.turn()
    await asyncio.sleep(0.01)
    gate.set()
    await arena.settle(courier)

    assert [body["type"] for body in bodies(arena)] == ["segment.entered", "segment.exited"]


async def test_a_change_that_vanishes_before_the_flight_is_not_sent(state: Redis, tmp_path: Path) -> None:
    """An entry that was taken and then withdrawn before it left stays here."""
    arena = Arena(state, tmp_path)
    courier = await arena.courier()
    await arena.desire(change(1, 1))
    await courier._take(10)
    await arena.desire(change(1, 2))
    await arena.settle(courier)

    assert arena.sent == []
    assert told(arena) == []


async def test_denied_consent_keeps_people_out(state: Redis, tmp_path: Path) -> None:
    """Who denies before they were sent is dropped with a reason, and nothing is sent."""
    arena = Arena(state, tmp_path, purposes=("advertising",))
    arena.people[profile_id(1)] = person(1, consent={"advertising": False})
    await arena.desire(change(1, 1))
    await arena.settle(await arena.courier())

    assert arena.sent == []
    [delivery] = arena.log.deliveries
    assert (delivery.outcome, delivery.reason, delivery.attempt) == ("dropped", "no consent to advertising", 0)


async def test_consent_that_turns_round_is_followed(state: Redis, tmp_path: Path) -> None:
    """Withdrawn: removed. Given again: added. Each under an id of its own, so no receiver takes it for a repeat."""
    arena = Arena(state, tmp_path, purposes=("advertising",))
    courier = await arena.courier()
    await arena.desire(change(1, 1))
    for allowed in (True, False, True, True, False):
        arena.people[profile_id(1)] = person(1, consent={"advertising": allowed})
        await arena.ledger.review("vip", arena.clock.now())
        await arena.settle(courier)

    assert [body["type"].removeprefix("segment.") for body in bodies(arena)] == [
        "entered",
        "exited",
        "entered",
        "exited",
    ]
    assert len({request.headers["webhook-id"] for request in arena.sent}) == 4
    assert [one.attempt for one in arena.log.deliveries] == [1, 2, 3, 4]


class Picky(Connector[ConnectorSettings]):
    """Needs an email, cannot remove, omits some, and breaks on others."""

    name, title, transport, Settings = "picky", "Picky", "http", ConnectorSettings
    capabilities = Capabilities(batch=10, removes=False, identifiers=("email", "phone"), concurrency=1)

    def build(self, settings: ConnectorSettings, batch: Batch) -> Sequence[Request | Omitted]:
        """A request for all that can be sent."""
        if any("poison" in change.traits for change in batch.changes):
            raise ValueError("poison")
        omitted = [Omitted(n, "too odd") for n, change in enumerate(batch.changes) if "odd" in change.traits]
        rest = [n for n in range(len(batch.changes)) if n not in {one.member for one in omitted}]
        body = json.dumps([batch.changes[n].profile_id for n in rest]).encode()
        return [*omitted, *([HttpRequest(tuple(rest), "POST", "https://picky.example/", {}, body)] if rest else [])]


async def test_what_cannot_be_sent_harms_no_neighbour(state: Redis, tmp_path: Path) -> None:
    """No identifier, odd, poisonous, or not removable: each has its outcome, and the others are delivered."""
    arena = Arena(state, tmp_path, connector=Picky(), settings={})
    arena.receiver.take = lambda request: None  # type: ignore[method-assign]
    arena.people = {profile_id(n): person(n) for n in range(6)}
    arena.people[profile_id(1)] = person(1, odd=True)
    arena.people[profile_id(2)] = person(2, poison=True)
    del arena.people[profile_id(3)]
    await arena.desire(*[change(number, 1) for number in range(5)])
    courier = await arena.courier()
    await arena.settle(courier)

    outcomes = {one.profile_id: (one.outcome, one.reason) for one in arena.log.deliveries}
    assert outcomes == {
        profile_id(0): ("delivered", ""),
        profile_id(1): ("dropped", "too odd"),
        profile_id(2): ("failed", "picky cannot build it: ValueError"),
        profile_id(3): ("dropped", "no email or phone"),
        profile_id(4): ("delivered", ""),
    }
    await arena.desire(change(0, 2), change(3, 2))
    await arena.settle(courier)
    assert [(one.profile_id, one.reason) for one in arena.log.deliveries[5:]] == [
        (profile_id(0), "picky cannot remove")
    ]


class Rude(Picky):
    """Forgets members, and answers for too few."""

    name, title = "rude", "Rude"
    capabilities = Capabilities(batch=10, concurrency=1)

    def build(self, settings: ConnectorSettings, batch: Batch) -> Sequence[Request | Omitted]:
        """Only for the first two."""
        return [HttpRequest(tuple(range(len(batch.changes)))[:2], "POST", "https://rude.example/", {}, b"[]")]

    def interpret(self, settings: ConnectorSettings, request: Request, reply: Reply) -> list[Any]:
        """For nobody."""
        return []


async def test_a_connector_that_breaks_its_contract_loses_nobody(state: Redis, tmp_path: Path) -> None:
    """Forgotten members are set aside; unreadable replies are tried again."""
    arena = Arena(state, tmp_path, connector=Rude(), settings={}, activation={"retry_hours": 1})
    arena.receiver.take = lambda request: None  # type: ignore[method-assign]
    await arena.desire(*[change(number, 1) for number in range(3)])
    await arena.settle(await arena.courier())

    assert await arena.ledger.standing() == Standing(0, None, 3)
    reasons = {one.reason for one in arena.log.deliveries if one.outcome == "failed"}
    assert reasons == {
        "the connector built nothing for it",
        "given up after 1 h: rude cannot read the reply: ValueError",
    }


async def test_whoever_lost_the_lease_stops(state: Redis, tmp_path: Path) -> None:
    """The old courier sends nothing more; the new one delivers what is there."""
    arena = Arena(state, tmp_path)
    old = await arena.courier("old")
    await arena.desire(change(1, 1))
    new = await arena.courier("new")
    await old.turn()
    await old.landed()
    assert arena.sent == []

    await arena.settle(new)
    await arena.desire(change(2, 1))
    await arena.settle(new)
    assert arena.receiver.members() == {profile_id(1), profile_id(2)}
    with pytest.raises(LeaseLostError):
        await old.turn()


async def test_a_segment_that_is_sent_there_no_longer_is_forgotten(state: Redis, tmp_path: Path) -> None:
    """Members of a sync that was deleted leave the queue."""
    arena = Arena(state, tmp_path)
    await arena.desire(change(1, 1))
    await arena.ledger.desire("gone", [], 0)
    from activation.ledger import Wish

    await arena.ledger.desire("gone", [Wish(profile_id(9), "add", 1, 0)], arena.clock.now())
    await arena.settle(await arena.courier())

    assert arena.receiver.members() == {profile_id(1)}
    assert (await arena.ledger.standing()).pending == 0


async def test_records_wait_for_the_log(state: Redis, tmp_path: Path) -> None:
    """While the log is away nothing more is sent; afterwards all that happened is told, once."""
    arena = Arena(state, tmp_path)
    courier = await arena.courier()
    await arena.desire(change(1, 1))
    await courier.turn()
    await courier.landed()
    from cdp.errors import TransientError

    async def broken(drafts: Any) -> list[int]:
        raise TransientError("the log is away")

    append, arena.log.append = arena.log.append, broken  # type: ignore[method-assign]
    with pytest.raises(TransientError):
        await courier.turn()
    assert len(await arena.ledger.outgoing()) == 1

    arena.log.append = append  # type: ignore[method-assign]
    await courier.turn()
    assert told(arena) == [("add", "delivered", 1)]
    assert await arena.ledger.outgoing() == []


async def test_stopping_finishes_what_is_under_way(state: Redis, tmp_path: Path) -> None:
    """A clean stop delivers and tells what had begun, and starts nothing new."""
    arena = Arena(state, tmp_path)
    courier = await arena.courier()
    await arena.desire(*[change(number, 1) for number in range(100)])
    await courier.turn()
    await courier.stop(5)

    assert len(arena.sent) == len(arena.log.deliveries) == 8
    assert (await arena.ledger.standing()).pending == 92


async def test_the_loop_runs_until_the_lease_is_lost(state: Redis, tmp_path: Path) -> None:
    """`run` works by itself, wakes when told, and ends with the lease."""
    arena = Arena(state, tmp_path)
    courier = await arena.courier()
    running = asyncio.create_task(courier.run())
    for number in range(3):
        await arena.desire(change(number, 1))
        courier.wake()
        await asyncio.sleep(0.05)
    assert len(arena.receiver.members()) == 3

    await arena.desire(change(7, 1))
    await state.set(arena.ledger.lease_key, "them")
    courier.wake()
    with pytest.raises(LeaseLostError):
        await asyncio.wait_for(running, 5)
    assert arena.receiver.members() == {profile_id(number) for number in range(3)}


async def test_presence_is_known_after_each_outcome(state: Redis, tmp_path: Path) -> None:
    """What the destination holds is what it acknowledged."""
    from activation.ledger import Member

    arena = Arena(state, tmp_path)
    courier = await arena.courier()
    for sequence, there in ((1, PRESENT), (2, ABSENT), (3, PRESENT)):
        await arena.desire(change(1, sequence))
        await arena.settle(courier)
        member = Member("vip", profile_id(1))
        assert (await arena.ledger.entries([member]))[member].there == there

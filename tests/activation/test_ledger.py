"""The ledger, in a real Valkey, step by step and against a simple model."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from activation.ledger import (
    ABSENT,
    ADD,
    FAILED,
    PENDING,
    PRESENT,
    REMOVE,
    SETTLED,
    UNKNOWN,
    Entry,
    LeaseLostError,
    Ledger,
    Member,
    Standing,
    Start,
    Verdict,
    Wish,
)
from cdp.state import EmbeddedValkey

PROFILE = str(uuid.UUID(int=1))
VIP = Member("vip", PROFILE)
TOKEN = "us"


@pytest.fixture
async def ledger(state: Redis) -> AsyncIterator[Ledger]:
    """An empty ledger whose lease is ours."""
    opened = Ledger(state, "t:", "hook")
    await state.set(opened.lease_key, TOKEN)
    yield opened


def wish(action: Literal["add", "remove"], sequence: int, *, profile: str = PROFILE, there: int = -1) -> Wish:
    """A wish made at the moment `sequence`."""
    return Wish(profile, action, sequence, sequence, "trace", there)


async def entry_of(ledger: Ledger, member: Member = VIP) -> Entry | None:
    """What is known of the member."""
    return (await ledger.entries([member])).get(member)


async def send(ledger: Ledger, sequence: int, action: int = ADD, *, turns: int = 0) -> list[bool]:
    """Begin to send the member."""
    return await ledger.begin(TOKEN, "vip", [Start(PROFILE, sequence, action, turns)], 10)


async def settle(ledger: Ledger, sequence: int, verdict: Any, *, there: int = -1, at: int = 0) -> None:
    """Note what became of the member."""
    await ledger.settle(TOKEN, "vip", [Verdict(PROFILE, sequence, verdict, there, at)], 20)


async def test_a_member_waits_is_sent_and_settles(ledger: Ledger) -> None:
    """The way of a member that nothing disturbs."""
    assert await ledger.desire("vip", [wish("add", 1)], 5) == 1
    assert await ledger.standing() == Standing(1, 5, 0)
    [(member, entry)] = await ledger.due(5, limit=10)
    assert (member, entry.action, entry.sequence, entry.trace_id) == (VIP, ADD, 1, "trace")

    assert await send(ledger, 1) == [True]
    begun = await entry_of(ledger)
    assert begun is not None and (begun.there, begun.attempts, begun.first) == (UNKNOWN, 1, 10)
    await settle(ledger, 1, "done", there=PRESENT)

    settled = await entry_of(ledger)
    assert settled is not None and (settled.there, settled.status) == (PRESENT, SETTLED)
    assert await ledger.standing() == Standing(0, None, 0)
    assert await ledger.due(10**9, limit=10) == []


async def test_an_add_that_was_never_sent_vanishes_with_its_remove(ledger: Ledger) -> None:
    """Nothing was sent, so nothing is to be taken back."""
    await ledger.desire("vip", [wish("add", 1)], 5)
    assert await ledger.desire("vip", [wish("remove", 2)], 6) == 0

    assert await ledger.standing() == Standing(0, None, 0)
    assert await send(ledger, 1) == [False]


async def test_an_add_that_may_have_arrived_is_taken_back(ledger: Ledger) -> None:
    """Sent but not acknowledged: the remove is sent."""
    await ledger.desire("vip", [wish("add", 1)], 5)
    await send(ledger, 1)
    assert await ledger.desire("vip", [wish("remove", 2)], 6) == 1
    await settle(ledger, 1, "retry", at=1_000)

    [(_, entry)] = await ledger.due(20, limit=1)
    assert (entry.action, entry.sequence, entry.attempts) == (REMOVE, 2, 0)


async def test_an_acknowledged_add_is_taken_back(ledger: Ledger) -> None:
    """The remove is sent, whether it comes before or after the acknowledgement."""
    await ledger.desire("vip", [wish("add", 1)], 5)
    await send(ledger, 1)
    await ledger.desire("vip", [wish("remove", 2)], 6)
    await settle(ledger, 1, "done", there=PRESENT)
    assert (await ledger.standing()).pending == 1

    await send(ledger, 2, REMOVE)
    await settle(ledger, 2, "done", there=ABSENT)
    assert (await ledger.standing()).pending == 0


async def test_a_remove_that_was_never_sent_vanishes_with_the_next_add(ledger: Ledger) -> None:
    """Who is there and shall be there is left alone."""
    await ledger.desire("vip", [wish("add", 1)], 5)
    await send(ledger, 1)
    await settle(ledger, 1, "done", there=PRESENT)
    await ledger.desire("vip", [wish("remove", 2)], 6)

    assert await ledger.desire("vip", [wish("add", 3)], 7) == 0
    assert (await ledger.standing()).pending == 0


async def test_older_and_repeated_wishes_count_for_nothing(ledger: Ledger) -> None:
    """A repetition after a crash, even much later, changes nothing; also of a member who is gone."""
    await ledger.desire("vip", [wish("add", 1), wish("remove", 2)], 5)
    for late in (wish("add", 1), wish("remove", 2)):
        assert await ledger.desire("vip", [late], 6) == 0

    assert await ledger.due(10**9, limit=1) == []


async def test_a_retry_waits(ledger: Ledger) -> None:
    """Until its moment, and keeps its place in the count of those who wait."""
    await ledger.desire("vip", [wish("add", 1)], 5)
    await send(ledger, 1)
    await settle(ledger, 1, "retry", at=99)

    assert await ledger.due(98, limit=1) == []
    assert await ledger.next_due() == 99
    assert await ledger.standing() == Standing(1, 5, 0)
    assert len(await ledger.due(99, limit=1)) == 1


async def test_the_failed_are_set_aside_and_can_be_sent_again(ledger: Ledger) -> None:
    """They are counted, not due, and begin a new series of tries when replayed."""
    await ledger.desire("vip", [wish("add", 1)], 5)
    await send(ledger, 1)
    await settle(ledger, 1, "failed")
    assert await ledger.standing() == Standing(0, None, 1)

    assert await ledger.replay(30) == 1
    assert await ledger.standing() == Standing(1, 30, 0)
    entry = await entry_of(ledger)
    assert entry is not None and (entry.attempts, entry.tries, entry.first, entry.status) == (1, 0, 0, PENDING)
    assert await ledger.replay(30) == 0


async def test_a_newer_wish_takes_the_failed_back(ledger: Ledger) -> None:
    """Who failed to come in and shall go out is removed: nobody knows whether they got in."""
    await ledger.desire("vip", [wish("add", 1)], 5)
    await send(ledger, 1)
    await settle(ledger, 1, "failed")
    await ledger.desire("vip", [wish("remove", 2)], 6)

    assert await ledger.standing() == Standing(1, 6, 0)


async def test_without_the_lease_nothing_is_noted(ledger: Ledger, state: Redis) -> None:
    """Whoever lost the lease can neither begin nor settle; what did happen is still told."""
    await ledger.desire("vip", [wish("add", 1)], 5)
    await state.set(ledger.lease_key, "them")
    with pytest.raises(LeaseLostError):
        await send(ledger, 1)
    with pytest.raises(LeaseLostError):
        await ledger.settle(TOKEN, "vip", [Verdict(PROFILE, 1, "done", PRESENT)], 20, records=[b"told"])
    with pytest.raises(LeaseLostError):
        await ledger.handed_on(TOKEN, 1)

    entry = await entry_of(ledger)
    assert entry is not None and (entry.there, entry.attempts, entry.status) == (ABSENT, 0, PENDING)
    assert await ledger.outgoing() == [b"told"]
    await ledger.handed_on("them", 1)
    assert await ledger.outgoing() == []


async def test_those_under_way_are_skipped(ledger: Ledger) -> None:
    """Who is claimed does not hide who is not."""
    profiles = [str(uuid.UUID(int=number)) for number in range(20)]
    await ledger.desire("vip", [wish("add", 1, profile=profile) for profile in profiles], 5)
    claimed = {Member("vip", profile) for profile in profiles[:15]}

    assert len(await ledger.due(5, limit=3, skip=claimed)) == 3
    assert {member for member, _ in await ledger.due(5, limit=100, skip=claimed)} == {
        Member("vip", profile) for profile in profiles[15:]
    }


async def test_what_the_warehouse_knows_fills_gaps_only(ledger: Ledger) -> None:
    """`there` counts for members the ledger has never heard of; somebody gone who never came is not even noted."""
    await ledger.desire("vip", [wish("add", 1)], 5)
    await ledger.desire("vip", [wish("add", 1, there=PRESENT)], 6)
    entry = await entry_of(ledger)
    assert entry is not None and entry.there == ABSENT

    other = Member("vip", str(uuid.UUID(int=2)))
    assert await ledger.desire("vip", [wish("remove", 4, profile=other.profile_id, there=ABSENT)], 6) == 0
    assert await entry_of(ledger, other) is None
    assert await ledger.desire("vip", [wish("remove", 4, profile=other.profile_id, there=PRESENT)], 6) == 1
    third = str(uuid.UUID(int=3))
    assert await ledger.desire("vip", [wish("add", 1, profile=third, there=PRESENT)], 6) == 0


async def test_a_review_looks_at_settled_members_again(ledger: Ledger) -> None:
    """They become due without being counted as waiting; those set aside are left alone."""
    await ledger.desire("vip", [wish("add", 1, there=PRESENT)], 5)
    await ledger.review("vip", 7)

    assert [member for member, _ in await ledger.due(7, limit=5)] == [VIP]
    assert (await ledger.standing()).pending == 0


async def test_members_who_left_long_ago_are_forgotten(ledger: Ledger) -> None:
    """Only those who are surely gone."""
    profiles = [str(uuid.UUID(int=number)) for number in range(4)]
    await ledger.desire("vip", [wish("remove", 10, profile=profiles[0])], 5)
    await ledger.desire("vip", [wish("remove", 50, profile=profiles[1])], 5)
    await ledger.desire("vip", [wish("add", 10, profile=profiles[2])], 5)
    await ledger.desire("vip", [wish("remove", 10, profile=profiles[3], there=PRESENT)], 5)

    assert await ledger.tidy("vip", 40) == 1
    assert len(await ledger.entries([Member("vip", profile) for profile in profiles])) == 3


async def test_forgetting_leaves_nothing(ledger: Ledger, state: Redis) -> None:
    """A segment, then the destination: no key stays but the lease and what is still to be told."""
    await ledger.desire("vip", [wish("add", 1)], 5)
    await ledger.desire("lapsed", [wish("add", 1)], 5)
    await ledger.note({"breaker": "open"})
    await ledger.mark_synced("vip", 3, 4)
    assert await ledger.synced() == {"vip": (3, 4)}
    await ledger.forget("vip")
    assert [member.segment for member, _ in await ledger.due(5, limit=5)] == ["lapsed"]
    assert await ledger.synced() == {}

    await ledger.forget_all()
    assert await state.keys("t:*") == [ledger.lease_key.encode()]


class Model:
    """The ledger's member, in a few lines of plain Python."""

    def __init__(self) -> None:
        self.action, self.sequence, self.there, self.status = REMOVE, 0, ABSENT, SETTLED

    def desire(self, action: int, sequence: int) -> None:
        if sequence > self.sequence:
            self.action, self.sequence = action, sequence
            self.place()

    def place(self) -> None:
        self.status = SETTLED if self.there == self.action else PENDING

    def begin(self, sequence: int) -> bool:
        if sequence != self.sequence:
            return False
        self.there = UNKNOWN
        return True

    def settle(self, sequence: int, verdict: str, there: int) -> None:
        self.there = there if there >= 0 else self.there
        if sequence != self.sequence:
            self.place()
        else:
            self.status = {"done": SETTLED, "retry": PENDING, "failed": FAILED}[verdict]


steps = st.lists(
    st.tuples(st.just("desire"), st.sampled_from([ADD, REMOVE]), st.integers(1, 6))
    | st.tuples(st.just("begin"), st.integers(1, 6))
    | st.tuples(st.just("settle"), st.integers(1, 6), st.sampled_from(["done", "retry", "failed"]), st.integers(-1, 1)),
    max_size=15,
)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_the_scripts_do_what_the_model_does(state_server: EmbeddedValkey, steps: list[Any]) -> None:
    """Any sequence of wishes, beginnings and verdicts: status, presence and queues agree with the model."""

    async def run() -> None:
        client = Redis(unix_socket_path=str(state_server.socket))
        ledger, model = Ledger(client, f"{uuid.uuid4()}:", "hook"), Model()
        await client.set(ledger.lease_key, TOKEN)
        await ledger.desire("vip", [wish("remove", 0)], 1)
        for name, *arguments in steps:
            if name == "desire":
                action, sequence = arguments
                model.desire(action, sequence)
                await ledger.desire("vip", [wish("add" if action else "remove", sequence)], 1)
            elif name == "begin" and model.sequence:
                assert await send(ledger, arguments[0]) == [model.begin(arguments[0])]
            elif name == "settle" and model.sequence:
                sequence, verdict, there = arguments
                model.settle(sequence, verdict, there)
                await settle(ledger, sequence, verdict, there=there, at=50)
            await compare(ledger, model)
        await client.aclose()

    asyncio.run(run())


async def compare(ledger: Ledger, model: Model) -> None:
    """The entry and the queues say what the model says."""
    entry = await entry_of(ledger)
    if entry is not None:
        assert (entry.action, entry.sequence, entry.there) == (model.action, model.sequence, model.there)
        assert entry.status == model.status
    standing = await ledger.standing()
    assert standing.pending == (model.status == PENDING)
    assert standing.failed == (model.status == FAILED)
    assert len(await ledger.due(100, limit=9)) == (model.status == PENDING)

"""Tests of group commit: everything arrives once, each waits for its own, and who travels together fails together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.errors import CdpError, TransientError
from cdp.records import RawBatch, decode_raw
from cdp.streams.base import Draft
from cdp.testing import accepted_event
from ingest import group_commit
from ingest.group_commit import GroupCommit


class Slow:
    """A log that takes a turn of the loop for each append, and refuses when told to."""

    def __init__(self) -> None:
        self.appends: list[list[Draft]] = []
        self.refuse: CdpError | None = None
        self.most = self.now = 0

    async def append(self, drafts: Sequence[Draft]) -> list[int]:
        """Append, after a while."""
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.001)
        self.now -= 1
        if self.refuse is not None:
            raise self.refuse
        self.appends.append(list(drafts))
        return [0] * len(drafts)


def batch(number: int, source: str = "web") -> RawBatch:
    """What a request brings: one event."""
    return RawBatch(source, f"t{number}", number, [accepted_event({"userId": "u"}, f"m{number}")])


async def brought(commit: GroupCommit, source: str, batches: list[tuple[int, RawBatch]], size: int = 0) -> None:
    """Append, and wait until it is durable."""
    if (error := await commit.append(source, batches, size=size)) is not None:
        raise error


def arrived(log: Slow) -> list[tuple[str, int, str]]:
    """Source, partition and messageId of every event, in the order of the log; what each draft says of itself is so."""
    found = []
    for draft in (draft for drafts in log.appends for draft in drafts):
        batches = decode_raw(draft.value)
        assert {one.source for one in batches} == {draft.source}
        assert sum(len(one.events) for one in batches) == draft.records
        found += [(one.source, draft.partition, event.id) for one in batches for event in one.events]
    return found


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.integers(0, 3)), max_size=30))
def test_everything_arrives_once_and_in_order(requests: list[tuple[str, int, int]]) -> None:
    """However requests come together: each event is on the log once, in its place's order, when its append returns."""

    async def run() -> None:
        log = Slow()
        commit = GroupCommit(log)  # type: ignore[arg-type]

        async def bring(number: int, source: str, partition: int, turns: int) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            await brought(commit, source, [(partition, batch(number, source))], size=10)
            assert (source, partition, f"m{number}") in arrived(log)

        await asyncio.gather(*(bring(number, *request) for number, request in enumerate(requests)))
        assert sorted(arrived(log)) == sorted((s, p, f"m{n}") for n, (s, p, _) in enumerate(requests))
        assert log.most <= group_commit.MOST_UNDER_WAY

    asyncio.run(run())


async def test_requests_that_come_together_travel_together() -> None:
    """Of many requests at once, those of one source and partition are one message."""
    log = Slow()
    commit = GroupCommit(log)  # type: ignore[arg-type]
    await asyncio.gather(*(brought(commit, "web", [(0, batch(number))]) for number in range(50)))
    assert [len(drafts) for drafts in log.appends] == [1]


async def test_a_message_stays_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its size a message is closed and another begun."""
    monkeypatch.setattr(group_commit, "MESSAGE_BYTES", 100)
    log = Slow()
    commit = GroupCommit(log)  # type: ignore[arg-type]
    await asyncio.gather(*(brought(commit, "web", [(0, batch(number))], size=30) for number in range(10)))
    assert [draft.records for draft in log.appends[0]] == [4, 4, 2]
    assert [name for *_, name in arrived(log)] == [f"m{number}" for number in range(10)]


async def test_a_refusal_is_for_those_who_shared_it() -> None:
    """Who travelled together is refused together; who comes later is not, and one who left keeps nobody."""
    log = Slow()
    commit = GroupCommit(log)  # type: ignore[arg-type]
    log.refuse = TransientError("The disk is full.")
    together = [asyncio.create_task(brought(commit, "web", [(0, batch(number))])) for number in range(3)]
    await asyncio.sleep(0)
    together[1].cancel()
    results = await asyncio.gather(*together, return_exceptions=True)
    assert [type(one) for one in results] == [TransientError, asyncio.CancelledError, TransientError]
    assert commit.trouble == "The disk is full."

    log.refuse = None
    await brought(commit, "web", [(0, batch(9))])
    assert (commit.trouble, [name for *_, name in arrived(log)]) == ("", ["m9"])

"""The table of definitions, on the embedded log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cdp.errors import ConflictError, NotFoundError, TransientError
from cdp.registry import Entry, Registry
from cdp.streams.base import Draft, Log, Message
from cdp.testing import FrozenClock
from cdp.topics import DEFINITIONS
from tests.waiting import eventually


@pytest.fixture
async def other(log: Log, clock: FrozenClock) -> AsyncIterator[Registry]:
    """The registry of another process."""
    opened = Registry(log, clock)
    await opened.start()
    yield opened
    await opened.close()


async def test_what_was_put_is_there(registry: Registry, clock: FrozenClock) -> None:
    """`put` returns what is in force, with its place on the log, its times and its author."""
    began = clock.now()
    first = await registry.put("segment", "vip", {"name": "VIP"}, by="admin")
    later = clock.advance(5_000)
    second = await registry.put("segment", "vip", {"name": "Very"}, by="lan")

    assert first == Entry("segment", "vip", {"name": "VIP"}, 0, began, began, "admin")
    assert second == Entry("segment", "vip", {"name": "Very"}, 1, began, later, "lan")
    assert registry.get("segment", "vip") == registry.find("segment", "vip") == second


async def test_what_is_not_there(registry: Registry) -> None:
    """`find` returns None, `get` and `delete` say that it is not there; kinds do not mix."""
    await registry.put("segment", "vip", {})

    assert registry.find("source", "vip") is None
    with pytest.raises(NotFoundError, match="no source called 'vip'"):
        registry.get("source", "vip")
    with pytest.raises(NotFoundError):
        await registry.delete("segment", "gone")


async def test_all_are_listed_by_key(registry: Registry) -> None:
    """`all` is of one kind, in the order of the keys, without what was deleted."""
    for key in ("b", "c", "a"):
        await registry.put("source", key, {"key": key})
    assert await registry.delete("source", "c") == 3

    assert [entry.key for entry in registry.all("source")] == ["a", "b"]
    assert registry.all("token") == []


async def test_expected_versions(registry: Registry) -> None:
    """A change that expects another version than the one in force is refused, and nothing is changed."""
    entry = await registry.put("segment", "vip", {"n": 1}, expected=-1)
    with pytest.raises(ConflictError, match="exists already"):
        await registry.put("segment", "vip", {"n": 2}, expected=-1)
    await registry.put("segment", "vip", {"n": 3}, expected=entry.version)
    with pytest.raises(ConflictError, match="changed meanwhile"):
        await registry.put("segment", "vip", {"n": 4}, expected=entry.version)
    assert registry.get("segment", "vip").body == {"n": 3}


async def test_of_two_that_create_at_once_one_wins(registry: Registry) -> None:
    """Within one process, expectations hold even for changes made at the same moment."""
    attempts = [registry.put("segment", "vip", {"n": number}, expected=-1) for number in range(5)]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)

    [won] = [outcome for outcome in outcomes if isinstance(outcome, Entry)]
    assert [type(outcome) for outcome in outcomes if outcome is not won] == [ConflictError] * 4
    assert registry.get("segment", "vip") == won


async def test_every_process_sees_every_change(registry: Registry, other: Registry) -> None:
    """What one process defines another has soon; the later change wins everywhere."""
    entry = await registry.put("source", "web", {"n": 1})
    await other.reached(entry.version)
    assert other.get("source", "web") == entry
    await asyncio.gather(registry.put("source", "web", {"n": 2}), other.put("source", "web", {"n": 3}))
    await asyncio.gather(registry.reached(2), other.reached(2))

    assert registry.get("source", "web") == other.get("source", "web")
    assert registry.get("source", "web").version == 2


async def test_a_new_process_has_everything_at_once(registry: Registry, log: Log, clock: FrozenClock) -> None:
    """`start` returns when all that was defined before is there."""
    for number in range(50):
        await registry.put("segment", f"s{number}", {"n": number})
    await registry.delete("segment", "s0")
    again = Registry(log, clock)
    await again.start()

    assert again.all("segment") == registry.all("segment")
    assert len(again.all("segment")) == 49
    await again.close()


async def test_watchers_hear_of_changes(registry: Registry, other: Registry) -> None:
    """A watcher is told of every change from then on, whoever makes it; one that fails harms nobody."""
    heard: list[tuple[str, str, Entry | None]] = []

    def broken(kind: str, key: str, entry: Entry | None) -> None:
        raise RuntimeError("a bug")

    await registry.put("source", "before", {})
    registry.watch(broken)
    registry.watch(lambda *change: heard.append(change))
    entry = await registry.put("source", "web", {"n": 1})
    await other.reached(entry.version)
    await other.delete("source", "web")
    await registry.reached(2)

    assert heard == [("source", "web", entry), ("source", "web", None)]


async def test_waiting_for_a_version_ends(registry: Registry) -> None:
    """A version that does not come is not waited for longer than told."""
    with pytest.raises(TransientError, match="could not be read up to 7"):
        await registry.reached(7, timeout=0.01)


async def test_a_definition_that_cannot_be_read_is_passed_over(registry: Registry, log: Log) -> None:
    """One broken message on the topic does not hide what follows it."""
    await log.append([Draft(DEFINITIONS.name, 0, b"this is no definition")])
    await registry.put("source", "web", {"n": 1})

    assert registry.get("source", "web").version == 1


async def test_a_log_that_was_away_is_read_on(log: Log, clock: FrozenClock) -> None:
    """While the log cannot be read the table stays as it is; then it catches up."""

    class Faulty:
        def __init__(self, reader: Any) -> None:
            self.reader = reader
            self.failures = 3

        async def read(self, *, limit: int, timeout: float) -> list[Message]:
            if self.failures:
                self.failures -= 1
                raise TransientError("away", retry_after=0.01)
            return await self.reader.read(limit=limit, timeout=timeout)

        async def close(self) -> None:
            await self.reader.close()

    class FaultyLog:
        append = log.append
        end_offsets = log.end_offsets

        async def reader(self, *arguments: Any, **options: Any) -> Faulty:
            return Faulty(await log.reader(*arguments, **options))

    opened = Registry(FaultyLog(), clock)  # type: ignore[arg-type]
    await opened.start()
    await opened.put("source", "web", {})
    assert await eventually(lambda: opened.find("source", "web"))
    await opened.close()


@hypothesis_settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["source", "segment"]), st.sampled_from("abc"), st.none() | st.integers()),
        max_size=30,
    )
)
async def test_the_table_is_what_was_last_said(registry: Registry, changes: list[tuple[str, str, int | None]]) -> None:
    """After any changes the table is that of a dictionary."""
    oracle = {(entry.kind, entry.key): entry.body for kind in ("source", "segment") for entry in registry.all(kind)}
    for kind, key, value in changes:
        if value is not None:
            await registry.put(kind, key, {"n": value})
            oracle[kind, key] = {"n": value}
        elif (kind, key) in oracle:
            await registry.delete(kind, key)
            del oracle[kind, key]

    found = {(entry.kind, entry.key): entry.body for kind in ("source", "segment") for entry in registry.all(kind)}
    assert found == oracle

"""The log: durable, partitioned, ordered within a partition, read by groups. Two implementations, one contract.

    drafts ─► Log.append ─► messages ─► Consumer (shares the partitions with its group, commits)
                                    └─► Reader   (reads everything, commits nothing)

`tests/contracts/log.py` is the contract in tests.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import structlog

from cdp.errors import PermanentError
from cdp.topics import Topic

log = structlog.get_logger(__name__)

# The largest value of a message, in bytes. A Kafka broker takes up to 100 MB a request, for all partitions together.
LARGEST = 32_000_000


class Partition(NamedTuple):
    """A partition of a topic."""

    topic: str
    number: int


class Draft(NamedTuple):
    """A message to be appended. `records` is how many records `value` holds, `source` whose they are."""

    topic: str
    partition: int
    value: bytes
    records: int = 1
    source: str = ""


class Message(NamedTuple):
    """A message as stored; `timestamp` is when it was appended, in milliseconds since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes
    records: int = 1
    source: str = ""

    @property
    def place(self) -> Partition:
        """The partition it lies in."""
        return Partition(self.topic, self.partition)


class Backlog(NamedTuple):
    """What a group has still to read: messages, and their records by source.

    `exact` is False where a long backlog's records were estimated from its beginning; `messages` is always exact.
    """

    messages: int
    records: dict[str, int]
    exact: bool = True


class Assignment(Protocol):
    """What a consumer tells its owner when the group shares its partitions anew.

    Both are called inside `poll` (and `revoked` in `close`), so never while the owner works on messages. Where the
    owner does not poll for minutes, its partitions go to other members before it hears of it; commits are then void.
    """

    async def assigned(self, places: Sequence[Partition]) -> Mapping[Partition, int]:
        """Partitions gained. Returns the offsets to start from where the committed ones must not be used.

        When it raises, `poll` raises the same, and the next poll calls it again.
        """
        ...

    async def revoked(self, places: Sequence[Partition]) -> None:
        """Partitions lost; work on them must not be committed any more."""
        ...


class Consumer(Protocol):
    """One member of a group."""

    async def poll(self, *, limit: int, timeout: float) -> list[Message]:
        """At most about `limit` records' worth of messages, in order within each partition; [] after `timeout` seconds.

        Raises `TransientError` when the log cannot be read now.
        """
        ...

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Record the next offset to read, per partition. A partition lost meanwhile is skipped in silence."""
        ...

    async def seek(self, offsets: Mapping[Partition, int]) -> None:
        """Read on from these offsets. One beyond the end means the beginning, as after a log that was lost."""
        ...

    async def close(self) -> None:
        """Leave the group."""
        ...


class Reader(Protocol):
    """Reads every partition of some topics, outside any group."""

    async def read(self, *, limit: int, timeout: float) -> list[Message]:
        """The next messages, at most about `limit` records' worth; [] after `timeout` seconds."""
        ...

    async def close(self) -> None:
        """Stop reading."""
        ...


class Log(Protocol):
    """The log of one installation."""

    async def start(self) -> None:
        """Connect and make missing topics. Raises `MisconfiguredError` or `TransientError`."""
        ...

    async def close(self) -> None:
        """Finish what is under way within a few seconds, then let go."""
        ...

    def trouble(self) -> str:
        """Why it could not be appended to lately, in words; empty while all is well. Cheap, never waits."""
        ...

    def partitions(self, topic: Topic) -> int:
        """How many partitions the topic has."""
        ...

    async def append(self, drafts: Sequence[Draft]) -> list[int]:
        """Append all drafts, and return their offsets once every one is durable.

        Raises `TransientError` when that did not happen in time; some of them may then be stored nevertheless. Raises
        `PermanentError` for a value larger than `LARGEST` and for a partition that does not exist.
        """
        ...

    async def consumer(self, group: str, topics: Sequence[Topic], owner: Assignment) -> Consumer:
        """Join a group. `owner` is told of each new share of the partitions."""
        ...

    async def reader(
        self,
        topics: Sequence[Topic],
        *,
        start: Mapping[Partition, int] | str = "latest",
    ) -> Reader:
        """Read outside any group, from `"earliest"`, `"latest"`, or given offsets (absent: latest)."""
        ...

    async def end_offsets(self, topic: Topic) -> dict[int, int]:
        """The offset that the next message of each partition will get."""
        ...

    async def committed(self, group: str, topic: Topic) -> dict[int, int]:
        """The group's committed offset of each partition; 0 where it has none."""
        ...

    async def backlog(self, group: str, topic: Topic) -> Backlog:
        """What the group has not committed yet."""
        ...


class Trouble:
    """The last append's failure, until one works.

    It is forgotten after a while: where a troubled process gets no more requests, nothing would ever prove it well.
    """

    LASTS = 30.0

    def __init__(self) -> None:
        self._reason = ""
        self._at = 0.0

    def note(self, reason: str) -> None:
        """An append failed for this reason; or, with an empty one, worked."""
        if reason and not self._reason:
            log.error("log.unwritable", reason=reason)
        elif self._reason and not reason:
            log.info("log.writable")
        self._reason, self._at = reason, time.monotonic()

    def __str__(self) -> str:
        return self._reason if time.monotonic() - self._at < self.LASTS else ""


def check(drafts: Sequence[Draft], partitions: Callable[[str], int]) -> None:
    """Refuse drafts that no log can take. `partitions` tells how many a topic has, by name; 0 for an unknown one.

    Raises `PermanentError`.
    """
    for draft in drafts:
        if not 0 <= draft.partition < partitions(draft.topic):
            raise PermanentError(f"The log has no partition {draft.partition} of {draft.topic!r}.")
        if len(draft.value) > LARGEST:
            raise PermanentError(f"A message of {len(draft.value)} bytes is too large for the log: split it.")

"""Consumer groups in the embedded log's file: members, who reads which partition, and how far each group has come.

A partition is held by one member at a time, from `generation` on; only its holder's commits count. A member that must
give a partition up does so itself, at its next poll, so work on it has ended before another member gets it. A member
whose process is gone, or whose lease has run out, is put out by whichever other member looks next.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from cdp.streams.store import QUERIES, Shelf, Transaction

Alive = Callable[[str, float], bool]


class Member(NamedTuple):
    """One consumer: of which group and process, and the numbers of the topics it reads."""

    name: str
    group: str
    process: str
    topics: tuple[int, ...]


class Share(NamedTuple):
    """A member's part of its group's partitions.

    `held`: place → generation; `surplus`: held, but another member's turn; `offsets`: place → committed offset.
    """

    version: int
    held: dict[int, int]
    surplus: frozenset[int]
    offsets: dict[int, int]


def assign(members: Mapping[str, Collection[int]], shelves: Iterable[Shelf]) -> dict[int, str]:
    """Members and the topics they read → who is to have each place: in turn, in the order of their names."""
    turns = [
        (place, sorted(name for name, topics in members.items() if shelf.number in topics))
        for shelf in sorted(shelves)
        for place in shelf.places()
    ]
    return {place: names[turn % len(names)] for turn, (place, names) in enumerate(turns) if names}


def share(transaction: Transaction, member: Member, shelves: Collection[Shelf], expires: float, alive: Alive) -> Share:
    """Join if not a member (any more), take what is free and due, and say what there is.

    `expires` is when the member's lease ends; `alive(process, expires)` tells whether another's still holds.
    """
    connection = transaction.connection
    put_out(transaction, member.group, alive)
    if not connection.execute(QUERIES["renew"], (expires, member.name)).rowcount:
        topics = json.dumps(member.topics)
        connection.execute(QUERIES["join"], (member.name, member.group, member.process, topics, expires))
        connection.executemany(QUERIES["subscribe"], [(member.group, topic) for topic in member.topics])
        transaction.bump(member.group)
    rows = connection.execute(QUERIES["members"], (member.group,)).fetchall()
    due = assign({name: json.loads(topics) for name, _, topics, _ in rows}, shelves)
    holders = {place: (name, since) for place, name, since in connection.execute(QUERIES["shares"], (member.group,))}
    mine = {place for place, name in due.items() if name == member.name}
    _take(transaction, member, mine - holders.keys())
    return _share_of(transaction, member, mine)


def release(transaction: Transaction, member: Member, surplus: Iterable[int]) -> int:
    """Give these places up; returns the group's new version."""
    transaction.connection.executemany(QUERIES["release"], [(member.group, place, member.name) for place in surplus])
    return transaction.bump(member.group)


def leave(transaction: Transaction, member: Member) -> None:
    """End the membership and give everything up."""
    _remove(transaction, member.group, member.name)
    transaction.bump(member.group)


def renew(transaction: Transaction, members: Iterable[Member], expires: float, alive: Alive) -> set[str]:
    """Lengthen the members' leases and put others out whose own has ended. Returns the names that are no members."""
    execute = transaction.connection.execute
    members = list(members)
    missing = {member.name for member in members if not execute(QUERIES["renew"], (expires, member.name)).rowcount}
    for group in {member.group for member in members}:
        put_out(transaction, group, alive)
    return missing


def put_out(transaction: Transaction, group: str, alive: Alive) -> None:
    """Remove members that are gone, with what they held."""
    rows = transaction.connection.execute(QUERIES["members"], (group,)).fetchall()
    gone = [name for name, process, _, expires in rows if not alive(process, expires)]
    for name in gone:
        _remove(transaction, group, name)
    if gone:
        transaction.bump(group)


def commit(transaction: Transaction, member: Member, offsets: Iterable[tuple[int, int, int]]) -> None:
    """Record (place, generation, next offset); those that the member has not held since then are skipped."""
    rows = [
        {"group_name": member.group, "place": place, "next": offset, "member": member.name, "generation": generation}
        for place, generation, offset in offsets
    ]
    transaction.connection.executemany(QUERIES["commit"], rows)


def _take(transaction: Transaction, member: Member, free: Collection[int]) -> None:
    if free:
        generation = transaction.bump(member.group)
        rows = [(member.group, place, member.name, generation) for place in free]
        transaction.connection.executemany(QUERIES["take"], rows)


def _share_of(transaction: Transaction, member: Member, due: Collection[int]) -> Share:
    connection = transaction.connection
    rows = connection.execute(QUERIES["shares"], (member.group,)).fetchall()
    held = {place: generation for place, name, generation in rows if name == member.name}
    [version] = connection.execute(QUERIES["version"], (member.group,)).fetchone()
    offsets = dict(connection.execute(QUERIES["committed"], (member.group,)).fetchall())
    return Share(version, held, frozenset(held.keys() - due), offsets)


def _remove(transaction: Transaction, group: str, name: str) -> None:
    transaction.connection.execute(QUERIES["leave"], (name,))
    transaction.connection.execute(QUERIES["release_all"], (group, name))

"""Which records a blocking key brings together, whoever came first.

- A key that too many records share (`Limits.bucket`) brings nobody together. When it becomes crowded the pairs that it
  alone had brought together part, and they meet again when it is crowded no more.
- A value that one person owns is never crowded: strangers who use it make it generic, and a faithful customer has many
  records. There everybody meets the first few of them (`Limits.representatives`), in the order of the records' keys.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from itertools import combinations
from typing import Generic, NamedTuple

from identity.matching.keys import Key, KeyMaker
from identity.matching.limits import Limits
from identity.matching.records import K, Values
from identity.matching.schema import Schema


class Meeting(NamedTuple, Generic[K]):
    """What a record's coming or going does: whom it meets itself, and pairs of others that meet or part by it.

    Those that part may still meet through another key: see `Index.meet`.
    """

    partners: set[K]
    met: list[tuple[K, K]]
    parted: list[tuple[K, K]]


class Index(Generic[K]):
    """Records by their blocking keys."""

    def __init__(self, schema: Schema, keys: tuple[Key, ...], limits: Limits) -> None:
        self._capacity, self._first = limits.bucket, limits.representatives
        self._owned_keys = KeyMaker(schema, [key for key in keys if key.owned(schema)], brief=True)
        self._other_keys = KeyMaker(schema, [key for key in keys if not key.owned(schema)], brief=True)
        self._owned: dict[str, list[K]] = {}
        self._others: dict[str, list[K]] = {}
        self._alone: dict[str, K] = {}  # who has one of the other keys that nobody else has had yet: most keys

    def add(self, record: K, values: Values) -> Meeting[K]:
        """Put a record in."""
        partners: set[K] = set()
        parted: list[tuple[K, K]] = []
        others, alone, capacity = self._others, self._alone, self._capacity
        for key in self._other_keys(values):
            bucket = others.get(key)
            if bucket is None:
                if key not in alone:
                    alone[key] = record
                    continue
                bucket = others[key] = [alone.pop(key)]
            if len(bucket) < capacity:
                partners.update(bucket)
            elif len(bucket) == capacity:
                parted += combinations(bucket, 2)
            bucket.append(record)
        for key in self._owned_keys(values):
            bucket = self._owned.setdefault(key, [])
            place = bisect_left(bucket, record)
            partners.update(bucket if place < self._first else bucket[: self._first])
            if place < self._first < len(bucket) + 1:
                displaced = bucket[self._first - 1]
                parted += [(displaced, other) for other in bucket[self._first :]]
            bucket.insert(place, record)
        return Meeting(partners, [], parted)

    def remove(self, record: K, values: Values) -> Meeting[K]:
        """Take a record out."""
        met: list[tuple[K, K]] = []
        for key in self._other_keys(values):
            if self._alone.pop(key, None) is not None:
                continue
            bucket = self._others[key]
            bucket.remove(record)
            if not bucket:
                del self._others[key]
            elif len(bucket) == self._capacity:
                met += combinations(bucket, 2)
        for key in self._owned_keys(values):
            bucket = self._owned[key]
            place = bisect_left(bucket, record)
            del bucket[place]
            if not bucket:
                del self._owned[key]
            elif place < self._first <= len(bucket):
                met += [(bucket[self._first - 1], other) for other in bucket[self._first :]]
        return Meeting(set(), met, [])

    def partners(self, record: K, values: Values) -> set[K]:
        """Whom a record meets."""
        found: set[K] = set()
        for key in self._other_keys(values):
            if len(bucket := self._others.get(key, ())) <= self._capacity:
                found.update(bucket)
        for key in self._owned_keys(values):
            bucket = self._owned[key]
            found.update(bucket if bisect_left(bucket, record) < self._first else bucket[: self._first])
        found.discard(record)
        return found

    def meetings(self) -> dict[K, set[K]]:
        """Whom each record meets, itself too; who meets nobody may be missing. What `partners` says, of all at once."""
        found: dict[K, set[K]] = defaultdict(set)
        for bucket in self._others.values():
            if 1 < len(bucket) <= self._capacity:
                for record in bucket:
                    found[record].update(bucket)
        for bucket in self._owned.values():
            first = bucket[: self._first] if len(bucket) > 1 else ()
            for record in first:
                found[record].update(bucket)
            for record in bucket[self._first :]:
                found[record].update(first)
        return found

    def meet(self, one: K, mine: Values, other: K, theirs: Values) -> bool:
        """Whether any key brings two records together."""
        for key in set(self._other_keys(mine)).intersection(self._other_keys(theirs)):
            if len(self._others[key]) <= self._capacity:
                return True
        first = min(one, other)
        for key in set(self._owned_keys(mine)).intersection(self._owned_keys(theirs)):
            if bisect_left(self._owned[key], first) < self._first:
                return True
        return False

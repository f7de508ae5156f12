"""What a record is: a key that it is known by, and its values, in canonical form, in the order of a schema's fields."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

Values = tuple[str | None, ...]  # None where nothing is said


class Sortable(Protocol):
    """What can be a record's key, all of one type: text, bytes, numbers."""

    def __lt__(self, other: Any, /) -> bool: ...

    def __hash__(self) -> int: ...


K = TypeVar("K", bound=Sortable)

"""What a sync lets out about a member, and under which names: paths as data, no code.

{"identifiers": ["email", "phone"], "traits": {"city": "address.city", "last_order": ["orders", "-1", "id"]}}
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

Path = str | tuple[str, ...]
POSITION = re.compile(r"-?[0-9]{1,9}")


class SyncMapping(BaseModel):
    """Which identifiers and traits go into the payload."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"examples": [{"identifiers": ["email"], "traits": {"city": "address.city"}}]},
    )

    identifiers: tuple[str, ...] | None = Field(
        None, description="Types of identifiers to send, for example `email`; null sends all, [] none."
    )
    traits: dict[str, Path] | None = Field(
        None,
        description="Name in the payload → path into the profile's traits: `address.city`, or a list where a key has "
        "a dot in it. A trait the profile lacks is left out. null sends all traits, {} none.",
    )

    def identifiers_of(self, known: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """Type → values, of the types that may go out."""
        return {
            type_: list(values)
            for type_, values in known.items()
            if self.identifiers is None or type_ in self.identifiers
        }

    def traits_of(self, traits: Mapping[str, Any]) -> dict[str, Any]:
        """The traits that may go out, under their names in the payload."""
        if self.traits is None:
            return dict(traits)
        found = {name: follow(traits, path) for name, path in self.traits.items()}
        return {name: value for name, value in found.items() if value is not None}


def follow(value: Any, path: Path) -> Any:
    """What lies at the path: keys of objects and positions of lists (`0` the first, `-1` the last). None if nothing."""
    for step in path.split(".") if isinstance(path, str) else path:
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, (list, tuple)) and POSITION.fullmatch(step):
            position = int(step)
            value = value[position] if -len(value) <= position < len(value) else None
        else:
            return None
    return value

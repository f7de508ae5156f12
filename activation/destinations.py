"""What people define: destinations (a connector and its settings) and syncs (a segment sent to a destination).

In the registry a secret is `{"$sealed": …}` (see `cdp.vault`); through the API it can be written and never read.
A secret that a new definition leaves out, or gives as the mask, stays what it was, unless the address it is sent to
changes: who may write but not read must not have it sent to themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StrictBool, ValidationError
from pydantic_core import to_jsonable_python

from activation.catalog import connector_named
from activation.connector import Connector, ConnectorSettings
from activation.mapping import SyncMapping
from cdp.errors import ConflictError, InvalidError
from cdp.registry import Entry, Registry
from cdp.vault import Vault, is_sealed, opened, restored, sealed
from cdp.views import SURE

DESTINATION, SYNC, SEGMENT = "destination", "sync", "segment"
KEY = r"^[a-z0-9][a-z0-9_-]{0,63}$"
# Words that stand in the place of a key in the API's addresses.
TAKEN = {"catalog"}


class DestinationBody(BaseModel):
    """A destination as people define it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"connector": "webhook", "settings": {"url": "https://shop.example/hooks/cdp"}}]
        },
    )

    connector: str = Field(description="Name of a connector: `GET /api/v1/destinations/catalog` lists them.")
    settings: dict[str, Any] = Field({}, description="The connector's settings; the catalog has their JSON Schema.")
    name: str = Field("", max_length=200, description="What people call it.")
    enabled: StrictBool = Field(True, description="When false, changes wait and nothing is sent.")
    purposes: tuple[str, ...] = Field(
        (),
        description="Purposes a person must not have denied (trait `consent`), for example `advertising`. Whoever "
        "denies one is removed.",
    )


class SyncBody(BaseModel):
    """A segment that is sent to a destination."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"segment": "vip", "destination": "crm-hook"}]}
    )

    segment: str = Field(pattern=KEY, description="Key of the segment.")
    destination: str = Field(pattern=KEY, description="Key of the destination.")
    mapping: SyncMapping = Field(SyncMapping(), description="Which identifiers and traits are sent.")
    audience: dict[str, Any] = Field({}, description="Options that the connector wants for each sync.")


@dataclass(frozen=True)
class Destination:
    """A destination, ready to be sent to. `version` changes with each definition; `created_at` is a moment."""

    key: str
    connector: Connector[Any]
    settings: ConnectorSettings
    purposes: tuple[str, ...]
    version: int
    created_at: int


@dataclass(frozen=True)
class Sync:
    """A sync, ready to be used. `sure`: whether the segment's members are sure people; others are never added."""

    key: str
    segment: str
    destination: str
    mapping: SyncMapping
    audience: ConnectorSettings
    version: int
    sure: bool = True


class Definitions:
    """Destinations and syncs in the registry."""

    def __init__(self, registry: Registry, vault: Vault) -> None:
        self.registry = registry
        self._vault = vault

    def destination(self, key: str) -> Destination:
        """The destination. Raises `NotFoundError`, or `MisconfiguredError` when its secrets cannot be opened."""
        entry = self.registry.get(DESTINATION, key)
        body = DestinationBody.model_validate(entry.body)
        connector = connector_named(body.connector)
        settings = parsed(connector.Settings, opened(body.settings, self._vault, key), "settings")
        return Destination(key, connector, settings, body.purposes, entry.version, entry.created_at)

    async def put_destination(self, key: str, body: DestinationBody, *, by: str) -> tuple[Entry, dict[str, Any]]:
        """Define. Returns the definition and the secrets that were made because none were given: to be shown once.

        Raises `InvalidError` with the path of what is wrong, `ConflictError` when the connector is another than before.
        """
        if key in TAKEN:
            raise InvalidError(f"A destination cannot be called {key!r}.", path="key")
        connector = connector_named(body.connector)
        before = self.registry.find(DESTINATION, key)
        if before is not None and before.body["connector"] != connector.name:
            raise ConflictError(f"{key!r} is a {before.body['connector']} destination: delete it, or take another key.")
        given = self._restored(key, connector, body.settings)
        settings = parsed(connector.Settings, given, "settings")
        stored = to_jsonable_python(sealed(settings.model_dump(), self._vault, key))
        entry = await self.registry.put(DESTINATION, key, body.model_dump(mode="json") | {"settings": stored}, by=by)
        made = {name: value for name, value in settings.model_dump().items() if name not in given}
        return entry, {name: value.get_secret_value() for name, value in made.items() if _filled(value)}

    async def delete_destination(self, key: str, *, by: str) -> None:
        """Remove. Raises `NotFoundError`, or `ConflictError` while a sync still uses it."""
        self.registry.get(DESTINATION, key)
        if users := [sync.key for sync in syncs(self.registry) if sync.destination == key]:
            raise ConflictError(f"The destination {key!r} is still used by the sync {users[0]!r}: delete that first.")
        await self.registry.delete(DESTINATION, key, by=by)

    async def put_sync(self, key: str, body: SyncBody, *, by: str) -> Entry:
        """Define. Raises `InvalidError` for a segment or destination that does not exist, and for a segment of likely
        people, `ConflictError` for a pair that another sync has already."""
        for kind, name in ((SEGMENT, body.segment), (DESTINATION, body.destination)):
            if self.registry.find(kind, name) is None:
                raise InvalidError(f"There is no {kind} called {name!r}.", path=kind)
        if not _is_sure(self.registry, body.segment):
            raise InvalidError(
                f"{body.segment!r} is a segment of likely people; only one whose view is `sure` can be sent.",
                path="segment",
            )
        for other in syncs(self.registry, destination=body.destination):
            if other.segment == body.segment and other.key != key:
                raise ConflictError(f"The sync {other.key!r} sends {body.segment!r} there already.")
        connector = connector_named(self.registry.get(DESTINATION, body.destination).body["connector"])
        parsed(connector.Audience, body.audience, "audience")
        return await self.registry.put(SYNC, key, body.model_dump(mode="json"), by=by)

    def _restored(self, key: str, connector: Connector[Any], given: dict[str, Any]) -> dict[str, Any]:
        entry = self.registry.find(DESTINATION, key)
        if entry is None:
            return given
        stored = entry.body["settings"]
        if any(given.get(name) != stored.get(name) for name in connector.Settings.addresses):
            return given
        clear = opened(stored, self._vault, key)
        kept = {name: clear[name] for name, value in stored.items() if is_sealed(value) and name not in given}
        return kept | {name: restored(value, clear.get(name)) for name, value in given.items()}


def syncs(registry: Registry, *, destination: str | None = None) -> list[Sync]:
    """The syncs, or those of a destination. One whose destination or connector is gone, or
    whose options the connector no longer takes, is left out."""
    found = (_sync(registry, entry) for entry in registry.all(SYNC))
    return [sync for sync in found if sync is not None and destination in (None, sync.destination)]


def segments_of(registry: Registry, destination: str) -> set[str]:
    """The segments that any sync, usable or not, sends to a destination."""
    return {entry.body["segment"] for entry in registry.all(SYNC) if entry.body["destination"] == destination}


def _sync(registry: Registry, entry: Entry) -> Sync | None:
    body = SyncBody.model_validate(entry.body)
    target = registry.find(DESTINATION, body.destination)
    if target is None:
        return None
    try:
        audience = parsed(connector_named(target.body["connector"]).Audience, body.audience, "audience")
    except InvalidError:
        return None
    sure = _is_sure(registry, body.segment)
    return Sync(entry.key, body.segment, body.destination, body.mapping, audience, entry.version, sure)


def _is_sure(registry: Registry, segment: str) -> bool:
    found = registry.find(SEGMENT, segment)
    return found is None or found.body.get("view", SURE) == SURE


def parsed(model: type[Any], given: Mapping[str, Any], path: str) -> Any:
    """The model made of what was given. Raises `InvalidError` that says where and why, and never repeats the input."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join([path, *(str(step) for step in first["loc"])])
        raise InvalidError(f"{place}: {first['msg']}", path=place) from None


def _filled(value: Any) -> bool:
    return isinstance(value, SecretStr) and bool(value.get_secret_value())

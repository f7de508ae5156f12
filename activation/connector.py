"""The contract of a connector: data, and two pure functions around a transport.

    changes ─► build ─► requests ─► transport ─► replies ─► interpret ─► outcomes

A connector knows a platform and nothing else. The courier owns everything around it: which member is due, batches,
rate, retries, order, the ledger, the circuit breaker. `build` and `interpret` may not look at the clock, draw random
numbers or touch the outside, so a connector is examined without a network: inherit
`activation.testing.ConnectorContract`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

from msgspec import Struct
from pydantic import BaseModel, ConfigDict

from activation.outcomes import Outcome, Retry, of_reply
from activation.requests import Reply, Request


class Change(Struct, frozen=True, kw_only=True):
    """One member who must come into (`add`) or go out of (`remove`) the audience.

    `id` is the same on each attempt: what a receiver dedupes on. `sequence` grows per (segment, profile). `at` is
    when the membership changed, in milliseconds. `identifiers` (type → values) and `traits` hold what the sync's
    mapping lets out.
    """

    id: str
    action: Literal["add", "remove"]
    segment: str
    profile_id: str
    sequence: int
    at: int
    attempt: int = 1
    identifiers: Mapping[str, Sequence[str]] = {}
    traits: Mapping[str, Any] = {}
    trace_id: str = ""


class Batch(NamedTuple):
    """Changes of one sync, each member at most once. `at`: moment of this attempt; `audience`: the sync's options."""

    destination: str
    changes: Sequence[Change]
    at: int
    audience: Any = None


class Omitted(NamedTuple):
    """The member at this position of the batch cannot be sent, for a reason that no retry changes."""

    member: int
    reason: str


class Capabilities(NamedTuple):
    """What a platform can do, as data that the courier obeys.

    `identifiers`: a member needs one of these types (empty: none needed). `per_second`: most requests a second.
    `concurrency`: most requests at the same time; 1 keeps all members in order, more keeps each member's own order.
    """

    batch: int = 1
    removes: bool = True
    identifiers: tuple[str, ...] = ()
    per_second: float | None = None
    concurrency: int = 8


class ConnectorSettings(BaseModel):
    """Settings of a connector: frozen, a misspelt field is an error, and secrets are `SecretStr`.

    `addresses` names the fields that say where the secrets are sent: when one changes, secrets must be given again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    addresses: ClassVar[tuple[str, ...]] = ()


S = TypeVar("S", bound=ConnectorSettings)


class Connector(ABC, Generic[S]):
    """A platform that members can be sent to. It has no state: one instance serves all destinations."""

    name: str
    title: str
    transport: Literal["http", "file", "kafka"]
    Settings: type[S]
    # What a sync must say beside its segment, for example the id of the audience on the platform.
    Audience: type[ConnectorSettings] = ConnectorSettings
    capabilities: Capabilities = Capabilities()

    def batch_size(self, settings: S) -> int:
        """Most members of one `build`; at most `capabilities.batch`."""
        return self.capabilities.batch

    @abstractmethod
    def build(self, settings: S, batch: Batch) -> Sequence[Request | Omitted]:
        """The requests that bring the batch about. Each member is in exactly one request or omitted. Pure."""

    def interpret(self, settings: S, request: Request, reply: Reply) -> Sequence[Outcome]:
        """What became of each member of the request, in the order of `request.members`. Pure.

        By default what the status says holds for all of them, but for those the transport could not place.
        """
        outcome = of_reply(reply)
        refused = reply.refused
        return [Retry(refused[place]) if place in refused else outcome for place in range(len(request.members))]

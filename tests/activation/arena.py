"""One destination with a real ledger, a scripted receiver, and faults at every step: what courier tests play in."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from activation.connector import Connector
from activation.connectors.webhook import Webhook
from activation.courier import Courier
from activation.destinations import DESTINATION, SYNC, Destination, DestinationBody, SyncBody, parsed
from activation.intake import Intake
from activation.ledger import Ledger
from activation.requests import HttpRequest, Reply
from activation.transports.file import append
from cdp.errors import TransientError
from cdp.profiles import KnownIdentifier, Profile
from cdp.records import Delivery, SegmentChange, SegmentChanges, decode_deliveries, encode
from cdp.registry import Entry
from cdp.service import Platform
from cdp.settings import Settings
from cdp.streams.base import Draft, Message
from cdp.testing import FrozenClock
from cdp.topics import SEGMENTS_CHANGES, Topic

SECRET = "whsec_" + "A" * 40


class Killed(BaseException):
    """The process was killed at this point."""


class MemoryLog:
    """As much of a log as a courier needs."""

    def __init__(self) -> None:
        self.drafts: list[Draft] = []

    def partitions(self, topic: Topic) -> int:
        """How many partitions a topic has."""
        return 3

    async def append(self, drafts: Sequence[Draft]) -> list[int]:
        """Keep them; takes a moment, as a log does."""
        await asyncio.sleep(0.0005)
        self.drafts += drafts
        return list(range(len(drafts)))

    @property
    def deliveries(self) -> list[Delivery]:
        """What was told, in its order."""
        return [delivery for draft in self.drafts for delivery in decode_deliveries(draft.value).deliveries]


class FixedRegistry:
    """Definitions that stand."""

    def __init__(self, **kinds: Mapping[str, dict[str, Any]]) -> None:
        self._table = {
            kind: {key: Entry(kind, key, body, version, 0, 0, "") for version, (key, body) in enumerate(table.items())}
            for kind, table in kinds.items()
        }

    def all(self, kind: str) -> list[Entry]:
        """All of a kind."""
        return list(self._table.get(kind, {}).values())

    def find(self, kind: str, key: str) -> Entry | None:
        """One, or None."""
        return self._table.get(kind, {}).get(key)


class Receiver:
    """The other side, as a careful customer writes it: dedupes by webhook-id, and the highest sequence counts."""

    def __init__(self) -> None:
        self.requests: list[HttpRequest] = []
        self.seen: dict[str, dict[str, Any]] = {}

    def take(self, request: HttpRequest) -> None:
        """A request arrived."""
        self.requests.append(request)
        body = json.loads(request.body)
        listed = body["data"].get("changes") or [body | {"id": request.headers["webhook-id"]}]
        for message in listed:
            told = self.seen.setdefault(message["id"], message)
            assert told == message, "the same id must tell the same"

    def members(self) -> set[str]:
        """Who is in, by what was received."""
        newest: dict[str, tuple[int, str]] = {}
        for message in self.seen.values():
            profile, now = message["data"]["profile_id"], (message["data"]["sequence"], message["type"])
            newest[profile] = max(newest.get(profile, now), now)
        return {profile for profile, (_, kind) in newest.items() if kind == "segment.entered"}


class Faulty:
    """Passes calls on, and asks `fault` before and after each of them; `fault` may raise."""

    def __init__(self, inner: Any, fault: Callable[[str], None]) -> None:
        self._inner = inner
        self._fault = fault
        self.done: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._inner, name)
        if not asyncio.iscoroutinefunction(member):
            return member

        async def call(*arguments: Any, **named: Any) -> Any:
            self._fault(f"before {name}")
            result = await member(*arguments, **named)
            self.done.append((name, arguments, named))
            self._fault(f"after {name}")
            return result

        return call


class Arena:
    """A destination `hook` that takes the segment `vip`."""

    def __init__(
        self,
        state: Redis,
        folder: Path,
        *,
        connector: Connector[Any] | None = None,
        settings: dict[str, Any] | None = None,
        purposes: tuple[str, ...] = (),
        activation: dict[str, Any] | None = None,
        segments: Sequence[str] = ("vip",),
    ) -> None:
        self.folder = folder
        self.clock = FrozenClock()
        self.log = MemoryLog()
        self.receiver = Receiver()
        self.people: dict[str, Profile] = {}
        self.answer: Callable[[Any], Reply] = lambda request: Reply(200, self.clock.now())
        self.sent: list[Any] = []
        self.fault: Callable[[str], None] = lambda point: None
        self.state = state
        connector = connector or Webhook()
        given = {"url": "https://shop.example/hook", "secret": SECRET} if settings is None else settings
        # The catalog has no connectors that tests invent; here only the sync's options are looked up by name.
        body = DestinationBody(connector="webhook", settings=given, purposes=purposes)
        self.destination = Destination("hook", connector, parsed(connector.Settings, given, "settings"), purposes, 0, 0)
        self.registry = FixedRegistry(
            **{
                DESTINATION: {"hook": body.model_dump(mode="json")},
                SYNC: {name: SyncBody(segment=name, destination="hook").model_dump(mode="json") for name in segments},
            }
        )
        settings_ = Settings.load(
            data_dir=folder, state={"prefix": f"{uuid.uuid4().hex}:"}, activation=activation or {}
        )
        self.platform = Platform(settings_, self.clock, self.log, self.registry, state)  # type: ignore[arg-type]
        self.ledger = Ledger(state, settings_.state.prefix, "hook")

    async def desire(self, *changes: SegmentChange) -> None:
        """Segment changes arrive at the intake."""
        message = Message(SEGMENTS_CHANGES.name, 0, 0, self.clock.now(), encode(SegmentChanges(list(changes))))
        await Intake(self.platform).handle([message])

    async def courier(self, token: str = "us", *, seed: int = 1) -> Courier:
        """A courier that has the lease."""
        await self.state.set(self.ledger.lease_key, token)
        platform = Platform(
            self.platform.settings,
            self.clock,
            Faulty(self.log, self.fault),
            self.registry,
            self.state,  # type: ignore[arg-type]
        )
        return Courier(
            platform,
            self.destination,
            ledger=Faulty(self.ledger, self.fault),  # type: ignore[arg-type]
            token=token,
            transport=Faulty(self, self.fault),
            read=self.read,
            rng=random.Random(seed),
        )

    async def read(self, profile_ids: Sequence[str]) -> dict[str, Profile]:
        """The people who are known, and nothing of the others."""
        return {id_: self.people[id_] for id_ in profile_ids if id_ in self.people}

    async def send(self, request: Any) -> Reply:
        """The transport: the answer may raise instead; who is answered 2xx has been received."""
        await asyncio.sleep(0)
        self.sent.append(request)
        reply = self.answer(request)
        if reply.status < 300:
            self.take(request)
        return reply

    def take(self, request: Any) -> None:
        """The request takes effect on the other side."""
        if isinstance(request, HttpRequest):
            self.receiver.take(request)
        else:
            append(self.folder / request.path, request)

    async def close(self) -> None:
        """The transport is let go."""

    async def settle(self, courier: Courier, *, hours: float = 0) -> None:
        """Let the courier work until nobody waits (or the hours are over); time passes as it has to."""
        end = self.clock.now() + int(hours * 3_600_000)
        while True:
            await courier.turn()
            await courier.landed()
            due = await self.ledger.next_due()
            if due is None:
                await courier.turn()
                return
            rest = courier._breaker.remaining(self.clock.now())
            moment = max(due, self.clock.now() + int(rest * 1000) + 1)
            if hours and moment > end:
                return
            self.clock.moment = max(self.clock.moment, moment)


def person(number: int, **traits: Any) -> Profile:
    """A person with an email."""
    identifier = KnownIdentifier("email", f"an{number}@example.com", 0, ["web"])
    return Profile(profile_id(number), [identifier], traits, [], 0, 0, 1)


def profile_id(number: int) -> str:
    """The n-th profile's id."""
    return str(uuid.UUID(int=number))


def change(number: int, sequence: int, *, segment: str = "vip", at: int = 0) -> SegmentChange:
    """Odd sequences enter, even ones exit."""
    return SegmentChange(
        segment, profile_id(number), "entered" if sequence % 2 else "exited", sequence, at, trace_id="t"
    )


def away(request: Any) -> Reply:
    """A destination that is not there."""
    raise TransientError("the host cannot be reached")

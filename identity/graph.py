"""The live identity graph, shared by any number of processes: facts go in, people come out.

Each change is one optimistic transaction: what it depends on is read and watched, the step is planned, and everything
it changes is written at once, with the records for the ledger in the outbox. Who finds that something changed meanwhile
starts again. So a killed process leaves no half merge, and the order in which processes win makes no difference.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError, WatchError

from cdp.anchors import pack_owner
from cdp.clock import Clock
from cdp.errors import TransientError
from cdp.state import Outbox
from identity import keys, ledger, metrics
from identity.facts import Cause, Facts
from identity.keys import Keys, Profile
from identity.links import ASSERT
from identity.matching.model import Model
from identity.observations import Anchor
from identity.policy import Policy
from identity.step import Step
from identity.succession import ProfileId
from identity.surroundings import DivideError
from identity.ties import OBSERVATION, Tie, Ties
from identity.view import MOST_ARGUMENTS, Command, Known, View, many

log = structlog.get_logger(__name__)

T = TypeVar("T")

CHUNK, CHUNK_WEIGHED = 200, 100  # anchors per transaction, by rules and by evidence
REMEMBERED = 20_000  # observations that a process keeps at hand
STUBBORN = 4  # attempts before a transaction is made smaller
ATTEMPTS = 60
LONGEST_PAUSE = 0.1  # seconds

# Versions never go back, not even when the state was lost: they stay above a thousand per millisecond of the clock.
# KEYS: the last version. ARGV: the floor.
NEXT_VERSION = """
local last, floor = tonumber(redis.call('GET', KEYS[1]) or '0'), tonumber(ARGV[1])
local next = string.format('%.0f', math.max(last, floor) + 1)
redis.call('SET', KEYS[1], next)
return next
"""
PER_MILLISECOND = 1_000


class ContentionError(TransientError):
    """Other processes kept changing the same people."""

    code = "contention"


class Graph:
    """The graph under one policy. `partitions`: of identity.changes."""

    def __init__(self, state: Redis, prefix: str, policy: Policy, clock: Clock, *, partitions: int) -> None:
        self.policy = policy
        self.model: Model | None = None
        self.model_number = 0
        self.where = Keys(prefix)
        self.state = state
        self._clock = clock
        self._partitions = partitions
        self._ties: tuple[int, Ties] = (-1, Ties())
        self._known = Known(policy)
        self.changes = 0  # how many took place, as far as this process saw

    async def add(self, facts: Facts, outbox: Outbox, *, again: bool = False) -> dict[Anchor, ProfileId]:
        """Let the graph know these facts. Returns the profile of each of their anchors.

        `again` looks at everything anew that the facts concern, even where they are known. What changed waits in the
        outbox. Raises `TransientError` when the state is away or too busy.
        """
        profiles: dict[Anchor, ProfileId] = {}
        for chunk in facts.chunks(CHUNK if self.policy.evidence is None else CHUNK_WEIGHED):
            profiles |= await self._add(chunk, outbox, again=again)
        return profiles

    async def tie(self, tie: Tie, cause: Cause, outbox: Outbox) -> bool:
        """Join or part by hand. Returns False when that was decided already."""
        return await self._decide(tie, cause, outbox, withdrawn=False)

    async def untie(self, tie: Tie, cause: Cause, outbox: Outbox) -> bool:
        """Take a decision back. Returns False when there was none."""
        return await self._decide(tie, cause, outbox, withdrawn=True)

    async def reconsider(self, anchors: Sequence[Anchor], cause: Cause, outbox: Outbox) -> None:
        """Look at known observations as if they were new: another model may make other people of them.

        What changed waits in the outbox. Raises `TransientError` when the state is away or too busy.
        """
        divisible = len(anchors) > 1

        async def attempt(pipe: Pipeline) -> None:
            view = View(pipe, self.where, *await self._read_rules(pipe), known=self._remembered())
            step = Step(view, Facts(), changed=anchors, cause=cause, renew=True, divisible=divisible)
            if await step.plan(lambda: self._next_version(pipe)):
                await self._commit(pipe, step, outbox)

        try:
            return await self._optimistically(attempt, STUBBORN if divisible else ATTEMPTS)
        except (ContentionError, DivideError):
            if not divisible:
                raise
        half = (len(anchors) + 1) // 2
        for part in (anchors[:half], anchors[half:]):
            await self.reconsider(part, cause, outbox)

    async def ties(self) -> Ties:
        """The decisions in force. From now on `policy` is the one in force, too."""
        async with self._transaction() as pipe:
            return (await self._read_rules(pipe))[1]

    async def adopt(self, model: Model, number: int) -> None:
        """Let people be made by a model from now on, in every process, unless there is one with a higher number."""

        async def attempt(pipe: Pipeline) -> None:
            await self._read_rules(pipe)
            if number <= self.model_number:
                return
            pipe.multi()  # type: ignore[no-untyped-call]
            pipe.mset({self.where.model: keys.encode_model(model), self.where.model_number: number})
            await pipe.execute()

        await self._optimistically(attempt, ATTEMPTS)
        await self.ties()

    async def is_made_by_model(self) -> bool:
        """Whether everybody was made by the model in force, if there is one."""
        await self.ties()
        return int(await self.state.get(self.where.made_by) or 0) == self.model_number

    async def knows_other_rules(self) -> bool:
        """Whether the graph was made under other rules than these. An empty graph is made under these from now on."""
        rules = self.policy.fingerprint.encode()
        found: Any = await self.state.set(self.where.rules, rules, nx=True, get=True)
        return found not in (None, rules)

    async def accept_rules(self) -> None:
        """Note that everything was made again under these rules."""
        await self.state.set(self.where.rules, self.policy.fingerprint.encode())

    async def accept_model(self, number: int) -> None:
        """Note that everybody was made again by the model of this number."""
        await self.state.set(self.where.made_by, number)

    async def raise_version(self, version: int) -> None:
        """Let all further versions be above this one."""
        async with self._transaction() as pipe:
            pipe.eval(NEXT_VERSION, 1, self.where.version, version)
            await pipe.execute()

    async def restore(self, ties: Ties, absorbed: Mapping[ProfileId, ProfileId]) -> None:
        """Know these decisions and these merged profiles again, beside those that are known."""
        async with self._transaction() as pipe:
            if ties.all:
                pipe.hset(self.where.ties, mapping={keys.encode(tie): b"" for tie in ties.all})
                pipe.incr(self.where.ties_version)
            if absorbed:
                pipe.mset({self.where.absorbed(gone): heir for gone, heir in absorbed.items()})
            await pipe.execute()

    async def _add(self, facts: Facts, outbox: Outbox, *, again: bool) -> dict[Anchor, ProfileId]:
        divisible = len(facts.anchors()) > 1

        async def attempt(pipe: Pipeline) -> dict[Anchor, ProfileId]:
            view = View(pipe, self.where, *await self._read_rules(pipe), known=self._remembered())
            step = Step(view, facts, again=again, divisible=divisible)
            if await step.plan(lambda: self._next_version(pipe)):
                await self._commit(pipe, step, outbox)
            return {anchor: step.profile_of(anchor) for anchor in facts.anchors()}

        try:
            return await self._optimistically(attempt, STUBBORN if divisible else ATTEMPTS)
        except (ContentionError, DivideError):
            if not divisible:
                raise
        profiles: dict[Anchor, ProfileId] = {}
        for half in facts.chunks((len(facts.anchors()) + 1) // 2):
            profiles |= await self._add(half, outbox, again=again)
        return profiles

    async def _decide(self, tie: Tie, cause: Cause, outbox: Outbox, *, withdrawn: bool) -> bool:
        async def attempt(pipe: Pipeline) -> bool:
            policy, before = await self._read_rules(pipe)
            if (tie in before.all) != withdrawn:
                return False
            after = Ties(before.all - {tie} if withdrawn else before.all | {tie})
            view = View(pipe, self.where, policy, after, ties_before=before, known=self._remembered())
            step = Step(view, Facts(), changed=await _ends(view, tie), cause=cause)
            if not await step.plan(lambda: self._next_version(pipe)):
                step.version = await self._next_version(pipe)
            record = ledger.tied(tie, cause, step.version, self._clock.now(), withdrawn=withdrawn)
            field = keys.encode(tie)
            command: Command = (
                ("HDEL", self.where.ties, (field,)) if withdrawn else ("HSET", self.where.ties, (field, b""))
            )
            left = tie.anchors[0]
            await self._commit(
                pipe, step, outbox, [(step.profile_of(left), record)], [command, ("INCR", self.where.ties_version, ())]
            )
            return True

        return await self._optimistically(attempt, ATTEMPTS)

    async def _optimistically(self, attempt: Callable[[Pipeline], Awaitable[T]], most: int) -> T:
        for number in range(most):
            try:
                async with self._transaction() as pipe:
                    return await attempt(pipe)
            except WatchError:
                metrics.CONFLICTS.inc()
                await asyncio.sleep(random.uniform(0, min(LONGEST_PAUSE, 0.001 * 2**number)))
        raise ContentionError("Other processes keep changing the same people.", retry_after=0.2)

    @asynccontextmanager
    async def _transaction(self) -> Any:
        try:
            async with self.state.pipeline(transaction=True) as pipe:
                yield pipe
        except WatchError:
            raise
        except (RedisError, OSError) as error:
            raise TransientError(f"The state is away or busy: {error}", retry_after=0.5) from error

    def _remembered(self) -> Known:
        if self._known.policy is not self.policy or len(self._known) > REMEMBERED:
            self._known = Known(self.policy)
        return self._known

    async def _read_rules(self, pipe: Pipeline) -> tuple[Policy, Ties]:
        """The policy and the decisions in force; both are watched."""
        names = self.where.ties_version, self.where.model_number
        await pipe.watch(*names)
        version, number = (int(found or 0) for found in await pipe.mget(names))
        if number != self.model_number:
            await self._take_model(pipe, number)
        if version != self._ties[0]:
            found: Any = await pipe.hgetall(self.where.ties)
            self._ties = version, Ties(map(keys.decode_tie, found))
        return self.policy, self._ties[1]

    async def _take_model(self, pipe: Pipeline, number: int) -> None:
        packed: Any = await pipe.get(self.where.model)
        self.model = None if packed is None else keys.decode_model(packed)
        if self.model and not self.model.fits:
            log.warning("graph.model_outdated", number=number, todo="until another is learnt, rules make people")
            self.model = None
        self.model_number = number
        self.policy = self.policy.by(self.model)

    async def _next_version(self, pipe: Pipeline) -> int:
        floor = self._clock.now() * PER_MILLISECOND
        return int(await pipe.eval(NEXT_VERSION, 1, self.where.version, floor))

    async def _commit(
        self,
        pipe: Pipeline,
        step: Step,
        outbox: Outbox,
        told: Iterable[ledger.Change] = (),
        commands: Iterable[Command] = (),
    ) -> None:
        changes = [*told, *ledger.changes(step, self._clock.now())]
        strings, gone = self._strings(step)
        pipe.multi()  # type: ignore[no-untyped-call]
        pipe.incr(self.where.changes)
        if step.view.added:
            pipe.incrby(self.where.count, len(step.view.added))
        if strings:
            pipe.mset(strings)
        if gone:
            pipe.delete(*gone)
        await many(pipe, [*commands, *self._commands(step)])
        for value in ledger.pack(changes, self._partitions):
            outbox.add(pipe, value)
        self.changes = (await pipe.execute())[0]
        metrics.observe(step)

    def _strings(self, step: Step) -> tuple[dict[bytes, bytes], list[bytes]]:
        """The keys that get a new value, and those that go."""
        view, where = step.view, self.where
        strings: dict[bytes, bytes] = {}
        for anchor in view.added | (step.changed if step.again else set()):
            strings[where.observation(anchor)] = keys.encode(view.observations[anchor])
        for key, posting in view.grown():
            strings[where.posting(key)] = b"".join(posting)
        judged = dict(view.judgements())
        strings |= {where.generic(value): b"1" for value, generic in judged.items() if generic}
        for anchor in (*(anchor for person in step.persons for anchor in person.anchors), *step.sessions):
            owner = step.owner_of(anchor)
            if owner != (view.owners.get(anchor), view.sure.get(anchor, view.owners.get(anchor))):
                strings[where.owner(anchor)] = pack_owner(*owner)
        alive = dict(_records(step))
        for profile, record in alive.items():
            if record != view.profiles.get(profile):
                strings[where.profile(profile)] = keys.encode(record)
        absorbed = {merge.absorbed: merge.profile for merge in step.merges}
        strings |= {where.absorbed(profile): heir for profile, heir in absorbed.items()}
        gone = [where.profile(profile) for profile in absorbed]
        gone += [where.generic(value) for value, generic in judged.items() if not generic]
        gone += [where.absorbed(profile) for profile in alive if step.again or view.profiles.get(profile) is None]
        return strings, gone

    def _commands(self, step: Step) -> Iterator[Command]:
        view, where = step.view, self.where
        for device, slices in step.slices.items():
            fields = [part for period, piece in slices.items() for part in (keys.pack(period), keys.encode(piece))]
            if step.everyone[device] != view.everyone[device]:
                fields += [keys.EVERYONE, b"".join(step.everyone[device])]
            for start in range(0, len(fields), MOST_ARGUMENTS):
                yield "HSET", where.device(device), fields[start : start + MOST_ARGUMENTS]
        for visit in step.fresh:
            if not visit.session:
                yield "SADD", where.visited(visit.anchor), (visit.device.encode(),)
        for person in step.persons:
            if person.is_doubtful:
                yield "ZADD", where.review, (str(step.version).encode(), person.id)
        doubtful = {person.id for person in step.persons if person.is_doubtful}
        settled = {merge.absorbed for merge in step.merges} | {person.id for person in step.persons} - doubtful
        for profile in settled:
            if view.profiles.get(profile):
                yield "ZREM", where.review, (profile,)


def _records(step: Step) -> Iterator[tuple[ProfileId, Profile]]:
    for person in step.persons:
        yield (
            person.id,
            Profile(person.since, tuple(person.anchors), tuple(person.links), tuple(person.refusals)),
        )
    for nobody in step.nobodies:
        yield nobody.id, Profile(nobody.since, device=nobody.device)


async def _ends(view: View, tie: Tie) -> set[Anchor]:
    """The observations that a tie may move: those of both ends of an assert, those of the rarer end of a deny.

    A posting that is generic by number does not hold all who say so, and so is never the rarer one.
    """
    await view.read(values=[end for end in (tie.left, tie.right) if end[0] != OBSERVATION])
    found: list[list[Anchor]] = [
        [anchor] if end[0] == OBSERVATION else view.posting(end)
        for end, anchor in zip((tie.left, tie.right), tie.anchors, strict=True)
    ]
    whole = [
        holders
        for end, holders in zip((tie.left, tie.right), found, strict=True)
        if len(holders) <= view.policy.most_holders(end[0])
    ]
    rarer = [min(whole, key=len)] if whole else found
    wanted = {anchor for holders in (found if tie.rule == ASSERT else rarer) for anchor in holders}
    await view.read(anchors=wanted)
    return {anchor for anchor in wanted if anchor in view.observations}

"""The learner: has people made by evidence once there is enough to learn from, and better evidence as there is more.

    observations ─► learn and judge, in a child process ─► definition on the log ─► the state: every process uses it
                                    └─► refused: the model in force stays               └─► everybody is looked at again

1. flush   what an earlier look changed goes to the ledger
2. adopt   the model that the definitions have, where the state has none or an older one
3. remake  look at everybody again who was not made by the model in force
4. learn   when there are enough observations, or somebody asks for it; what is no model of people is told, not used

Every step may be repeated, and a lease in the state keeps two processes from the same work. While everybody is looked
at again events flow: whoever they touch is made by the new model at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, NamedTuple

import msgspec
import structlog
from msgspec import structs
from redis.exceptions import RedisError

from cdp.errors import CdpError, TransientError
from cdp.service import Health, Platform
from cdp.state import Outbox
from cdp.topics import IDENTITY_CHANGES
from identity import keys, learnt, ledger, metrics
from identity.facts import Cause
from identity.graph import Graph
from identity.judgement import Judgement
from identity.keys import LEARNT
from identity.learnt import MOST, Learnt, Task, due_at
from identity.matching.model import Model
from identity.observations import Anchor, Observation
from identity.policy import Policy
from identity.rebuild import live_owners

log = structlog.get_logger(__name__)

KIND: Final = "identity_model"
KEY: Final = "people"
JUDGEMENT: Final = "judgement"  # where a model's definition says what was thought of it
REFUSED: Final = "refused"  # the key of what is thought of the last that was no model of people
FORCE: Final = b"force"  # says somebody who asks for a model whatever is to be thought of it
LOOK = 1.0  # seconds between two looks
REST = 1.0  # how long to rest after looking at some again, in parts of the time that took
LEASE = 20.0  # seconds after which a process that says nothing is believed dead
PAGE = 1_000  # observations read at once
CHUNK = 30  # looked at again in one transaction
FEWEST = 500  # observations without which nothing can be learnt
CAUSE = Cause(by="learner", reason="the evidence is weighed differently")

# Lets go of what is still ours. KEYS: the lease. ARGV: our token.
RELEASE = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"


class Judged(NamedTuple):
    """What was thought of a model that was learnt, and when."""

    judgement: Judgement
    at: int


class Standing(NamedTuple):
    """How far evidence is. `made`: everybody was looked at since the model changed; `number` 0: there is none.

    `adopted`: what was thought of the model; `refused`: of one that was learnt since, and is not used.
    """

    model: Model | None
    number: int
    observations: int
    due_at: int | None
    made: bool
    adopted: Judged | None
    refused: Judged | None


class Learner:
    """The role. It runs beside every resolver; at any time one of them works."""

    name = "learner"

    def __init__(self, platform: Platform) -> None:
        """Raises `MisconfiguredError` for settings that make no sense."""
        self._platform = platform
        self._settings = platform.settings.identity
        self._state = platform.state
        self._graph = Graph(
            platform.state,
            platform.settings.state.prefix,
            Policy.of(self._settings),
            platform.clock,
            partitions=platform.log.partitions(IDENTITY_CHANGES),
        )
        self._where = self._graph.where
        self._outbox = Outbox(platform.state, self._where.outbox(LEARNT))
        self._task: asyncio.Task[None] | None = None
        self._trouble = ""
        self._doing = ""
        self._done = self._total = 0

    async def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._follow(), name="learner")

    async def stop(self) -> None:
        """Leave off; what is under way begins anew at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def health(self) -> Health:
        """What it does."""
        refused = refused_of(self._platform)
        figures = {
            "model": float(self._graph.model_number > 0),
            "refused": float(refused is not None),
            "looked_at": self._done,
            "to_look_at": self._total,
        }
        told = f"The last model learnt was refused: {'; '.join(refused.judgement.reasons)}." if refused else ""
        return Health(not self._trouble, self._trouble or self._doing or told, figures)

    async def _follow(self) -> None:
        while True:
            try:
                await self.look()
                self._trouble = ""
            except (CdpError, RedisError, OSError) as error:
                self._trouble = f"{error}"
                log.warning("learner.failed", reason=self._trouble)
            await asyncio.sleep(LOOK)

    async def look(self) -> None:
        """Do whatever is to be done. Raises `TransientError` when the state or the log is away."""
        if not self._settings.evidence or not await self._has_work():
            return
        async with self._leased() as ours:
            if not ours:
                return
            await self._flush()
            await adopt(self._graph, self._platform)
            if await self._is_due():
                await self._learn()
            if not await self._graph.is_made_by_model():
                await self._remake()

    async def _has_work(self) -> bool:
        return (
            not await self._graph.is_made_by_model()
            or number_of(self._platform) > self._graph.model_number
            or await self._is_due()
            or bool(await self._outbox.waiting())
        )

    async def _is_due(self) -> bool:
        standing = await standing_of(self._graph, self._platform)
        asked = bool(await self._state.exists(self._where.asked)) and standing.observations >= FEWEST
        return asked or (standing.due_at is not None and standing.observations >= standing.due_at)

    # learn

    async def _learn(self) -> None:
        self._doing = "A model is learnt."
        begun = time.perf_counter()
        observations, count = await self._sample()
        await self._state.set(self._where.count, count)
        evidence = self._graph.policy.evidence
        ties = sorted((await self._graph.ties()).all, key=lambda tie: (tie.rule, tie.left, tie.right))
        settings = self._settings.model_dump_json()
        found = await apart(Task(settings, evidence.model if evidence else None, ties, observations))
        judgement = structs.replace(found.judgement, observations=count)
        forced = await self._state.getdel(self._where.asked) == FORCE
        if found.model is not None and (forced or not judgement.reasons):
            body = msgspec.to_builtins(found.model) | {JUDGEMENT: msgspec.to_builtins(judgement)}
            await self._platform.registry.put(KIND, KEY, body, by="learner")
            await adopt(self._graph, self._platform)
            metrics.MODELS.labels("adopted").inc()
            log.info("learner.learnt", seconds=round(time.perf_counter() - begun, 1), **structs.asdict(judgement))
        else:
            await self._platform.registry.put(KIND, REFUSED, msgspec.to_builtins(judgement), by="learner")
            metrics.MODELS.labels("refused").inc()
            log.warning("learner.refused", **structs.asdict(judgement))
        self._doing = ""

    async def _sample(self) -> tuple[list[tuple[Anchor, Observation]], int]:
        """Those to learn from, the same whoever asks: the ones with the least anchors; and how many there are."""
        anchors = [anchor async for anchor in self._anchors()]
        chosen = sorted(anchors)[:MOST]
        found: list[tuple[Anchor, Observation]] = []
        for page in _pages(chosen, PAGE):
            packed: Any = await self._state.mget([self._where.observation(anchor) for anchor in page])
            found += [(a, keys.decode_observation(one)) for a, one in zip(page, packed, strict=True) if one is not None]
        return found, len(anchors)

    async def _anchors(self) -> AsyncIterator[Anchor]:
        start = self._where.observation(b"")
        seen: set[Anchor] = set()
        async for key in self._state.scan_iter(match=keys.glob(start), count=PAGE):
            anchor = key[len(start) :]
            if anchor not in seen:  # a scan may tell of a key twice
                seen.add(anchor)
                yield anchor

    # remake

    async def _remake(self) -> None:
        """Look at everybody again, half of the time, so that what comes in is not kept waiting."""
        self._doing = "Everybody is looked at again."
        number, begun = self._graph.model_number, time.perf_counter()
        owners = await live_owners(self._state, self._platform.settings.state.prefix)
        # Whoever is one person comes together, so that their component is looked at once.
        anchors = sorted([anchor async for anchor in self._anchors()], key=lambda a: (owners.get(a, a), a))
        self._done, self._total = 0, len(anchors)
        for chunk in _pages(anchors, CHUNK):
            started = time.perf_counter()
            await self._graph.reconsider(chunk, CAUSE, self._outbox)
            await self._flush()
            self._done += len(chunk)
            await asyncio.sleep(REST * (time.perf_counter() - started))
        if self._graph.model_number == number:
            await self._graph.accept_model(number)
            log.info("learner.remade", observations=len(anchors), seconds=round(time.perf_counter() - begun, 1))
        self._doing, self._done, self._total = "", 0, 0

    async def _flush(self) -> None:
        if waiting := await self._outbox.waiting():
            await self._platform.log.append([ledger.draft(value) for value in waiting])
            await self._outbox.drop(waiting)

    @contextlib.asynccontextmanager
    async def _leased(self) -> AsyncIterator[bool]:
        """Whether the work is ours until the end."""
        token = secrets.token_bytes(8)
        ours = bool(await self._state.set(self._where.lease, token, nx=True, px=int(LEASE * 1000)))
        if not ours:
            yield False
            return
        keeping = asyncio.create_task(self._keep_lease(), name="learner:lease")
        try:
            yield True
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            with contextlib.suppress(RedisError, OSError):
                await self._state.eval(RELEASE, 1, self._where.lease, token)

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(LEASE / 4)
            with contextlib.suppress(RedisError, OSError):
                await self._state.pexpire(self._where.lease, int(LEASE * 1000))


async def standing_of(graph: Graph, platform: Platform) -> Standing:
    """How far evidence is."""
    made = await graph.is_made_by_model()
    count = int(await graph.state.get(graph.where.count) or 0)
    model = graph.policy.evidence.model if graph.policy.evidence else None
    refused = refused_of(platform)
    due = due_at(model, platform.settings.identity.learn_from, refused.judgement if refused else None)
    return Standing(model, graph.model_number, count, due, made, _adopted(model, platform), refused)


def refused_of(platform: Platform) -> Judged | None:
    """What was thought of the last that was learnt, where that was refused."""
    entry = platform.registry.find(KIND, REFUSED)
    if entry is None or entry.version < number_of(platform):
        return None
    return Judged(msgspec.convert(entry.body, Judgement), entry.updated_at)


def _adopted(model: Model | None, platform: Platform) -> Judged | None:
    """What was thought of the model in force, if it is the newest."""
    entry = platform.registry.find(KIND, KEY)
    if entry is None or model is None or entry.body["version"] != model.version or JUDGEMENT not in entry.body:
        return None
    return Judged(msgspec.convert(entry.body[JUDGEMENT], Judgement), entry.updated_at)


def number_of(platform: Platform) -> int:
    """The number of the newest model among the definitions; 0 when there is none."""
    entry = platform.registry.find(KIND, KEY)
    return entry.version + 1 if entry else 0


async def adopt(graph: Graph, platform: Platform) -> None:
    """Use the model that the definitions have, where the state has none or an older one."""
    if (number := number_of(platform)) > graph.model_number:
        await graph.adopt(msgspec.convert(platform.registry.get(KIND, KEY).body, Model), number)


async def apart(task: Task) -> Learnt:
    """Learn in a child process, which ends with us. Raises `TransientError` when it fails."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", learnt.__name__, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        said, _ = await child.communicate(msgspec.msgpack.encode(task))
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode:
        raise TransientError(f"Learning from {len(task.observations)} observations failed; the log says why.")
    return msgspec.json.decode(said, type=Learnt)


def _pages(anchors: list[Anchor], size: int) -> Iterator[list[Anchor]]:
    return (anchors[start : start + size] for start in range(0, len(anchors), size))

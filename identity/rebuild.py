"""The live graph, made again from the ledger in the warehouse, and the proof that both are equal.

The ledger holds every fact (observations, devices in use), every decision made by hand, and whose each anchor is. Facts
are a set, so letting the graph know them again changes nothing where it knows them, and brings back what it forgot; ids
come from the ledger. It may be done while events flow.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from uuid import UUID

import structlog
from msgspec import Struct
from redis.asyncio import Redis

from cdp.anchors import ID
from cdp.state import Outbox
from cdp.warehouse.base import Warehouse
from cdp.warehouse.sql import load
from identity import keys
from identity.cluster import partition
from identity.devices import SignIn, bind, users_of
from identity.facts import Cause, Facts, Visit
from identity.graph import Graph
from identity.keys import Keys
from identity.observations import ANCHOR, Anchor, Observation, to_text
from identity.policy import Policy
from identity.succession import ProfileId
from identity.ties import Ties, read_tie

log = structlog.get_logger(__name__)

QUERIES = load("identity")
ROWS, SMALL_ROWS = 20_000, 500_000  # of a page: of what is said, and of ids alone
NOWHERE = UUID(int=0)
CAUSE = Cause(by="rebuild", reason="made again from the ledger")
EXAMPLES = 20

Progress = Callable[[int, int], None]  # done, of how many


class Ledger:
    """What the warehouse keeps of the graph."""

    def __init__(self) -> None:
        self.observations: dict[Anchor, Observation] = {}
        self.visits: list[Visit] = []
        self.owners: dict[Anchor, ProfileId] = {}
        self.ties = Ties()
        self.absorbed: dict[ProfileId, ProfileId] = {}
        self.version = 0


class Comparison(Struct):
    """How the live graph and the ledger differ. What is on its way to the warehouse shows as `unknown` for a moment.

    `missing`: anchors of the ledger that the live graph does not know; `unknown`: the other way round; `elsewhere`:
    anchors that belong to another profile; `apart` and `joined`: people of the ledger's facts that the live graph has
    in several profiles, and profiles that are several people.
    """

    anchors: int
    missing: int
    unknown: int
    elsewhere: int
    apart: int
    joined: int
    examples: list[str]

    @property
    def equal(self) -> bool:
        """Whether nothing of the ledger is missing or different."""
        return not (self.missing or self.elsewhere or self.apart or self.joined)


async def read_ledger(warehouse: Warehouse) -> Ledger:
    """The whole ledger. Raises as `Warehouse.rows`."""
    ledger = Ledger()
    async for anchor, types, values, attributes, seen, source in _pages(warehouse, "ledger_observations"):
        identifiers = tuple(zip(types, values, strict=True))
        ledger.observations[anchor.bytes] = Observation(identifiers, dict(attributes), seen, source)
    async for anchor, profile in _pages(warehouse, "ledger_assignments", SMALL_ROWS):
        ledger.owners[anchor.bytes] = profile.bytes
    async for device, period, anchor, kind, at, seen in _device_pages(warehouse):
        ledger.visits.append(Visit(device, period, anchor.bytes, at, seen, kind == "session"))
    ledger.ties = Ties([read_tie(rule, value) for rule, value in await warehouse.rows(QUERIES["ledger_ties"])])
    ledger.absorbed = {gone.bytes: heir.bytes for gone, heir in await warehouse.rows(QUERIES["ledger_absorbed"])}
    ledger.version = int(await warehouse.value(QUERIES["ledger_version"]) or 0)
    return ledger


async def apply(graph: Graph, ledger: Ledger, outbox: Outbox, progress: Progress = lambda done, total: None) -> None:
    """Let the graph know everything that the ledger holds; what differs from the ledger then waits in the outbox.

    1. versions go on above the ledger's
    2. ties, and who absorbed whom
    3. observations, then sign-ins, then sessions: each knows whose the ones before it are. What the ledger has for one
       person comes together, so that nearly everybody is looked at once
    """
    await graph.raise_version(ledger.version)
    await graph.restore(ledger.ties, ledger.absorbed)
    signins = [visit for visit in ledger.visits if not visit.session]
    sessions = [visit for visit in ledger.visits if visit.session]
    facts = [Facts(), Facts(), Facts()]
    for anchor in sorted(ledger.observations, key=lambda anchor: (ledger.owners.get(anchor, anchor), anchor)):
        facts[0].observe(anchor, ledger.observations[anchor], CAUSE)
    for some, visits in ((facts[1], signins), (facts[2], sessions)):
        for visit in visits:
            some.visit(visit, CAUSE)
    done, total = 0, sum(len(some.anchors()) for some in facts)
    for some in facts:
        some.held = ledger.owners
        for chunk in some.chunks(200):
            await graph.add(chunk, outbox, again=True)
            done += len(chunk.anchors())
            progress(done, total)
    await graph.accept_rules()
    log.info("rebuild.applied", anchors=total)


async def live_owners(state: Redis, prefix: str, *, sure: bool = False) -> dict[Anchor, ProfileId]:
    """Whose each anchor is in the live graph; in the surer view if `sure`."""
    start = Keys(prefix).owner(b"")
    owners: dict[Anchor, ProfileId] = {}
    found: list[bytes] = []
    async for key in state.scan_iter(match=keys.glob(start), count=2_000):
        found.append(key)
        if len(found) >= 2_000:
            owners |= await _read_owners(state, found, len(start), sure=sure)
            found.clear()
    return owners | await _read_owners(state, found, len(start), sure=sure)


def compare(live: Mapping[Anchor, ProfileId], ledger: Ledger, policy: Policy) -> Comparison:
    """The live graph against the ledger: whose each anchor is, and who is one person by the ledger's facts."""
    missing = [anchor for anchor in ledger.owners if anchor not in live]
    elsewhere = [anchor for anchor, owner in ledger.owners.items() if live.get(anchor, owner) != owner]
    people = everyone(ledger, policy)
    homes = [{live[anchor] for anchor in group if anchor in live} for group in people]
    groups_in: dict[ProfileId, int] = defaultdict(int)
    for home in homes:
        for profile in home:
            groups_in[profile] += 1
    apart = [min(group) for group, home in zip(people, homes, strict=True) if len(home) > 1]
    joined = [profile for profile, count in groups_in.items() if count > 1]
    examples = [
        *(f"missing {to_text(anchor)}" for anchor in missing),
        *(f"elsewhere {to_text(anchor)}" for anchor in elsewhere),
        *(f"apart {to_text(anchor)}" for anchor in apart),
        *(f"joined {to_text(profile)}" for profile in joined),
    ]
    unknown = sum(anchor not in ledger.owners for anchor in live)
    counts = (len(ledger.owners), len(missing), unknown, len(elsewhere), len(apart), len(joined))
    return Comparison(*counts, examples[:EXAMPLES])


def everyone(ledger: Ledger, policy: Policy) -> list[list[Anchor]]:
    """Who is one person by the ledger's facts and the policy: groups of observations and sessions."""
    groups = partition(ledger.observations, policy, ledger.ties).clusters
    person = {anchor: number for number, group in enumerate(groups) for anchor in group}
    devices: dict[str, list[Visit]] = defaultdict(list)
    for visit in ledger.visits:
        devices[visit.device].append(visit)
    for visits in devices.values():
        lone = _bind(visits, person, groups, policy)
        groups += lone
    return groups


def _bind(
    visits: list[Visit], person: Mapping[Anchor, int], groups: list[list[Anchor]], policy: Policy
) -> list[list[Anchor]]:
    """Put a device's sessions to their people; returns the groups of those that are nobody's."""
    signins: dict[int, list[SignIn]] = defaultdict(list)
    for visit in visits:
        if not visit.session and visit.anchor in person:
            signins[visit.period].append(SignIn(visit.at, visit.anchor))
    users = users_of({one.anchor for found in signins.values() for one in found}, person, policy)
    sessions = {visit.period: visit.anchor for visit in visits if visit.session}
    nobody: list[Anchor] = []
    for period, owner in bind(sessions, signins, users).items():
        (nobody if owner is None else groups[person[owner]]).append(sessions[period])
    return [[anchor] for anchor in nobody] if users.crowd else [nobody] if nobody else []


async def _pages(warehouse: Warehouse, query: str, size: int = ROWS) -> AsyncIterator[tuple[Any, ...]]:
    after = NOWHERE
    while True:
        rows = await warehouse.rows(QUERIES[query], {"after": after, "rows": size})
        for row in rows:
            yield row
        if len(rows) < size:
            return
        after = rows[-1][0]


async def _device_pages(warehouse: Warehouse) -> AsyncIterator[tuple[Any, ...]]:
    place: dict[str, Any] = {"device": "", "period": 0, "after": NOWHERE}
    while True:
        rows = await warehouse.rows(QUERIES["ledger_devices"], {**place, "rows": ROWS})
        for row in rows:
            yield row
        if len(rows) < ROWS:
            return
        place = dict(zip(place, rows[-1][:3], strict=True))


async def _read_owners(state: Redis, found: list[bytes], start: int, *, sure: bool) -> dict[Anchor, ProfileId]:
    if not found:
        return {}
    owners = zip(found, await state.mget(found), strict=True)
    whole = {key[start:]: owner for key, owner in owners if isinstance(owner, bytes) and len(key) == start + ANCHOR}
    return {anchor: owner[-ID:] if sure else owner[:ID] for anchor, owner in whole.items()}

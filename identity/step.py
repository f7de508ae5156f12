"""One step of the graph: facts come in, the touched people are clustered anew, and what changed by that comes out.

1. read      the facts' surroundings, and tell what is new
2. cluster   the touched components
3. name      each cluster by the ids that its observations had
4. bind      the sessions of the devices that the change concerns
5. found     ids for those who have none
6. tell      what is written to the state, and the records for the ledger
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from identity.devices import SignIn, Users, around, bind, users_of
from identity.facts import Cause, Facts, Visit
from identity.keys import Slice
from identity.links import Link, Refusal
from identity.observations import Anchor, session_anchor
from identity.succession import NO_HEIR, Heir, ProfileId, another_id, succeed, sure_id
from identity.surroundings import Surroundings
from identity.view import View

LATEST = 2**63
NO_SLICE = Slice()
NEIGHBOURS = 2  # slices before and after a visit that its effect may depend on


@dataclass(eq=False, slots=True)
class Person:
    """A cluster of observations on its way to a profile."""

    anchors: list[Anchor]
    cause: Cause
    heir: Heir = NO_HEIR
    links: list[Link] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    parts: list[list[Anchor]] = field(default_factory=list)  # the people of the surer view, where there are several
    claimed: list[ProfileId] = field(default_factory=list)  # anonymous profiles whose sessions are all this person's
    id: ProfileId = b""
    since: int = 0

    @property
    def is_doubtful(self) -> bool:
        """Whether there is something about them that somebody might decide."""
        return bool(self.refusals) or len(self.parts) > 1


@dataclass(eq=False, slots=True)
class Nobody:
    """Sessions that are nobody's: all of a device, or one of a crowd's device."""

    device: str
    sessions: list[Anchor]
    founder: Anchor
    since: int
    cause: Cause
    absorbed: list[ProfileId] = field(default_factory=list)
    id: ProfileId = b""


Owner = Person | Nobody | ProfileId  # an id stands for a person whom the step does not touch


class Merge(NamedTuple):
    """`absorbed` became part of `profile`."""

    profile: ProfileId
    absorbed: ProfileId
    owner: Person | Nobody | None


class Step:
    """Plans one step. Nothing is written here; `identity.graph` writes what `plan` leaves in the attributes."""

    def __init__(
        self,
        view: View,
        facts: Facts,
        *,
        changed: Collection[Anchor] = (),
        cause: Cause | None = None,
        again: bool = False,
        renew: bool = False,
        divisible: bool = False,
    ) -> None:
        """`changed`: known observations to look at anew, for `cause`; `renew`: as if they were new.

        `again`: every fact counts as changed. `divisible`: raise `DivideError` rather than look at too much together.
        """
        self.view = view
        self.surroundings = Surroundings(view, divisible=divisible)
        self.facts = facts
        self.policy = view.policy
        self.again = again
        self.renew = renew
        self.version = 0
        self.cause = cause or next(iter(facts.causes.values()), Cause())
        self.changed = set(changed)
        self.fresh: list[Visit] = []
        self.persons: list[Person] = []
        self.nobodies: list[Nobody] = []
        self.merges: list[Merge] = []
        self.sessions: dict[Anchor, Owner] = {}  # whose each session in question is now
        self.slices: dict[str, dict[int, Slice]] = defaultdict(dict)  # as they become
        self.everyone: dict[str, list[Anchor]] = {}
        self._fresh_on: dict[str, list[Visit]] = defaultdict(list)
        self._settled: set[str] = set()  # devices on which what is new decides about nothing but itself
        self._person: dict[Anchor, Person] = {}
        self._apart: dict[Anchor, ProfileId] = {}  # of observations that are another person in the surer view
        self._bound: dict[Anchor, Anchor] = {}  # the observation by which a session is somebody's

    async def plan(self, version: Callable[[], Awaitable[int]]) -> bool:
        """Work out what the facts change, under a new version. Returns False when they change nothing."""
        await self._read()
        if not (self.view.added or self.fresh or self.changed):
            return False
        await self._cluster()
        await self._bind()
        self.version = await version()
        await self._found()
        return True

    def profile_of(self, anchor: Anchor) -> ProfileId:
        """The profile of an anchor after the step."""
        if person := self._person.get(anchor):
            return person.id
        owner = self.sessions.get(anchor)
        return self.id_of(owner) if owner is not None else self.held(anchor) or anchor

    def owner_of(self, anchor: Anchor) -> tuple[ProfileId, ProfileId]:
        """The profile of an anchor after the step, and the person in the surer view."""
        return self.profile_of(anchor), self.sure_of(anchor)

    def sure_of(self, anchor: Anchor) -> ProfileId:
        """The person of an anchor in the surer view after the step: the profile, or a part of it."""
        if anchor in self._person or anchor in self.sessions:
            binder = self._bound.get(anchor)
            return self._apart.get(anchor) or (self.sure_of(binder) if binder else self.profile_of(anchor))
        return self.held_surely(anchor) or self.profile_of(anchor)

    def held_surely(self, anchor: Anchor) -> ProfileId | None:
        """The person of an anchor in the surer view so far."""
        return self.view.sure.get(anchor) or self.held(anchor)

    def held(self, anchor: Anchor) -> ProfileId | None:
        """The profile of an anchor so far."""
        return self.view.owners.get(anchor) or self.facts.held.get(anchor)

    def id_of(self, owner: Owner) -> ProfileId:
        """The profile's id."""
        return owner if isinstance(owner, bytes) else owner.id

    # 1. read

    async def _read(self) -> None:
        view, facts = self.view, self.facts
        sessions = [visit.anchor for visit in facts.visits.values() if visit.session]
        signed_in = [visit.anchor for visit in facts.visits.values() if not visit.session]
        said = {key for anchor, one in facts.observations.items() for key in view.asked(anchor, one)}
        wanted: dict[str, set[int]] = defaultdict(set)
        for visit in facts.visits.values():
            wanted[visit.device].update(range(max(0, visit.period - NEIGHBOURS), visit.period + NEIGHBOURS + 1))
        await view.read(
            anchors=[*facts.observations, *self.changed],
            owners=[*sessions, *signed_in],
            values=said,
            profiles=[*facts.observations, *sessions],  # what is new will found a profile of its own
            devices=wanted,
        )
        for anchor, observation in facts.observations.items():
            if anchor not in view.observations:
                view.add(anchor, observation)
        self.changed &= view.observations.keys()
        if self.renew:
            view.renew(self.changed)
        if self.again:
            self.changed |= facts.observations.keys()
            view.renew(facts.observations.keys() - view.added)
        for visit in facts.visits.values():
            self._take(visit)

    def _take(self, visit: Visit) -> None:
        """Note a visit that is not known yet, or that began earlier than was known."""
        device, period = visit.device, visit.period
        known = self._slices(device).get(period, NO_SLICE)
        if visit.session:
            new, after = not known.session, Slice(known.session or visit.seen, known.signins)
        else:
            at, seen = known.signins.get(visit.anchor, (visit.at + 1, visit.seen))
            new = visit.at < at
            after = Slice(known.session, known.signins | {visit.anchor: (min(at, visit.at), min(seen, visit.seen))})
        if new or self.again:
            self.fresh.append(visit)
            self._fresh_on[device].append(visit)
            self.slices[device][period] = after

    # 2. cluster, 3. name

    async def _cluster(self) -> None:
        changed = self.view.added | self.changed
        for anchor in [anchor for anchor in self.view.added if self.view.is_alone(anchor)]:
            self._person[anchor] = Person([anchor], self.facts.causes.get(anchor, self.cause))
            self.persons.append(self._person[anchor])
            changed.discard(anchor)
        for part, rank in await self.surroundings.parts(changed):
            found = self.surroundings.cluster(part, rank)
            cause = next((self.facts.causes[anchor] for anchor in part if anchor in self.facts.causes), self.cause)
            for group in found.clusters:
                own = next((self.facts.causes[anchor] for anchor in group if anchor in self.facts.causes), cause)
                person = Person(group, own)
                self.persons.append(person)
                self._person.update(dict.fromkeys(group, person))
            for link in found.links:
                self._person[link.left].links.append(link)
            for refusal in found.refusals:
                self._person[refusal.left].refusals.append(refusal)
            for group in found.sure:
                self._person[group[0]].parts.append(group)
        for person in self.persons:
            self._tell_apart(person)
        held = {anchor: profile for anchor in self._person if (profile := self.held(anchor)) is not None}
        await self.view.read(profiles=set(held.values()))
        seen = {anchor: self.view.observations[anchor].first_seen for anchor in self._person}
        since = {profile: record.since for profile, record in self.view.profiles.items() if record}
        for person, heir in zip(
            self.persons, succeed([person.anchors for person in self.persons], held, seen, since), strict=True
        ):
            person.heir = heir
            person.id = heir.kept or b""

    def _tell_apart(self, person: Person) -> None:
        """In the surer view the part that is known longest is the profile; the others have ids of their own."""
        if len(person.parts) < 2:
            return
        first = self._founding(person.anchors)[1]
        for part in person.parts:
            if first not in part:
                self._apart.update(dict.fromkeys(part, sure_id(self._founding(part)[1])))

    def _who(self, anchor: Anchor) -> Owner:
        """The person an observation belongs to after the step."""
        return self._person.get(anchor) or self.held(anchor) or anchor

    # 4. bind

    async def _bind(self) -> None:
        moved = await self.view.read_visited(self._moved())
        await self.view.read_whole(moved)
        await self._settle(self._fresh_on.keys() - moved)
        devices = sorted(self._fresh_on.keys() | moved)
        for device in devices:
            self.everyone[device] = self._everyone(device)
        sessions = {device: found for device in devices if (found := self._sessions(device))}
        await self.view.read(owners={anchor for device in sessions for anchor in self._known_on(device)})
        bound = {anchor for found in sessions.values() for anchor in found.values()}
        await self.view.read(profiles={profile for anchor in bound if (profile := self.held(anchor))})
        for device, found in sessions.items():
            self._bind_device(device, found)

    async def _settle(self, devices: Collection[str]) -> None:
        """Find the devices on which what is new decides about nothing but itself.

        Those that were read in part only are read whole unless they are among these, or surely were a crowd's before
        the step and are one's after it.
        """
        view = self.view
        partly = {device: view.everyone[device] for device in devices if device in view.partly}
        samples = {d: known[: view.sample] for d, known in partly.items() if not self._is_thronged(known)}
        await view.read(owners={anchor for sample in samples.values() for anchor in sample})
        rest = {device for device, sample in samples.items() if not self._is_crowd(sample)}
        maybe = [device for device in devices if device in rest or device not in partly]
        anonymous = (device for device in maybe if any(visit.session for visit in self._fresh_on[device]))
        await view.read(owners={anchor for device in anonymous for anchor in view.everyone[device]})
        self._settled = {device for device in maybe if self._is_settled(device)}
        await view.read_whole(rest - self._settled)

    def _is_settled(self, device: str) -> bool:
        """So it is for the device's known users where no session is near, and for a session that is somebody's."""
        slices, known = self._slices(device), self.view.everyone[device]
        fresh = self._fresh_on[device]
        sessions = [visit for visit in fresh if visit.session]
        strange = any(
            visit.anchor not in known or visit.anchor in self.view.added for visit in fresh if not visit.session
        )
        near = around(visit.period for visit in fresh if not visit.session)
        if self.again or strange or any(slices.get(period, NO_SLICE).session for period in near):
            return False
        bound = bind([visit.period for visit in sessions], _signins(slices), self._users(device)) if sessions else {}
        return all(bound[visit.period] is not None and self.held(visit.anchor) is None for visit in sessions)

    def _is_thronged(self, anchors: Collection[Anchor]) -> bool:
        return len(anchors) > self.policy.observations_per_value

    def _is_crowd(self, anchors: Collection[Anchor]) -> bool:
        """Whether these observations are of more people than may share a device, as things were and as they become."""
        before, after = {self.held(anchor) for anchor in anchors}, {self._who(anchor) for anchor in anchors}
        return not self.again and len(before - {None}) > self.policy.limit < len(after)

    def _moved(self) -> list[Anchor]:
        """The known observations whose profile changes, or who they are in the surer view.

        When everything is made again sessions come by themselves, after the observations.
        """
        if self.again and not self.facts.visits:
            return []
        known = (anchor for anchor in self._person if anchor not in self.view.added)
        return [anchor for anchor in known if self.again or self._moves(anchor)]

    def _moves(self, anchor: Anchor) -> bool:
        kept = self._person[anchor].heir.kept
        return self.held(anchor) != kept or self.view.sure.get(anchor) != self._apart.get(anchor)

    def _everyone(self, device: str) -> list[Anchor]:
        """Every observation made on the device, up to one more than the policy believes of few users."""
        known = self.view.everyone[device]
        new = dict.fromkeys(visit.anchor for visit in self._fresh_on.get(device, ()) if not visit.session)
        more = [anchor for anchor in new if anchor not in known]
        return known + more[: max(0, self.policy.observations_per_value + 1 - len(known))]

    def _slices(self, device: str) -> dict[int, Slice]:
        return self.view.slices[device] | self.slices.get(device, {})

    def _sessions(self, device: str) -> dict[int, Anchor]:
        """The sessions in question, by slice: all; only what is new, where that is settled; a crowd's next to that."""
        found = {period for period, piece in self._slices(device).items() if piece.session}
        if device in self._settled:
            found &= {visit.period for visit in self._fresh_on[device] if visit.session}
        elif device in self.view.partly:
            found &= around(visit.period for visit in self._fresh_on.get(device, ()))
        return {period: session_anchor(device, period) for period in found}

    def _known_on(self, device: str) -> set[Anchor]:
        """The anchors whose profiles decide about the device's sessions, and those sessions."""
        signed_in = {anchor for piece in self._slices(device).values() for anchor in piece.signins}
        all_matter = not self._is_crowds(device) and not self._is_thronged(self.everyone[device])
        return {*(self.everyone[device] if all_matter else ()), *signed_in, *self._sessions(device).values()}

    def _bind_device(self, device: str, sessions: Mapping[int, Anchor]) -> None:
        """Give each session in question its owner, and each anonymous profile of the device its future."""
        users = Users(crowd=True) if self._is_crowds(device) else self._users(device)
        bound = bind(sorted(sessions), _signins(self._slices(device)), users)
        unbound = [period for period, anchor in bound.items() if anchor is None]
        groups = [[period] for period in unbound] if users.crowd else [unbound] if unbound else []
        remaining: set[ProfileId] = set()
        for group in groups:
            nobody = self._nobody(device, group, remaining)
            self.nobodies.append(nobody)
            self.sessions.update(dict.fromkeys(nobody.sessions, nobody))
        owners = {sessions[period]: self._who(anchor) for period, anchor in bound.items() if anchor is not None}
        self._bind_surely(device, bound, sessions)
        self.sessions.update(owners)
        self._claim(owners, remaining)

    def _bind_surely(self, device: str, bound: Mapping[int, Anchor | None], sessions: Mapping[int, Anchor]) -> None:
        """In the surer view a session is whose sign-in is near; else the device's only user's, if that is one person.

        Where the only user is likely one person and surely several, it is nobody's.
        """
        near = bind(bound, _signins(self._slices(device)), Users())
        several = len({self._surely(anchor) for anchor in self._everyone(device)}) > 1
        for period, anchor in bound.items():
            if anchor is None:
                continue
            if near[period] is None and several:
                self._apart[sessions[period]] = sure_id(sessions[period])
            else:
                self._bound[sessions[period]] = anchor

    def _surely(self, anchor: Anchor) -> Hashable:
        """Whose an observation is in the surer view after the step, before profiles have ids."""
        return (self._person[anchor], self._apart.get(anchor)) if anchor in self._person else self.held_surely(anchor)

    def _is_crowds(self, device: str) -> bool:
        return device in self.view.partly and device not in self._settled

    def _users(self, device: str) -> Users:
        """Who uses the device after the step."""
        everyone = self._everyone(device)
        return users_of(everyone, {anchor: self._who(anchor) for anchor in everyone}, self.policy)

    def _nobody(self, device: str, periods: Sequence[int], remaining: set[ProfileId]) -> Nobody:
        """The anonymous profile of these sessions. It takes the ids that they had, unless another took them before."""
        slices = self._slices(device)
        sessions = [session_anchor(device, period) for period in periods]
        held = {profile for anchor in sessions if (profile := self.held(anchor)) and self._is_anonymous(profile)}
        mine = sorted(held - remaining, key=self._age)
        remaining |= held
        first = min(periods, key=lambda period: (slices[period].session, period))
        cause = next((self.facts.causes[visit.anchor] for visit in self._fresh_on.get(device, ())), self.cause)
        since = min([slices[first].session, *(self._age(profile)[0] for profile in mine)])
        return Nobody(device, sessions, session_anchor(device, first), since, cause, mine[1:], mine[0] if mine else b"")

    def _claim(self, owners: Mapping[Anchor, Owner], remaining: Collection[ProfileId]) -> None:
        """An anonymous profile that has no session left becomes part of the person who got most of them."""
        shares: dict[ProfileId, Counter[Owner]] = defaultdict(Counter)
        for anchor, owner in owners.items():
            profile = self.held(anchor)
            if profile is not None and profile not in remaining and self._is_anonymous(profile):
                shares[profile][owner] += 1
        for profile, counts in shares.items():
            owner = min(counts, key=lambda one: (-counts[one], min(a for a, o in owners.items() if o == one)))
            if isinstance(owner, Person):
                owner.claimed.append(profile)
            elif owner != profile:
                self.merges.append(Merge(self.id_of(owner), profile, None))

    def _is_anonymous(self, profile: ProfileId) -> bool:
        record = self.view.profiles.get(profile)
        return record is None or bool(record.device)

    def _age(self, profile: ProfileId) -> tuple[int, ProfileId]:
        record = self.view.profiles.get(profile)
        return (record.since if record else LATEST), profile

    # 5. found

    async def _found(self) -> None:
        for person in self.persons:
            self._inherit(person)
        for nobody in self.nobodies:
            self.merges += [Merge(nobody.id, profile, nobody) for profile in nobody.absorbed]
        owners: list[Person | Nobody] = [*self.persons, *self.nobodies]
        founders = {owner: self._founder(owner) for owner in owners if not owner.id}
        await self.view.read(profiles=founders.values())
        taken = {owner.id for owner in owners}
        for owner, anchor in founders.items():
            free = self.view.profiles[anchor] is None and anchor not in taken
            owner.id = anchor if free else another_id(anchor, self.version)
            taken.add(owner.id)

    def _inherit(self, person: Person) -> None:
        """A person who is new takes the id of the oldest anonymous profile that is all theirs."""
        claimed = sorted(person.claimed, key=self._age)
        if not person.id and claimed:
            person.id = claimed.pop(0)
        gone = [*person.heir.absorbed, *claimed]
        self.merges += [Merge(person.id, profile, person) for profile in gone]
        records = (self.view.profiles.get(profile) for profile in (person.id, *gone))
        known = [record.since for record in records if record]
        person.since = min(known) if known else self._founding(person.anchors)[0]

    def _founding(self, anchors: Iterable[Anchor]) -> tuple[int, Anchor]:
        return min((self.view.observations[anchor].first_seen, anchor) for anchor in anchors)

    def _founder(self, owner: Person | Nobody) -> Anchor:
        return self._founding(owner.anchors)[1] if isinstance(owner, Person) else owner.founder


def _signins(slices: Mapping[int, Slice]) -> dict[int, list[SignIn]]:
    return {
        period: [SignIn(at, anchor) for anchor, (at, _) in piece.signins.items()] for period, piece in slices.items()
    }

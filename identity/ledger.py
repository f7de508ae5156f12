"""A step of the graph → the records that tell of it: observations, visits, links, assignments, merges and splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from struct import Struct as Layout

from cdp.records import (
    AnchorAssigned,
    DeviceSeen,
    Identifier,
    IdentityChange,
    IdentityChanges,
    LinkChanged,
    ObservationAdded,
    ProfileChanged,
    ValueJudged,
    encode,
    partition_of,
)
from cdp.streams.base import Draft
from cdp.topics import IDENTITY_CHANGES
from identity.facts import Cause, Visit
from identity.identifiers import Value, type_of
from identity.links import ALIAS, ASSERT, EVIDENCE, Link, Refusal, links
from identity.observations import Anchor, to_text
from identity.step import Nobody, Person, Step
from identity.succession import ProfileId
from identity.ties import Tie
from identity.view import When

Change = tuple[ProfileId, IdentityChange]  # with the profile that it is most about

TOGETHER = 1_000  # changes in one message

_envelope = Layout(">HI")  # the partition of identity.changes, and how many changes the message holds


def changes(step: Step, now: int) -> list[Change]:
    """Everything that a planned step changes, in the order in which it makes sense to read."""
    teller = _Teller(step, now)
    return [
        *teller.observations(),
        *teller.devices(),
        *teller.links(),
        *teller.assignments(),
        *teller.merges(),
        *teller.splits(),
        *teller.judgements(),
    ]


def tied(tie: Tie, cause: Cause, version: int, now: int, *, withdrawn: bool) -> LinkChanged:
    """A decision made by hand, as the ledger keeps it."""
    left, right = map(to_text, tie.anchors)
    return LinkChanged(
        left,
        right,
        tie.rule,
        1.0 if tie.rule == ASSERT else 0.0,
        now,
        version,
        value=tie.value,
        withdrawn=withdrawn,
        trace_id=cause.trace_id,
        by=cause.by,
    )


def pack(told: Iterable[Change], partitions: int) -> list[bytes]:
    """Changes → what waits in the outbox: messages of identity.changes by partition, each of bounded size."""
    sorted_out: dict[int, list[IdentityChange]] = defaultdict(list)
    for profile, change in told:
        sorted_out[partition_of(to_text(profile), partitions)].append(change)
    return [
        _envelope.pack(partition, len(part)) + encode(IdentityChanges(part))
        for partition, some in sorted_out.items()
        for part in (some[start : start + TOGETHER] for start in range(0, len(some), TOGETHER))
    ]


def draft(waiting: bytes) -> Draft:
    """What waits in the outbox → the message to append."""
    partition, count = _envelope.unpack_from(waiting)
    return Draft(IDENTITY_CHANGES.name, partition, waiting[_envelope.size :], count)


def why(rule: str, value: str) -> str:
    """A link in words."""
    if rule == ASSERT:
        return "they were joined by hand"
    if rule == ALIAS:
        return f"an alias call says that {value} was their account before"
    if rule == EVIDENCE:
        return f"what they say fits one person: {value}"
    return f"both have the {rule} {value}"


def probability(link: Link | Refusal) -> float:
    """How sure a link is."""
    if link.rule == EVIDENCE:
        return link.probability
    return 1.0 if link.rule in (ALIAS, ASSERT) else type_of(link.rule).probability


class _Teller:
    """Tells of one step."""

    def __init__(self, step: Step, now: int) -> None:
        self._step = step
        self._view = step.view
        self._now = now
        self._version = step.version
        known = (record for record in self._view.profiles.values() if record)
        touched = {profile for person in step.persons for anchor in person.anchors if (profile := step.held(anchor))}
        self._before = {_claim(link): link for record in known if not record.device for link in record.links}
        self._after = {_claim(link): link for person in step.persons for link in person.links}
        # A profile that only the ledger knows of has told its links before.
        self._retold = bool(touched) and not any(self._view.profiles.get(profile) for profile in touched)

    def observations(self) -> Iterator[Change]:
        """What was never said of anybody before."""
        for anchor in self._view.added:
            one, cause = self._view.observations[anchor], self._cause(anchor)
            yield (
                self._step.profile_of(anchor),
                ObservationAdded(
                    to_text(anchor),
                    one.source,
                    one.first_seen,
                    [Identifier(*value) for value in one.identifiers],
                    one.attributes,
                    cause.message_id,
                    cause.trace_id,
                ),
            )

    def devices(self) -> Iterator[Change]:
        """Devices in use."""
        for visit in self._step.fresh:
            yield self._step.profile_of(visit.anchor), self._seen(visit)

    def links(self) -> Iterator[Change]:
        """Evidence that counts now and did not before, and the other way round."""
        if self._retold:
            return
        for link in sorted(self._after[claim] for claim in self._after.keys() - self._before.keys()):
            yield self._step.profile_of(link.left), self._link(link, withdrawn=False)
        for link in self._gone():
            yield self._step.profile_of(link.left), self._link(link, withdrawn=True)

    def assignments(self) -> Iterator[Change]:
        """Anchors that belong to another profile than before, or to one at all."""
        for person in self._step.persons:
            for anchor in person.anchors:
                yield from self._assigned(anchor, person.id, person.cause, session=False)
        for anchor, owner in self._step.sessions.items():
            cause = owner.cause if isinstance(owner, Person | Nobody) else self._step.cause
            yield from self._assigned(anchor, self._step.id_of(owner), cause, session=True)

    def merges(self) -> Iterator[Change]:
        """Profiles that became part of others."""
        for merge in self._step.merges:
            owner = merge.owner
            cause = owner.cause if owner else self._step.cause
            reason = self._joined(owner, merge.absorbed) if isinstance(owner, Person) else ""
            reason = reason or ("the same device" if isinstance(owner, Nobody) else "they signed in on the device")
            yield merge.profile, self._changed("merged", merge.profile, merge.absorbed, reason, cause)

    def splits(self) -> Iterator[Change]:
        """Profiles that came out of others."""
        for person in self._step.persons:
            if person.heir.kept is None:
                for profile in person.heir.left:
                    reason = person.cause.reason or self._parted(person)
                    yield profile, self._changed("split", profile, person.id, reason, person.cause)
        for nobody in self._step.nobodies:
            before = {held for anchor in nobody.sessions if (held := self._step.held(anchor))}
            if nobody.id not in before:
                for profile in sorted(before):
                    reason = "the device has other users"
                    yield profile, self._changed("split", profile, nobody.id, reason, nobody.cause)

    def judgements(self) -> Iterator[Change]:
        """Values of what is new that became generic by it, or no longer are; when all is made again, those that are."""
        for anchor, value in self._new_values():
            before, after = (self._view.is_generic(value, when) for when in (When.BEFORE, When.AFTER))
            if before != after or (after and self._step.again):
                cause = self._cause(anchor)
                judged = ValueJudged(*value, after, self._step.version, self._now, cause.trace_id)
                yield self._step.profile_of(anchor), judged

    def _new_values(self) -> Iterator[tuple[Anchor, Value]]:
        """Each value once, with an observation that has it."""
        anchors = self._step.changed | self._view.added if self._step.again else self._view.added
        found = {value: anchor for anchor in sorted(anchors) for value in self._view.observations[anchor].identifiers}
        return ((anchor, value) for value, anchor in found.items() if links(value, self._view.policy))

    def _gone(self) -> list[Link]:
        # A record that was read only to learn its age is none of the step's business.
        mine = {anchor for person in self._step.persons for anchor in person.anchors}
        gone = (self._before[claim] for claim in self._before.keys() - self._after.keys())
        return sorted(link for link in gone if link.left in mine)

    def _link(self, link: Link, *, withdrawn: bool) -> LinkChanged:
        cause = self._cause(link.right if link.right in self._step.facts.causes else link.left)
        return LinkChanged(
            to_text(link.left),
            to_text(link.right),
            link.rule,
            probability(link),
            self._now,
            self._version,
            value=link.value,
            withdrawn=withdrawn,
            message_id=cause.message_id,
            trace_id=cause.trace_id,
            by=cause.by,
            model=link.model,
        )

    def _assigned(self, anchor: Anchor, profile: ProfileId, cause: Cause, *, session: bool) -> Iterator[Change]:
        before, surely = self._step.held(anchor), self._step.held_surely(anchor)
        sure = self._step.sure_of(anchor)
        if (before, surely) != (profile, sure):
            own = self._step.facts.causes.get(anchor, cause)
            yield (
                profile,
                AnchorAssigned(
                    to_text(anchor),
                    to_text(profile),
                    self._version,
                    self._now,
                    previous_id=to_text(before) if before else "",
                    kind="session" if session else "observation",
                    trace_id=own.trace_id,
                    sure_id=_unless(sure, profile),
                    previous_sure_id=_unless(surely, before),
                ),
            )

    def _changed(self, kind: str, profile: ProfileId, other: ProfileId, reason: str, cause: Cause) -> ProfileChanged:
        return ProfileChanged(
            to_text(profile),
            to_text(other),
            "merged" if kind == "merged" else "split",
            reason,
            self._version,
            self._now,
            trace_id=cause.trace_id,
        )

    def _seen(self, visit: Visit) -> DeviceSeen:
        return DeviceSeen(
            visit.device,
            visit.period,
            to_text(visit.anchor),
            "session" if visit.session else "observation",
            visit.at,
            visit.seen,
            self._cause(visit.anchor).trace_id,
        )

    def _joined(self, person: Person, absorbed: ProfileId) -> str:
        """Why the absorbed profile is this person's: a new link between what was its and what was not."""
        if person.cause.reason:
            return person.cause.reason
        for link in sorted(link for link in person.links if _claim(link) not in self._before):
            if (self._step.held(link.left) == absorbed) != (self._step.held(link.right) == absorbed):
                return why(link.rule, link.value)
        return ""

    def _parted(self, person: Person) -> str:
        """Why the person is apart now: a link that held no longer does."""
        mine = set(person.anchors)
        for link in self._gone():
            if (link.left in mine) != (link.right in mine):
                return f"no longer believed: {why(link.rule, link.value)}"
        return "the evidence is weighed differently"

    def _cause(self, anchor: Anchor) -> Cause:
        return self._step.facts.causes.get(anchor, self._step.cause)


def _unless(one: ProfileId | None, other: ProfileId | None) -> str:
    """An id as text; empty where it is the other one."""
    return "" if one is None or one == other else to_text(one)


def _claim(link: Link) -> tuple[Anchor, Anchor, str, str]:
    """What a link claims: of evidence, how much there is of it at the moment is no part of that."""
    return link.left, link.right, link.rule, "" if link.rule == EVIDENCE else link.value

"""How right the people of a stream are: by rules alone, and by evidence under a model learnt from its beginning.

    python -m tests.load.streams --generator gen.py [--people 2000 10000] [--noise 0.5 1.0 1.6] [--seeds 2] [--misses 9]

The generator makes a synthetic stream of Segment-spec events with truth beside it: `events.jsonl` in the order of
arrival, and `truth.csv` (messageId, person_id, kind, pii). Figures are over the events that describe a person.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from cdp.records import RawBatch, RawEvent
from identity.cluster import partition
from identity.devices import SignIn, bind, users_of
from identity.evaluation import Evaluation, evaluate
from identity.evidence import Evidence
from identity.extract import Extracted, Extractor, moment
from identity.learnt import learn_model
from identity.observations import Anchor, Observation
from identity.policy import Policy

GENERATOR = "CDP_TEST_STREAMS"
NOBODY = "_noise"  # events of tests and robots
FIRST = 3_000  # observations from which the first model is learnt

# What the figures must be at least, or at most.
B_CUBED, PRECISION, WORST, MIXED = 0.88, 0.98, 5, 0.04


class Received(Struct, rename="camel"):
    """When an event was received."""

    received_at: str


class Sent(NamedTuple):
    """An event of a stream, extracted."""

    id: str
    event: Extracted


class Stream(NamedTuple):
    """Events in the order of arrival, each once, and whose those are that describe a person."""

    sent: list[Sent]
    truth: dict[str, str]

    @property
    def observations(self) -> dict[Anchor, Observation]:
        """What is said of people, in the order in which it was said first."""
        found: dict[Anchor, Observation] = {}
        for one in self.sent:
            if one.event.observation is not None:
                found.setdefault(one.event.anchor, one.event.observation)
        return found


def main() -> None:
    """Make streams, find their people, and print how right they are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--generator", type=Path, default=os.environ.get(GENERATOR))
    parser.add_argument("--people", type=int, nargs="+", default=[2_000])
    parser.add_argument("--noise", type=float, nargs="+", default=[0.5, 1.0, 1.6])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--misses", type=int, default=0, help="print so many of the worst mistakes")
    options = parser.parse_args()
    if options.generator is None:
        sys.exit(f"Name the generator, by --generator or {GENERATOR}.")
    for people in options.people:
        for noise in options.noise:
            for seed in range(1, options.seeds + 1):
                with tempfile.TemporaryDirectory() as folder:
                    make(options.generator, Path(folder), people=people, noise=noise, seed=seed)
                    stream = read(Path(folder), Policy())
                print(f"{people} people, noise {noise}, seed {seed}: {len(stream.sent)} events", flush=True)
                held = measure(stream, Policy(), misses=options.misses)
                print("  all figures hold" if held else "  not all figures hold", flush=True)


def make(generator: Path, folder: Path, *, people: int, noise: float, seed: int) -> None:
    """Let the generator write a stream into a folder."""
    arguments = {"--people": people, "--noise": noise, "--seed": seed, "--out": folder}
    words = [str(word) for pair in arguments.items() for word in pair]
    subprocess.run([sys.executable, str(generator), *words], check=True, stdout=subprocess.DEVNULL)


def read(folder: Path, policy: Policy) -> Stream:
    """A generated stream, extracted under a policy."""
    extractor = Extractor(policy)
    sent: dict[str, Sent] = {}
    for event, batch in _events(folder / "events.jsonl"):
        found = extractor.extract(event, batch)
        if isinstance(found, Extracted):
            sent.setdefault(event.id, Sent(event.id, found))
    with (folder / "truth.csv").open() as file:
        truth = {row["messageId"]: row["person_id"] for row in csv.DictReader(file) if row["pii"] == "1"}
    return Stream(list(sent.values()), {event: person for event, person in truth.items() if person != NOBODY})


def _events(path: Path) -> Iterator[tuple[RawEvent, RawBatch]]:
    event, received = msgspec.json.Decoder(RawEvent).decode, msgspec.json.Decoder(Received).decode
    with path.open("rb") as file:
        for line in file:
            at = moment(received(line).received_at)
            yield event(line), RawBatch("shop", "", at or 0, [])


def measure(stream: Stream, policy: Policy, *, misses: int = 0) -> bool:
    """Find the people of a stream by rules, then by evidence; print both → whether the latter are good enough."""
    observations = stream.observations
    _show("rules", stream, partition(observations, policy).clusters, policy)
    begun = time.process_time()
    learnt = learnt_policy(observations, policy)
    assert learnt.evidence is not None
    print(
        f"  model {learnt.evidence.model.version}, of {learnt.evidence.model.records} observations, "
        f"{time.process_time() - begun:.1f} s CPU"
    )
    begun = time.process_time()
    found = partition(observations, learnt)
    spent = time.process_time() - begun
    likely = _show("likely", stream, found.clusters, learnt)
    _show("sure", stream, found.sure, learnt)
    print(f"  {len(observations)} observations in {spent:.1f} s CPU, {len(observations) / spent:,.0f}/s")
    for over in likely.over_merged[:misses]:
        print("   ", over)
    return (
        likely.b_cubed.f1 >= B_CUBED
        and likely.b_cubed.precision >= PRECISION
        and likely.worst <= WORST
        and likely.mixed <= MIXED
    )


def learnt_policy(observations: Mapping[Anchor, Observation], policy: Policy) -> Policy:
    """The policy with a model learnt from the first observations, and again from all if there are so many more."""
    order = list(observations)
    for count in (FIRST, len(order)):
        model = learn_model({anchor: observations[anchor] for anchor in order[:count]}, policy)
        assert model is not None
        policy = replace(policy, evidence=Evidence(model))
    return policy


def people(stream: Stream, groups: Iterable[Iterable[Anchor]], policy: Policy) -> dict[str, Hashable]:
    """Whose each event is: an observation's by clustering, anonymous activity's by its device."""
    person: dict[Anchor, Hashable] = {anchor: number for number, group in enumerate(groups) for anchor in group}
    whose = dict(person)
    signins: dict[str, dict[int, dict[Anchor, int]]] = defaultdict(lambda: defaultdict(dict))
    sessions: dict[str, dict[int, Anchor]] = defaultdict(dict)
    for _, event in stream.sent:
        if event.device and event.observation is None:
            sessions[event.device][event.period] = event.anchor
        elif event.device:
            signed = signins[event.device][event.period]
            signed[event.anchor] = min(event.at, signed.get(event.anchor, event.at))
    for device, by_period in sessions.items():
        known = signins[device]
        users = users_of({anchor for signed in known.values() for anchor in signed}, person, policy)
        closing = {period: [SignIn(at, anchor) for anchor, at in signed.items()] for period, signed in known.items()}
        for period, owner in bind(by_period, closing, users).items():
            nobody = by_period[period] if users.crowd else device
            whose[by_period[period]] = nobody if owner is None else person[owner]
    return {event: whose[found.anchor] for event, found in stream.sent}


def _show(name: str, stream: Stream, groups: Iterable[Iterable[Anchor]], policy: Policy) -> Evaluation:
    found = evaluate(people(stream, groups, policy), stream.truth)
    print(
        f"  {name:7} B-cubed {found.b_cubed.f1:.4f} (precision {found.b_cubed.precision:.4f}, "
        f"recall {found.b_cubed.recall:.4f}), pairs {found.pairwise.precision:.4f} and {found.pairwise.recall:.4f}, "
        f"worst profile {found.worst} people, in mixed profiles {found.mixed:.2%}",
        flush=True,
    )
    return found


if __name__ == "__main__":
    main()

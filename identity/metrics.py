"""What the resolver counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from identity.step import Step

OBSERVATIONS = Counter("cdp_identity_observations", "New observations.")
MERGES = Counter("cdp_identity_merges", "Profiles that became part of another.")
SPLITS = Counter("cdp_identity_splits", "Profiles that came out of another.")
REFUSED = Counter("cdp_identity_refused_links", "Links that a limit or a deny forbade when they were looked at.")
GENERIC = Counter("cdp_identity_generic_values", "Values that became generic.")
OVERSIZE = Counter("cdp_identity_oversize_components", "Components too large to be looked at whole.")
CONFLICTS = Counter("cdp_identity_conflicts", "Transactions repeated because another process was faster.")
DUPLICATES = Counter("cdp_identity_duplicates", "Events dropped because they were seen before.")
REUSED = Counter("cdp_identity_reused_ids", "Events set aside because another one has their messageId.")
REMEMBERED = Gauge("cdp_identity_remembered_ids", "messageIds that are remembered in the state.")
MODELS = Counter("cdp_identity_models", "Models that were learnt.", ["outcome"])
TURN = Histogram(
    "cdp_identity_turn_seconds",
    "Duration of a turn of the resolver.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)


def observe(step: Step) -> None:
    """Count what a step that took place changed."""
    OBSERVATIONS.inc(len(step.view.added))
    MERGES.inc(len(step.merges))
    SPLITS.inc(sum(len(person.heir.left) for person in step.persons if person.heir.kept is None))
    REFUSED.inc(sum(len(person.refusals) for person in step.persons))
    GENERIC.inc(sum(generic for _, generic in step.view.judgements()))
    OVERSIZE.inc(step.view.oversize)

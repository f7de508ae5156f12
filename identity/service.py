"""What identity offers: the role `resolver`, the learner beside it, and the routes of people."""

from __future__ import annotations

from cdp.enrichers import Enrichers
from cdp.service import Offer, Platform, Wing
from cdp.topics import EVENTS_RAW
from cdp.worker import Worker
from identity.commands import app as commands
from identity.learner import Learner
from identity.resolver import Resolver
from identity.routes import router


def build(opened: Platform) -> Worker:
    """The resolver, around the consume loop. Raises `MisconfiguredError`."""
    resolver = Resolver(opened.log, opened.state, opened.settings, opened.clock, Enrichers(opened.enrichers))
    return Worker(opened.log, resolver)


WING = Wing(
    "identity",
    roles={
        "resolver": Offer(build, frozenset({"state"}), (EVENTS_RAW,)),
        "learner": Offer(Learner, frozenset({"state"}), beside="resolver"),
    },
    router=router,
    commands=commands,
)

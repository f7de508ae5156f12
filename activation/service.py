"""What activation offers: the role `dispatcher`, and the routes for destinations and syncs."""

from __future__ import annotations

from activation.dispatcher import Dispatcher
from activation.routes import router
from cdp.service import Offer, Wing
from cdp.topics import SEGMENTS_CHANGES

WING = Wing(
    "activation",
    roles={"dispatcher": Offer(Dispatcher, frozenset({"state", "warehouse"}), (SEGMENTS_CHANGES,))},
    router=router,
)

"""The table of SDKs: each one's driver, and what it does otherwise than most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

# After what an SDK sends again: an answer that says so, a connection that breaks.
ANSWER, BREAK = "answer", "break"
ALWAYS, NEVER = frozenset({ANSWER, BREAK}), frozenset[str]()


class Sdk(NamedTuple):
    """An SDK as it is driven.

    `lacks` names calls, and fields of calls, that it has not; `repeats` after what it sends again. One that `insists`
    sends even what was refused for good again, 400 apart, a few times. One that `leaves` sends as its page goes.
    """

    name: str
    driver: str
    options: Mapping[str, Any] = {}
    lacks: frozenset[str] = frozenset()
    repeats: frozenset[str] = ALWAYS
    insists: bool = False
    leaves: bool = False

    @property
    def in_browser(self) -> bool:
        """Whether a page in Chromium performs it."""
        return self.driver.endswith(".js")

    @property
    def troupe(self) -> str:
        """Who performs it: a fixture."""
        return "pages" if self.in_browser else "node_programs" if self.driver.endswith(".mjs") else "programs"


def batching(*, size: int, timeout: int) -> dict[str, Any]:
    """Options by which analytics-next collects events; it sends so many, or after so many milliseconds."""
    strategy = {"strategy": "batching", "config": {"size": size, "timeout": timeout}}
    return {"integrations": {"Segment.io": {"deliveryStrategy": strategy}}}


SCREEN = frozenset({"screen"})
SDKS = {
    sdk.name: sdk
    for sdk in (
        Sdk("segment-browser", "segment-browser.js"),
        Sdk("segment-browser-batching", "segment-browser.js", batching(size=4, timeout=300)),
        # All it has is sent as the page goes.
        Sdk(
            "segment-browser-leaving",
            "segment-browser.js",
            batching(size=1_000, timeout=120_000),
            repeats=NEVER,
            leaves=True,
        ),
        Sdk("rudder-browser", "rudder-browser.js", lacks=SCREEN),
        Sdk(
            "rudder-browser-beacon",
            "rudder-browser.js",
            {"useBeacon": True, "beaconQueueOptions": {"flushQueueInterval": 300}},
            lacks=SCREEN,
            repeats=NEVER,
        ),
        Sdk("rudder-older-browser", "rudder-older-browser.js", lacks=SCREEN),
        # These two take whatever answer for thanks, as older versions of Segment's own do.
        Sdk("customerio-browser", "customerio-browser.js", repeats=frozenset({BREAK})),
        Sdk("hightouch-browser", "hightouch-browser.js", repeats=frozenset({BREAK})),
        Sdk("jitsu-browser", "jitsu-browser.js", lacks=frozenset({"screen", "alias", "timestamp"}), repeats=NEVER),
        Sdk("segment-node", "segment-node.mjs"),
        # These two come again at once and heed no Retry-After; left alone they give up within the second.
        Sdk("segment-older-node", "analytics-node.mjs", {"retryCount": 8}),
        Sdk("customerio-node", "customerio-node.mjs", {"maxRetries": 8}, insists=True),
        Sdk("rudder-node", "rudder-node.mjs"),
        Sdk("segment-python", "python.py segment"),
        Sdk("segment-python-gzip", "python.py segment", {"gzip": True}),
        Sdk("rudder-python", "python.py rudder"),
        Sdk("customerio-python", "python.py customerio"),
    )
}

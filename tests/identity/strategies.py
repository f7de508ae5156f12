"""Small random worlds for hypothesis: few values, so that they meet often."""

from __future__ import annotations

from hypothesis import strategies as st

from identity.observations import Anchor, Observation, to_text
from identity.policy import Policy
from identity.ties import OBSERVATION, Tie, tie

NAMES = ["", "lan", "hùng", "nguyễn văn an", "bình", "my", "hoa", "tú"]
PERIODS = st.sampled_from(["2026-W01", "2026-W02"])
TYPES = {"user_id": 4, "crm_id": 3, "loyalty_card": 3, "email": 4, "phone": 4, "zalo_id": 2, "previous_id": 4}

values = st.sampled_from(sorted(TYPES)).flatmap(
    lambda name: st.integers(0, TYPES[name] - 1).map(lambda n: (name, f"{'u' if 'id' in name else name[0]}{n}"))
)


@st.composite
def observations(draw: st.DrawFn) -> dict[Anchor, Observation]:
    """Some observations by anchor."""
    contents = draw(
        st.lists(st.tuples(st.sets(values, min_size=1, max_size=4), st.sampled_from(NAMES), PERIODS), max_size=14)
    )
    found = [
        Observation(tuple(sorted(identifiers)), {"period": period} | ({"name": name} if name else {}), number, "web")
        for number, (identifiers, name, period) in enumerate(contents)
    ]
    return {one.anchor: one for one in reversed(found)}


policies = st.builds(
    Policy,
    limits=st.fixed_dictionaries({"user_id": st.sampled_from([1, 2])}),
    limit=st.sampled_from([1, 2, 3, 5]),
    observations_per_value=st.sampled_from([3, 5, 200]),
    component_limit=st.sampled_from([2, 4, 8, 2_000]),
    limits_within=st.sampled_from([{}, {"email": 1}, {"phone": 2, "zalo_id": 1}]),
    priorities=st.sampled_from([(), ("phone",), ("zalo_id", "email")]),
)


@st.composite
def ties_between(draw: st.DrawFn, anchors: list[Anchor]) -> list[Tie]:
    """Some decisions about these observations and what they hold."""
    if len(anchors) < 2:
        return []
    pairs = st.lists(st.sampled_from(anchors), min_size=2, max_size=2, unique=True)
    ends = pairs.map(lambda pair: [(OBSERVATION, to_text(anchor)) for anchor in pair])
    asserts = ends.map(lambda pair: tie("assert", *pair))
    denies = (ends | st.lists(values, min_size=2, max_size=2, unique=True)).map(lambda pair: tie("deny", *pair))
    return draw(st.lists(asserts | denies, max_size=4))

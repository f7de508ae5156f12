"""The two views of who is one person: a likely profile is one or more people of whom each is sure.

`likely` counts people (profiles, analytics, consent); `sure` acts on them (segments that are sent, what destinations
get). One of a profile's sure people has the profile's id, the others have ids of their own. Without evidence by
probability both views are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

View = Literal["sure", "likely"]

SURE: View = "sure"
LIKELY: View = "likely"

# The warehouse's tables that say whose the anchors are: `profile_id` is who it is in that view.
MAPS: Mapping[View, str] = {SURE: "sure_map", LIKELY: "identity_map"}

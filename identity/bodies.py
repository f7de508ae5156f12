"""What the routes of people take and answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

from cdp.settings import LimitPeriod

PROFILE_ID = "5e0c1b7a-7d1e-4a53-9f0e-2b6f1f1d8c11"
OTHER_ID = "0b1f4c52-93a7-4d38-8a2b-6f5f0d0f3c22"
LINK_EXAMPLE: dict[str, Any] = {
    "left": "7a2f…",
    "right": "b31c…",
    "rule": "email",
    "value": "lan@example.com",
    "probability": 0.99,
    "because": "both have the email lan@example.com",
}
PROVENANCE_EXAMPLE: dict[str, Any] = {
    "source": "web",
    "at": "2026-11-21T08:30:00.000Z",
    "verified": False,
    "rule": "most_recent_verified",
    "anchor_id": "7a2f…",
    "message_id": "ajs-next-1795249800000-0f9c…",
}
PROFILE_EXAMPLE: dict[str, Any] = {
    "profile_id": PROFILE_ID,
    "identifiers": [
        {"type": "user_id", "value": "lan", "first_seen": "2026-11-21T08:30:00.000Z", "sources": ["web"]},
        {"type": "email", "value": "lan@example.com", "first_seen": "2026-11-21T08:30:00.000Z", "sources": ["web"]},
        {"type": "anonymous_id", "value": "53a322b7-89c7-40ae-b485-187d61233e4d", "first_seen": None, "sources": []},
    ],
    "traits": {"name": "Nguyễn Thị Lan", "email": "lan@example.com"},
    "provenance": {"name": PROVENANCE_EXAMPLE, "email": PROVENANCE_EXAMPLE | {"source": "pos", "verified": True}},
    "computed": {
        "orders": 3,
        "first_order": "2026-11-21T08:12:09.000Z",
        "last_order": "2026-11-21T08:30:00.000Z",
        "revenue": {"VND": 1850000},
        "refunded": {"VND": 250000},
        "ltv": {"VND": 1600000},
        "average_order": {"VND": 616666.666667},
        "favourite_category": "Áo dài",
        "rfm": {"recency": 5, "frequency": 3, "monetary": 2, "days": 0, "currency": "VND"},
    },
    "segments": ["vip"],
    "sure": [],
    "first_seen": "2026-11-21T08:12:09.000Z",
    "last_seen": "2026-11-21T08:30:00.000Z",
    "event_count": 12,
    "shared_with": [],
}

JUDGED_EXAMPLE: dict[str, Any] = {
    "version": 2,
    "at": "2026-11-21T08:30:00.000Z",
    "observations": 6012,
    "sample": 6012,
    "people_before": 2480,
    "people_after": 2461,
    "merged": 31,
    "split": 14,
    "largest_before": 22,
    "largest_after": 24,
    "generic": 71,
    "pairs_expected": 7130,
    "pairs_joined": 6902,
    "reasons": [],
}

ModelStatus = Literal["off", "waiting", "asked", "remaking", "ready"]


class Body(BaseModel):
    """What a request says; unknown fields are errors."""

    model_config = ConfigDict(extra="forbid")


class IdentifierBody(Body):
    """One person, by an identifier, a `profile_id` or an `observation`."""

    type: str = Field(min_length=1, max_length=64, examples=["email"])
    value: str = Field(min_length=1, max_length=500, examples=["lan@example.com"])

    @property
    def pair(self) -> tuple[str, str]:
        """Type and value."""
        return self.type, self.value


def _parsed(given: Any) -> Any:
    """`type:value` is as good as an object."""
    if isinstance(given, str) and ":" in given:
        name, _, value = given.partition(":")
        return {"type": name, "value": value}
    return given


Somebody = Annotated[
    IdentifierBody,
    BeforeValidator(_parsed, json_schema_input_type=IdentifierBody | str),
    Field(description="A person: `{type, value}`, or both as `type:value`."),
]


class MergeBody(Body):
    """Two who are one person."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "left": {"type": "user_id", "value": "lan"},
                    "right": {"type": "phone", "value": "0905123456"},
                    "reason": "She called and gave both.",
                }
            ]
        }
    )

    left: Somebody
    right: Somebody
    reason: str = Field("", max_length=500, description="Why; kept with the decision.")


class SplitBody(MergeBody):
    """Two who are not one person."""

    deny: StrictBool = Field(
        True, description="Keep them apart for good. With false, only what joined them by hand is taken back."
    )


class SimulateBody(Body):
    """Rules to try. What is left out stays as it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "limits": {"phone": 1},
                    "limits_within": {"email": 2},
                    "limit_period": "week",
                    "priorities": ["loyalty_card", "phone"],
                    "blocked_values": ["\\+8428.*"],
                    "identifiers": [],
                }
            ]
        }
    )

    limits: dict[str, Annotated[int, Field(ge=1, le=10_000)]] = Field(
        default={}, description="Most values of a type that evidence may bring into one profile, by type."
    )
    limit: int | None = Field(None, ge=1, le=10_000, description="The same for all types that `limits` leaves out.")
    limits_within: dict[str, Annotated[int, Field(ge=1, le=10_000)]] = Field(
        default={},
        description="Most values of a type that evidence may bring into one profile within one `limit_period`, by "
        "type. What was said before anybody asked counts in the period in which it was first received.",
    )
    limit_period: LimitPeriod | None = Field(None, description="The period of `limits_within`, in UTC.")
    priorities: list[Annotated[str, Field(max_length=64)]] | None = Field(
        None, max_length=100, description="Types that link before all others, the strongest first."
    )
    observations_per_value: int | None = Field(None, ge=1, description="Above this many a shared value is generic.")
    blocked_values: list[Annotated[str, Field(max_length=500)]] = Field(
        default=[], max_length=100, description="More values that identify nobody, as regular expressions."
    )
    identifiers: list[Somebody] = Field(
        default=[],
        max_length=100,
        description="Look at these people and whoever shares anything with them; else at all.",
    )
    most: int = Field(20_000, ge=1, le=200_000, description="Most observations to look at.")
    evidence: StrictBool | None = Field(
        None,
        description="True: make people by evidence; where no model is learnt yet, one is for this trial, from what is "
        "looked at (500 observations or more). False: by rules alone. Left out: as it is.",
    )


class IdentifierShown(BaseModel):
    """An identifier of a person, since when it is known and which sources said it.

    A device (`anonymous_id`, `device_id`) is known by when it was used, so it has neither.
    """

    type: str
    value: str
    first_seen: str | None
    sources: list[str]


class ValueShown(BaseModel):
    """An identifier by itself."""

    type: str
    value: str


class LinkShown(BaseModel):
    """Evidence that two observations are one person. Both ends are anchor ids."""

    model_config = ConfigDict(json_schema_extra={"examples": [LINK_EXAMPLE]})

    left: str
    right: str
    rule: str = Field(
        description="An identifier type, `alias`, `assert` for a decision made by hand, or `evidence` of what they say."
    )
    value: str = Field(description="What both share; of evidence, how they compare.")
    probability: float = Field(description="How likely they are one person.")
    because: str = Field(description="The same in words.")
    model: int = Field(0, description="The version of the model that weighed the evidence.")


class ProvenanceShown(BaseModel):
    """Where a trait's value comes from: who said it last, when, and by which rule it counts."""

    source: str
    at: str
    verified: bool = Field(description="Whether it was proven whom the event names.")
    rule: str = Field(description="See `GET /api/v1/traits`.")
    anchor_id: str
    message_id: str


class ValueSaid(BaseModel):
    """A value that events said of a trait, by source."""

    value: Any
    source: str
    verified: bool
    times: int = Field(description="How many events said so.")
    first_at: str
    last_at: str
    anchor_id: str
    message_id: str
    counts: bool = Field(description="Whether this is where the trait's value comes from.")


class RfmShown(BaseModel):
    """Recency, frequency and monetary: 1 to 5 points each, by the thresholds of the settings `profiles`."""

    recency: int
    frequency: int
    monetary: int | None = Field(description="Null where the settings have no thresholds for the currency.")
    days: int = Field(description="Days since the last order.")
    currency: str = Field(description="The one that most orders were paid in.")


class ComputedShown(BaseModel):
    """What follows from the orders among the events. Amounts are by currency; XXX where none was said."""

    orders: int
    first_order: str | None
    last_order: str | None
    revenue: dict[str, float | int]
    refunded: dict[str, float | int]
    ltv: dict[str, float | int] = Field(description="Revenue less what was refunded, so far.")
    average_order: dict[str, float | int]
    favourite_category: str | None
    rfm: RfmShown | None = Field(description="Null for who never ordered.")


class SureShown(BaseModel):
    """A sure person, who is likely the same one as the others of a profile."""

    profile_id: str = Field(description="The id in segments whose view is `sure`, and at destinations.")
    identifiers: list[IdentifierShown]
    segments: list[str] = Field(description="What this one is in.")


class ProfileShown(BaseModel):
    """A person. `shared_with`: other profiles that have the identifier that was asked for."""

    model_config = ConfigDict(json_schema_extra={"examples": [PROFILE_EXAMPLE]})

    profile_id: str
    identifiers: list[IdentifierShown]
    traits: dict[str, Any]
    provenance: dict[str, ProvenanceShown] = Field(description="Where each trait's value comes from.")
    computed: ComputedShown
    segments: list[str] = Field(description="What the person, or any of the `sure` ones, is in.")
    sure: list[SureShown] = Field(
        [],
        description="Of whom the profile consists, where it is only likely one person: each is sure, and is sent to "
        "destinations by itself. Empty where the whole profile is sure.",
    )
    first_seen: str | None = Field(description="The first event's time; null while none is stored.")
    last_seen: str | None
    event_count: int
    shared_with: list[str]
    events: list[dict[str, Any]] | None = Field(None, description="The latest 100, with `include=events`.")
    values: dict[str, list[ValueSaid]] | None = Field(
        None, description="Every value that was said of a trait, the latest first, up to 20; with `include=values`."
    )
    links: list[LinkShown] | None = Field(None, description="With `include=links`.")
    deliveries: list[dict[str, Any]] | None = Field(None, description="The latest 100, with `include=deliveries`.")
    anchors: list[dict[str, str]] | None = Field(None, description="What events are stored under; `include=anchors`.")


class ObservationShown(BaseModel):
    """What one event, and all that repeat it, said of the person."""

    anchor_id: str
    identifiers: list[ValueShown]
    attributes: dict[str, str]
    first_seen: str
    source: str


class Explanation(BaseModel):
    """Why a person is one person: observations, the links between them, and the way along them in words."""

    profile_id: str
    observations: list[ObservationShown]
    links: list[LinkShown]
    steps: list[str]


class RelativeShown(BaseModel):
    """Somebody who may live with a person."""

    profile_id: str
    probability: float = Field(description="How likely they are of one household rather than strangers, 0.5 to 1.")
    because: str = Field(description="How what the two said compares, in words.", examples=["street the same"])


class HouseholdShown(BaseModel):
    """Who may live with a person."""

    profile_id: str
    members: list[RelativeShown] = Field(description="The likeliest first; without the person.")


class DecisionShown(BaseModel):
    """What became of a decision. `left` and `right`: the profiles of both ends now."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"changed": True, "left": PROFILE_ID, "right": PROFILE_ID, "decided": ["assert …"], "withdrawn": []}
            ]
        }
    )

    changed: bool
    left: str
    right: str
    decided: list[str] = Field(description="Decisions made now.")
    withdrawn: list[str] = Field(description="Earlier decisions taken back.")


class Differences(BaseModel):
    """What the rules would change. `complete` is false when there was more than `most` to look at."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "observations": 812,
                    "profiles_before": 301,
                    "profiles_after": 305,
                    "merges": [],
                    "splits": [{"profile_id": PROFILE_ID, "parts": 5}],
                    "complete": True,
                }
            ]
        }
    )

    observations: int
    profiles_before: int
    profiles_after: int
    merges: list[list[str]] = Field(description="Profiles that would be one.")
    splits: list[dict[str, Any]] = Field(description="Profiles that would fall into several.")
    complete: bool


class ReviewShown(BaseModel):
    """Two observations that may be one person, and are kept apart, or are likely one and not surely.

    Accept by `POST /api/v1/identity/merge` with both observations, reject by `POST /api/v1/identity/split`.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "left": f"profile_id:{PROFILE_ID}",
                    "right": f"profile_id:{OTHER_ID}",
                    "left_observation": "7a2f…",
                    "right_observation": "b31c…",
                    "rule": "phone",
                    "value": "+84905123456",
                    "probability": 0.97,
                    "reason": "together they would have 2 values of user_id; the limit is 1",
                }
            ]
        }
    )

    left: str
    right: str = Field(description="The same as `left` where both are likely one person.")
    left_observation: str
    right_observation: str
    rule: str
    value: str
    probability: float
    reason: str


class ReviewPage(BaseModel):
    """Possible matches."""

    items: list[ReviewShown]
    next: str | None = Field(description="Give it as `after` to get the next page; null on the last one.")


class ComparedShown(BaseModel):
    """What it says of two observations when they compare like this in one field, and nothing else is known of them."""

    how: str
    probability: float = Field(description="How likely they are one person.")


class JudgedShown(BaseModel):
    """What a model makes of the people in the sample that it was learnt from, beside what was in force before."""

    version: int = Field(description="Of the model; 0 where none could be told.")
    at: str
    observations: int = Field(description="How many there were.")
    sample: int = Field(description="How many of them it was learnt from and judged by.")
    people_before: int = Field(description="People of the sample by the model before; by rules if there was none.")
    people_after: int
    merged: int = Field(description="People after who were several before.")
    split: int = Field(description="People before who are several after.")
    largest_before: int = Field(description="The most different things that one person's observations say.")
    largest_after: int
    generic: int = Field(description="Observations that hold a value which is nobody's own, such as a hotline.")
    pairs_expected: int = Field(
        description="Pairs of one person among those that are compared, as the model reckons: about as many as it "
        "joins, if it is right."
    )
    pairs_joined: int = Field(description="Pairs of one person among those that are compared, by the people it makes.")
    reasons: list[str] = Field(description="Why it is no model of people; if it is in force all the same, by force.")


class ModelShown(BaseModel):
    """By what people are made: rules, until there are enough observations, then evidence."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "by": "evidence",
                    "status": "ready",
                    "version": 2,
                    "learnt_from": 6000,
                    "observations": 7402,
                    "next_at": 18000,
                    "adopted": JUDGED_EXAMPLE,
                    "refused": None,
                    "fields": {"phone": [{"how": "the same", "probability": 0.97}]},
                }
            ]
        }
    )

    by: Literal["rules", "evidence"]
    status: ModelStatus = Field(
        description="`off` by the settings; `waiting` for enough observations; `asked` for a new model; `remaking`: "
        "everybody is looked at again by a new one; `ready`."
    )
    version: int = Field(description="Of the model; 0 while there is none.")
    learnt_from: int = Field(description="How many observations it was learnt from.")
    observations: int = Field(description="How many there are.")
    next_at: int | None = Field(description="At how many the next model is learnt; null after the last.")
    adopted: JudgedShown | None = Field(description="What the model in force did to people; null while there is none.")
    refused: JudgedShown | None = Field(
        description="The last model that was learnt, where it is no model of people and not used; null if it is used."
    )
    fields: dict[str, list[ComparedShown]]


class RebuildShown(BaseModel):
    """How the live graph and the ledger compare, or how far making it again is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "finished",
                    "applied": False,
                    "done": 0,
                    "total": 0,
                    "equal": True,
                    "anchors": 1402,
                    "missing": 0,
                    "unknown": 0,
                    "elsewhere": 0,
                    "apart": 0,
                    "joined": 0,
                    "examples": [],
                    "problem": "",
                }
            ]
        }
    )

    status: Literal["running", "finished", "failed"]
    applied: bool = Field(description="Whether the live graph is made again, not only compared.")
    done: int = Field(0, description="Anchors made again so far.")
    total: int = 0
    equal: bool | None = Field(None, description="Whether nothing of the ledger is missing or different.")
    anchors: int = Field(0, description="Anchors of the ledger.")
    missing: int = Field(0, description="Anchors that the live graph does not know.")
    unknown: int = Field(0, description="Anchors that the ledger does not know yet: they are on their way.")
    elsewhere: int = Field(0, description="Anchors that belong to another profile than the ledger says.")
    apart: int = Field(0, description="People of the ledger's facts that the live graph has in several profiles.")
    joined: int = Field(0, description="Profiles that are several people by the ledger's facts.")
    examples: list[str] = []
    problem: str = ""

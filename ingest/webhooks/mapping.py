"""What a mapping says: which payloads become which events. Data only; `ingest.webhooks.events` carries it out.

    {"topic": "$header.x-shopify-topic", "ids": {"shopify_customer_id": "customer.id"}, "timestamp": "updated_at",
     "events": [{"when": {"$header.x-shopify-topic": "orders/create"}, "event": "Order Completed",
                 "properties": {"order_id": "id | text", "total": "total_price | number"}}]}

Of the rules under `events` the first that fits counts. What a rule leaves out is as the mapping around it says;
`ids`, `traits` and `context` of both are put together.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool

from cdp.records import EventType
from ingest.webhooks.signatures import ExpressionText
from ingest.webhooks.templates import pieces, readable, shape

Test = StrictBool | int | float | str | list[str | int | float | StrictBool]
Unmatched = Literal["store", "ignore"]

MOST_RULES = 200


Text = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(readable(pieces))]
Shape = Annotated[str | dict[str, Any], AfterValidator(readable(shape))]
IdType = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Ids = dict[IdType, Text | Annotated[list[Text], Field(max_length=10)]]


class Fields(BaseModel):
    """Where the parts of an event stand."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    message_id: Text | None = Field(
        None,
        description="What is the same when the platform sends the same again, such as `{id}`; a hash of the payload "
        "where it is missing.",
    )
    timestamp: ExpressionText | None = Field(None, description="When it happened; the moment of receipt if absent.")
    user_id: ExpressionText | None = Field(
        None, description="The account in *your own* system. Ids of platforms belong to `ids`: one person has several."
    )
    anonymous_id: ExpressionText | None = Field(None, description="The id that our script keeps in the browser.")
    ids: Ids | None = Field(
        None,
        max_length=30,
        description="Other ids of the person by type, as texts: `{'email': '{email}', 'zalo_user_id': '{sender.id}'}`; "
        "several of one type as a list.",
    )
    traits: Shape | None = Field(None, description="What is said of the person.")
    context: Shape | None = Field(None, description="What is said of the circumstances: `ip`, `userAgent`, `campaign`.")
    properties: Shape | None = Field(None, description="What is said of the event.")


class Rule(Fields):
    """A kind of payload, and the event it becomes."""

    when: dict[ExpressionText, Test] = Field(
        {},
        max_length=20,
        description="Expressions and what they must be: a value, one of a list, or `true` for anything, `false` for "
        "nothing. All must hold; of none, all payloads fit.",
    )
    each: ExpressionText | None = Field(
        None, description="A list: one event for each element, which bare paths then begin at (`$outer` is around it)."
    )
    type: EventType | Literal["ignore"] = Field(
        "track", description="The kind of event; `ignore` answers 200 and stores nothing."
    )
    event: Text | None = Field(None, description="The name of the event, or of the page or screen.")
    group_id: ExpressionText | None = Field(None, description="Of a group: its id.")
    previous_id: ExpressionText | None = Field(None, description="Of an alias: the id before.")


class Mapping(Fields):
    """Which payloads become which events."""

    topic: ExpressionText | None = Field(None, description="What a payload is about; names those that no rule fits.")
    each: ExpressionText | None = Field(
        None, description="A list in the payload, whose elements are matched one by one (`@[*]` where it is the body)."
    )
    events: list[Rule] = Field([], max_length=MOST_RULES, description="The rules; the first that fits counts.")
    unmatched: Unmatched | None = Field(
        None,
        description="What becomes of a payload that no rule fits. `store` (if absent): an event named after the topic, "
        "with all that is in the payload; it goes to quarantine where it does not say whose it is. `ignore`: nothing.",
    )

    def over(self, preset: Mapping) -> Mapping:
        """This on top of a preset's: own rules are tried first, own fields replace, own ids are added."""
        own = {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}
        own["events"] = [*self.events, *preset.events][:MOST_RULES]
        own["ids"] = {**(preset.ids or {}), **(self.ids or {})} or None
        return preset.model_copy(update=own)

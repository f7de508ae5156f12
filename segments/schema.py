"""The language of definitions for those who write them: a JSON Schema made from the tables, and examples."""

from __future__ import annotations

from typing import Any

from cdp.clock import DAY
from segments import check
from segments.operators import ROWS, Operator
from segments.parse import EVENT_TYPES

Json = dict[str, Any]

SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"

VIP: Json = {
    "name": "VIP",
    "description": "Spent 5,000,000 VND or more, or ordered at least five times.",
    "conditions": {
        "any": [
            {"event": "Order Completed", "sum": {"of": "total", "at_least": 5_000_000}},
            {"event": "Order Completed", "count": {"at_least": 5}},
        ]
    },
}
CART_ABANDONED: Json = {
    "name": "Cart abandoned in the last hour",
    "description": "Put something into the cart within the last hour, and ordered nothing since.",
    "conditions": {
        "all": [
            {"event": "Product Added", "within": "1h"},
            {"not": {"event": "Order Completed", "within": "1h"}},
        ]
    },
}
LAPSED: Json = {
    "name": "Lapsed for 30 days",
    "description": "Has ordered, but not within the last 30 days.",
    "conditions": {
        "all": [{"event": "Order Completed"}, {"not": {"event": "Order Completed", "within": "30d"}}],
    },
}
SAIGON: Json = {
    "name": "Big web orders from Saigon",
    "description": "Lives in Hồ Chí Minh City; three or more web orders above 500,000 VND within 30 days.",
    "conditions": {
        "all": [
            {"trait": "address.city", "is": "one_of", "value": ["TP. Hồ Chí Minh", "Hồ Chí Minh", "Sài Gòn"]},
            {
                "event": "Order Completed",
                "where": [
                    {"property": "channel", "is": "equals", "value": "web"},
                    {"property": "total", "is": "greater_than", "value": 500_000},
                ],
                "within": "30d",
                "count": {"at_least": 3},
            },
        ]
    },
}
EXAMPLES: dict[str, Json] = {
    "vip": VIP,
    "cart-abandoned": CART_ABANDONED,
    "lapsed": LAPSED,
    "big-web-orders-from-saigon": SAIGON,
}

PATH: Json = {
    "description": "A name; dots reach into objects, digits into lists (from 0): `address.city`, `products.0.sku`. "
    "Where a name itself has a dot, a list of names.",
    "anyOf": [
        {"type": "string", "pattern": r"^[^.]+(\.[^.]+)*$"},
        {
            "type": "array",
            "minItems": 1,
            "maxItems": check.LONGEST_PATH,
            "items": {"type": "string", "minLength": 1, "maxLength": check.LONGEST_TEXT},
        },
    ],
}

AMOUNT: Json = {"type": "number", "minimum": -check.LARGEST_SUM, "maximum": check.LARGEST_SUM}


def schema() -> Json:
    """The JSON Schema of `conditions`."""
    return {
        "$schema": SCHEMA_ID,
        "title": "Conditions of a segment",
        "description": "Who is in: a tree of `all`, `any` and `not` over traits and events. Something missing or null "
        "passes no test but `is_not_set`; `not` just turns an answer round; the count and the sum of no events are 0. "
        'Types count: the text "5" is not the number 5. Letters are compared exactly.',
        "$ref": "#/$defs/condition",
        "examples": [example["conditions"] for example in EXAMPLES.values()],
        "$defs": {
            "condition": {"oneOf": [{"$ref": f"#/$defs/{kind}"} for kind in ("all", "any", "not", "trait", "event")]},
            "all": _object({"all": _list({"$ref": "#/$defs/condition"})}, "Every part holds."),
            "any": _object({"any": _list({"$ref": "#/$defs/condition"})}, "At least one part holds."),
            "not": _object({"not": {"$ref": "#/$defs/condition"}}, "The part does not hold."),
            "trait": _tests("trait", "A trait of the profile: the value that its rule chooses (`GET /api/v1/traits`)."),
            "property": _tests("property", "A property of the event."),
            "event": _event(),
            "count": _bounds({"type": "integer", "minimum": 0, "maximum": check.LARGEST_COUNT}, {}),
            "sum": _bounds(AMOUNT, {"of": PATH | {"description": "The property that is summed up."}}),
            "path": PATH,
        },
    }


def _event() -> Json:
    properties: Json = {
        "event": {"type": "string", "minLength": 1, "maxLength": check.LONGEST_TEXT, "description": "Its name."},
        "type": {"enum": list(EVENT_TYPES), "default": "track"},
        "where": {
            "type": "array",
            "minItems": 1,
            "maxItems": check.MOST_FILTERS,
            "items": {"$ref": "#/$defs/property"},
            "description": "Only events that pass every test.",
        },
        "within": {
            "type": "string",
            "pattern": check.WINDOW,
            "description": f"Only events at most that old: a number and s, m, h, d or w; at most "
            f"{check.LONGEST_WINDOW // DAY}d. Without it, all events until now.",
        },
        "count": {"$ref": "#/$defs/count"},
        "sum": {"$ref": "#/$defs/sum"},
    }
    return {
        "type": "object",
        "description": "Events of the profile: how many (at least one, if not said), or the sum of one of their "
        "properties. Several are needed: join them with `all`.",
        "properties": properties,
        "additionalProperties": False,
        "anyOf": [{"required": ["event"]}, {"required": ["type"]}],
        "not": {"required": ["count", "sum"]},
    }


def _tests(subject: str, description: str) -> Json:
    return {"description": description, "oneOf": [_test(subject, operator) for operator in ROWS]}


def _test(subject: str, operator: Operator) -> Json:
    properties: Json = {subject: {"$ref": "#/$defs/path"}, "is": {"const": operator.name}}
    if operator.accepts.schema is not None:
        properties["value"] = operator.accepts.schema
    return _object(properties, operator.meaning)


def _bounds(bound: Json, more: Json) -> Json:
    pair = {"type": "array", "minItems": 2, "maxItems": 2, "items": bound, "description": "Both ends included."}
    bounds = {"at_least": bound, "at_most": bound, "exactly": bound, "between": pair}
    return {"oneOf": [_object(more | {name: one}, "") for name, one in bounds.items()]}


def _object(properties: Json, description: str) -> Json:
    made = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return made | {"description": description} if description else made


def _list(items: Json) -> Json:
    return {"type": "array", "minItems": 1, "maxItems": check.MOST_CONDITIONS, "items": items}

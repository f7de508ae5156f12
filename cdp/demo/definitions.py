"""What the demo defines: three segments that a shop owner asks for first, and a file that hears who comes and goes."""

from __future__ import annotations

from typing import Any

SEGMENTS: dict[str, dict[str, Any]] = {
    "vip": {
        "name": "VIP",
        "description": "Spent 5,000,000 VND or more, or ordered at least five times.",
        "conditions": {
            "any": [
                {"event": "Order Completed", "sum": {"of": "total", "at_least": 5_000_000}},
                {"event": "Order Completed", "count": {"at_least": 5}},
            ]
        },
    },
    "cart-abandoned": {
        "name": "Cart abandoned in the last hour",
        "description": "Put something into the cart within the last hour and has not ordered since.",
        "conditions": {
            "all": [
                {"event": "Product Added", "count": {"at_least": 1}, "within": "1h"},
                {"not": {"event": "Order Completed", "count": {"at_least": 1}, "within": "1h"}},
            ]
        },
    },
    "lapsed": {
        "name": "Lapsed for 30 days",
        "description": "Has ordered before, but not within the last 30 days.",
        "conditions": {
            "all": [
                {"event": "Order Completed", "count": {"at_least": 1}},
                {"not": {"event": "Order Completed", "count": {"at_least": 1}, "within": "30d"}},
            ]
        },
    },
}

DESTINATION_KEY = "demo-file"
DESTINATION: dict[str, Any] = {"name": "Demo file", "connector": "file", "settings": {"path": "demo-{segment}.jsonl"}}
SYNCS: dict[str, dict[str, Any]] = {
    f"{segment}-to-{DESTINATION_KEY}": {"segment": segment, "destination": DESTINATION_KEY} for segment in SEGMENTS
}

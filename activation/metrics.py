"""What activation tells Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from activation.pace import Position

OUTCOMES = Counter("cdp_deliveries", "Attempts by destination and what became of them.", ["destination", "outcome"])
PENDING = Gauge("cdp_destination_pending", "Members waiting to be delivered.", ["destination"])
BREAKER = Gauge(
    "cdp_destination_breaker", "Circuit breaker: 0 closed (works), 1 half-open (being tried), 2 open.", ["destination"]
)
SECONDS = Histogram(
    "cdp_delivery_seconds",
    "Time a request took, answered or not.",
    ["destination"],
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
POSITIONS: dict[Position, int] = {"closed": 0, "half-open": 1, "open": 2}


def retire(destination: str) -> None:
    """Show no more figures of a destination that this process sends to no longer."""
    PENDING.remove_by_labels({"destination": destination})
    BREAKER.remove_by_labels({"destination": destination})

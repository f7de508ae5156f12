"""Figures of the collector, for Prometheus."""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("cdp_collector_requests", "Requests answered by the collector.", ["route", "status"])
EVENTS = Counter("cdp_collector_events", "Events taken by the collector.", ["source", "outcome"])
REFUSED = Counter("cdp_collector_refused", "Requests refused whole, nothing of them stored.", ["code"])
APPEND = Histogram(
    "cdp_collector_append_seconds",
    "Time until the log had a request's events durably.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
IN_FLIGHT = Gauge("cdp_collector_in_flight", "Requests being worked on.")


# Finding a labelled child costs more than counting with it.
@cache
def requests(route: str, status: int) -> Counter:
    """The requests of a route that were answered so."""
    return REQUESTS.labels(route, str(status))


@cache
def events(source: str, outcome: str) -> Counter:
    """The events of a source that went this way: `accepted` or `quarantined`."""
    return EVENTS.labels(source, outcome)

"""Figures of the collector, for Prometheus.

Counted in plain dictionaries, since the collector runs in one thread: prometheus-client's own counters take a lock
each time, which for a single event costs more than judging it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import REGISTRY
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

# Upper bounds in seconds; the last bucket has none.
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Figures(Collector):
    """What was counted since the process began."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, int], int] = defaultdict(int)
        self.events: dict[tuple[str, str], int] = defaultdict(int)
        self.violations: dict[tuple[str, str], int] = defaultdict(int)
        self.refused: dict[str, int] = defaultdict(int)
        self.unrecorded: dict[str, int] = defaultdict(int)
        self.identities: dict[tuple[str, str], int] = defaultdict(int)
        self.limited: dict[str, int] = defaultdict(int)
        self.in_flight: Callable[[], int] = int
        self.alone: Callable[[], bool] = bool
        self._appends = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0

    def appended(self, seconds: float) -> None:
        """An append took so long."""
        self._appends[bisect_left(BOUNDS, seconds)] += 1
        self._seconds += seconds

    def collect(self) -> Iterator[Metric]:
        """Everything, as Prometheus takes it."""
        requests = CounterMetricFamily(
            "cdp_collector_requests", "Requests answered by the collector.", labels=["route", "status"]
        )
        for (route, status), count in self.requests.items():
            requests.add_metric([route, str(status)], count)
        events = CounterMetricFamily("cdp_collector_events", "Events taken.", labels=["source", "outcome"])
        for labels, count in self.events.items():
            events.add_metric(labels, count)
        violations = CounterMetricFamily(
            "cdp_plan_violations", "Ways in which events broke their source's plan.", labels=["source", "mode"]
        )
        for labels, count in self.violations.items():
            violations.add_metric(labels, count)
        refused = CounterMetricFamily("cdp_collector_refused", "Requests refused whole, by code.", labels=["code"])
        for code, count in self.refused.items():
            refused.add_metric([code], count)
        unrecorded = CounterMetricFamily(
            "cdp_collector_clicks_unrecorded", "Clicks led on whose event was lost, by reason.", labels=["reason"]
        )
        for reason, count in self.unrecorded.items():
            unrecorded.add_metric([reason], count)
        appends = HistogramMetricFamily("cdp_collector_append_seconds", "Time until the log had a request durably.")
        bounds = [*map(str, BOUNDS), "+Inf"]
        appends.add_metric([], list(zip(bounds, accumulate(self._appends), strict=True)), self._seconds)
        identities = CounterMetricFamily(
            "cdp_collector_identities",
            "Events of sources with signed identity: verified, anonymous, unsigned, unproven.",
            labels=["source", "outcome"],
        )
        for labels, count in self.identities.items():
            identities.add_metric(labels, count)
        limited = CounterMetricFamily(
            "cdp_collector_limited_events", "Events sent away by the limit of a write key.", labels=["source"]
        )
        for source, count in self.limited.items():
            limited.add_metric([source], count)
        alone = GaugeMetricFamily(
            "cdp_collector_limits_alone",
            "Whether limits are counted by this process alone: Valkey is away, or there is none.",
            value=float(self.alone()),
        )
        in_flight = GaugeMetricFamily("cdp_collector_in_flight", "Requests being worked on.", value=self.in_flight())
        yield from (requests, events, violations, refused, unrecorded, appends, identities, limited, alone, in_flight)


FIGURES = Figures()
REGISTRY.register(FIGURES)

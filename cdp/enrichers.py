"""What wings add to events on their way into the warehouse, one after the other; none of them can harm an event."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from prometheus_client import Counter

from cdp.service import Enricher

log = structlog.get_logger(__name__)

FAILED = Counter("cdp_enricher_failures", "Events that an enricher failed at; they went on without.", ["enricher"])


class Enrichers:
    """All enrichers of an installation. With none, every event stays as it is."""

    def __init__(self, enrichers: Sequence[Enricher] = ()) -> None:
        self._enrichers = tuple(enrichers)
        self._told: set[tuple[str, type[Exception]]] = set()

    def enrich(self, source: str, kind: str, context: bytes, properties: bytes) -> tuple[bytes, bytes]:
        """An event's context and properties → both, enriched. Never raises: where one fails, what was there stays."""
        for enricher in self._enrichers:
            try:
                context, properties = enricher.enrich(source, kind, context, properties)
            except Exception as error:
                self._failed(enricher, source, error)
        return context, properties

    def _failed(self, enricher: Enricher, source: str, error: Exception) -> None:
        """Count it; say it once for each kind of failure, and without the event, which holds what a person did."""
        FAILED.labels(enricher.name).inc()
        known = (enricher.name, type(error))
        if known not in self._told:
            self._told.add(known)
            log.error("enricher.failed", enricher=enricher.name, source=source, error=type(error).__name__)

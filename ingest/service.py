"""The door of this wing: the collector, and the routes of sources and quarantine."""

from __future__ import annotations

from fastapi import APIRouter

from cdp.service import Offer, Wing
from ingest.collector import Collector
from ingest.enrichment.enricher import SourceEnricher
from ingest.imports.importer import Importer
from ingest.routes import catalogue, imports, plans, quarantine, sources, tracking, webhooks

router = APIRouter()
# Imports before tracking: both know /v1/import.
for part in (sources, plans, catalogue, quarantine, imports, tracking, webhooks):
    router.include_router(part.router)

WING = Wing(
    "ingest",
    roles={
        "collector": Offer(Collector, borrows=frozenset({"state"})),
        "importer": Offer(Importer, frozenset({"warehouse"}), beside="api"),
    },
    router=router,
    enricher=SourceEnricher,
)

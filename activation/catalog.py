"""Every connector by name: ours, and those that installed packages offer through the entry points `cdp.connectors`."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import Any

import structlog

from activation.connector import Connector
from activation.connectors.file import File
from activation.connectors.kafka import Kafka
from activation.connectors.webhook import Webhook
from cdp.errors import InvalidError

log = structlog.get_logger(__name__)

OURS: tuple[Connector[Any], ...] = (Webhook(), File(), Kafka())


@cache
def connectors() -> dict[str, Connector[Any]]:
    """Name → connector. One that cannot be loaded is left out and logged; ours are never replaced."""
    found: dict[str, Connector[Any]] = {}
    for point in entry_points(group="cdp.connectors"):
        try:
            connector = point.load()()
            found[connector.name] = connector
        except Exception as error:
            log.error("connector.unusable", entry_point=point.value, reason=f"{type(error).__name__}: {error}")
    return found | {connector.name: connector for connector in OURS}


def connector_named(name: str) -> Connector[Any]:
    """The connector. Raises `InvalidError` that lists what there is."""
    try:
        return connectors()[name]
    except KeyError:
        known = ", ".join(sorted(connectors()))
        raise InvalidError(f"There is no connector {name!r}; there are {known}.", path="connector") from None

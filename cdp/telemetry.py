"""What the product tells about itself: log lines on stderr and figures for Prometheus.

Lines are for people on a terminal and JSON elsewhere; those of the libraries (uvicorn, aiokafka …) come out alike.
No secret is printed: values under a key that sounds like one are masked, and so are passwords inside addresses.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Any

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, disable_created_metrics, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from structlog.typing import Processor

from cdp.settings import TelemetrySettings

MASK = "***"
SECRET_KEY = re.compile(
    r"token|secret|passw|authorization|credential|cookie|(?:^|_)(?:write|api|private|access)_?key", re.I
)
ADDRESS_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):[^@/\s]+@")
# Libraries that tell at `info` what only their authors want to know.
CHATTY = ("uvicorn", "uvicorn.error", "aiokafka", "httpx", "httpcore", "clickhouse_connect", "asyncio")


def configure(settings: TelemetrySettings) -> None:
    """Send every log line, ours and the libraries', to stderr, in the format and from the level that are set."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_ending(console=console))
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in CHATTY:
        logging.getLogger(name).setLevel(level if level == logging.DEBUG else max(level, logging.WARNING))


def _ending(*, console: bool) -> list[Processor]:
    drop = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if console:
        return [drop, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=24)]
    return [drop, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]


def redact(logger: Any, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """A structlog processor: masks values whose key sounds like a secret, and passwords inside addresses."""
    for key, value in event.items():
        if SECRET_KEY.search(key):
            event[key] = MASK
        elif isinstance(value, str):
            event[key] = without_password(value)
    return event


def without_password(text: str) -> str:
    """The text, with the password of each `scheme://user:password@host` in it masked."""
    return ADDRESS_PASSWORD.sub(rf"\1:{MASK}@", text)


def gauge(name: str, sentence: str, labels: Sequence[str], samples: Iterable[tuple[Sequence[str], float]]) -> Metric:
    """A family of figures: `samples` are (values of the labels, figure)."""
    family = GaugeMetricFamily(name, sentence, labels=labels)
    for values, figure in samples:
        family.add_metric(values, figure)
    return family


# When a counter began is no figure that anybody charts; Prometheus sees a restart by itself.
disable_created_metrics()  # type: ignore[no-untyped-call]


class _Given:
    """Hands families to prometheus-client that were made before, because it cannot await."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def exposition(families: Iterable[Metric]) -> bytes:
    """The figures in Prometheus' text format, after those that are kept anyway (memory, CPU, open files)."""
    registry = CollectorRegistry()
    registry.register(_Given(families))
    return generate_latest(REGISTRY) + generate_latest(registry)

"""What each stage of the door costs an event of a batch of 100: CPU µs, beside `orjson.loads` of the same body."""

from __future__ import annotations

import time
from collections.abc import Callable

import orjson

from cdp.records import encode
from ingest.envelopes import Receipt, raw_batches
from ingest.sources.segment import Opened, SegmentReader
from tests.load import payload
from tests.load.instructions import EVENTS, LIMITS

ROUNDS, TIMES = 15, 40
PARTITIONS = 4


def costs() -> dict[str, float]:
    """By stage, in the order in which an event meets them."""
    body = payload.batch(1, size=EVENTS)
    reader = SegmentReader(LIMITS)
    opened = reader.open_batch(body)
    assert isinstance(opened, Opened)
    reading = reader.read(opened)
    receipt = Receipt("shop", "0" * 32, 1, "203.0.113.0")
    batches = raw_batches(reading.accepted, opened, receipt, PARTITIONS)
    stages: dict[str, Callable[[], object]] = {
        "orjson.loads": lambda: orjson.loads(body),
        "decode": lambda: reader.open_batch(body),
        "judge": lambda: reader.read(opened),
        "split by partition": lambda: raw_batches(reading.accepted, opened, receipt, PARTITIONS),
        "encode": lambda: [encode(batch) for _, batch in batches],
    }
    found = dict.fromkeys(stages, float("inf"))
    for _ in range(ROUNDS):  # in turn, so that noise meets all of them
        for name, stage in stages.items():
            found[name] = min(found[name], _seconds(stage))
    return {name: seconds / (TIMES * EVENTS) * 1e6 for name, seconds in found.items()}


def _seconds(stage: Callable[[], object]) -> float:
    begun = time.process_time()
    for _ in range(TIMES):
        stage()
    return time.process_time() - begun

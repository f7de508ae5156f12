"""Sends a stream of events through the collector, as a server's SDK would: batches of 100, retried until accepted."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import httpx
import orjson

from cdp.demo.shop import Event
from cdp.errors import InvalidError, TransientError

BATCH = 100
PATIENCE_SECONDS = 60.0


def replay(url: str, write_key: str, events: Sequence[Event], *, sent: Callable[[int], None]) -> int:
    """Send all events in order; `sent` is called with the size of each batch. Returns how many went to quarantine.

    Raises `TransientError` when the collector cannot be reached for a minute, `InvalidError` when it refuses.
    """
    quarantined = 0
    with httpx.Client(base_url=url, auth=(write_key, ""), timeout=30) as client:
        for start in range(0, len(events), BATCH):
            batch = events[start : start + BATCH]
            answer = _post(client, orjson.dumps({"batch": batch}))
            quarantined += len(answer.json().get("results", ()))
            sent(len(batch))
    return quarantined


def _post(client: httpx.Client, body: bytes) -> httpx.Response:
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        wait = 1.0
        try:
            answer = client.post("/v1/batch", content=body)
            if answer.is_success:
                return answer
            reason = f"{answer.status_code} {answer.text}"
            wait = float(answer.headers.get("retry-after", wait))
            if answer.status_code not in (429, 503):
                raise InvalidError(f"The collector refused the demo's events: {reason}")
        except httpx.TransportError as error:
            reason = str(error)
        if time.monotonic() > end:
            raise TransientError(f"The collector at {client.base_url} does not take events: {reason}")
        time.sleep(wait)

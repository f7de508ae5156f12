"""Follows /api/v1/tail in a thread, as `cdp tail --json` does."""

from __future__ import annotations

import json
import threading
from typing import Any

import httpx

from tests.processes import ADMIN_TOKEN, Installation


class Tail:
    """Everything the tail has shown since it was opened."""

    def __init__(self, installation: Installation) -> None:
        self.records: list[dict[str, Any]] = []
        self._opened = threading.Event()
        self._client = httpx.Client(headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}, timeout=None)
        self._url = f"{installation.api_url}/api/v1/tail"
        threading.Thread(target=self._follow, daemon=True).start()
        assert self._opened.wait(15), "the tail did not open"

    def stages(self, trace_id: str) -> set[str]:
        """The stages that a trace has been seen in."""
        return {record["stage"] for record in self.records if record.get("trace_id") == trace_id}

    def close(self) -> None:
        """Stop following."""
        self._client.close()

    def _follow(self) -> None:
        try:
            with self._client.stream("GET", self._url) as response:
                response.raise_for_status()
                self._opened.set()
                for line in response.iter_lines():
                    if line.startswith("data:"):
                        self.records.append(json.loads(line[5:]))
        except (httpx.HTTPError, httpx.StreamError, OSError):
            return

"""Asks Meta's Graph API for what a webhook only announced. Its address is a setting: nothing in a request moves it."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from functools import cache
from typing import Any

import httpx
import msgspec
import structlog

from cdp import __version__
from cdp.errors import TransientError
from cdp.settings import WebhookSettings

log = structlog.get_logger(__name__)

LARGEST = 1_000_000
RETRY_AFTER = 60.0
LONGEST_ID = 40


class NotFetchedError(TransientError):
    """The platform does not give what it announced: it must announce it again."""

    code = "not_fetched"


class Graph:
    """Reads nodes of the graph."""

    def __init__(self, settings: WebhookSettings) -> None:
        self._settings = settings

    async def node(self, node_id: str, fields: Sequence[str], token: str) -> dict[str, Any]:
        """One node. Raises `NotFetchedError` for whatever goes wrong: what is announced may be readable later."""
        if not (node_id.isascii() and node_id.isdigit() and len(node_id) <= LONGEST_ID):
            raise NotFetchedError("What was announced has no id of digits.", retry_after=RETRY_AFTER)
        url = f"{self._settings.graph_url.rstrip('/')}/{node_id}"
        headers = {"authorization": f"Bearer {token}", "user-agent": f"streamcdp/{__version__}"}
        try:
            async with (
                httpx.AsyncClient(verify=_trust(), trust_env=False, timeout=self._settings.timeout_seconds) as client,
                client.stream("GET", url, params={"fields": ",".join(fields)}, headers=headers) as answer,
            ):
                return _node(answer.status_code, await _body(answer))
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            log.warning("graph.unreachable", reason=type(error).__name__)
            raise NotFetchedError("The platform cannot be reached.", retry_after=RETRY_AFTER) from None


@cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()


async def _body(answer: httpx.Response) -> bytes:
    body = b""
    async for part in answer.aiter_bytes():
        body += part
        if len(body) > LARGEST:
            raise NotFetchedError("The platform's answer is too long.", retry_after=RETRY_AFTER)
    return body


def _node(status: int, body: bytes) -> dict[str, Any]:
    try:
        node = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        node = None
    if status == 200 and isinstance(node, dict):
        return node
    error = node.get("error") if isinstance(node, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    log.warning("graph.refused", status=status, code=code if isinstance(code, int) else None)
    raise NotFetchedError(
        f"The platform did not give what it announced (status {status}, its code {code}): check the access token.",
        retry_after=RETRY_AFTER,
    )

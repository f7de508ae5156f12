"""Requests the way people are shown them: readable, and without the destination's secrets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from activation.requests import FileRequest, HttpRequest, KafkaRequest, Request
from cdp.vault import MASK


def shown(request: Request, secrets: Sequence[str] = ()) -> dict[str, Any]:
    """The request as JSON. A secret is masked wherever it stands, in headers, addresses and bodies alike."""
    return dict(_masked(_plain(request), sorted(secrets, key=len, reverse=True)))


def readable(content: bytes) -> Any:
    """JSON as it is, anything else as text."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError):
        return content.decode(errors="replace")


def _plain(request: Request) -> dict[str, Any]:
    if isinstance(request, HttpRequest):
        return {
            "method": request.method,
            "url": str(request.url),
            "headers": {name: str(value) for name, value in request.headers.items()},
            "body": readable(request.body),
        }
    if isinstance(request, FileRequest):
        lines = [line.text.decode() for line in request.lines]
        return {"path": request.path, "lines": [request.heading.decode(), *lines] if request.heading else lines}
    assert isinstance(request, KafkaRequest)
    return {
        "servers": request.cluster.servers,
        "topic": request.topic,
        "messages": [
            {
                "key": message.key.decode(),
                "headers": {name: value.decode() for name, value in message.headers},
                "value": readable(message.value),
            }
            for message in request.messages
        ],
    }


def _masked(value: Any, secrets: Sequence[str]) -> Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, MASK)
        return value
    if isinstance(value, Mapping):
        return {_masked(name, secrets): _masked(part, secrets) for name, part in value.items()}
    return [_masked(part, secrets) for part in value] if isinstance(value, list) else value

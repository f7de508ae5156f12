"""Transports: how requests leave the house. One file a kind, each with the same plan: `send` one request, `close`."""

from __future__ import annotations

from typing import Any, Literal

from activation.transports.base import Transport
from activation.transports.file import FileTransport
from activation.transports.http import HttpTransport
from activation.transports.kafka import KafkaTransport
from cdp.clock import Clock
from cdp.settings import Settings


def open_transport(kind: Literal["http", "file", "kafka"], settings: Settings, clock: Clock) -> Transport[Any]:
    """A fresh transport of that kind, for one destination."""
    if kind == "file":
        return FileTransport(settings, clock)
    return (HttpTransport if kind == "http" else KafkaTransport)(settings.activation, clock)

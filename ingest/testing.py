"""What tests of the collector need: a source, a client without a socket, and a look at the log."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from cdp.clock import Clock
from cdp.records import QuarantinedEvent, RawBatch, RawEvent, decode_quarantined, decode_raw
from cdp.registry import Entry, Registry
from cdp.service import Receive, Scope, Send
from cdp.streams.base import Log, Message
from cdp.topics import EVENTS_QUARANTINED, EVENTS_RAW, Topic
from ingest.source import KIND


async def ensure_source(registry: Registry, write_key: str, by: str, *, clock: Clock, key: str = "default") -> Entry:
    """Make sure that the source `key` exists and has the write key; what it has already stays."""
    entry = registry.find(KIND, key)
    body: dict[str, Any] = dict(entry.body) if entry else {"name": key.capitalize(), "write_keys": [], "enabled": True}
    if entry and any(one["key"] == write_key for one in body["write_keys"]):
        return entry
    body["write_keys"] = [*body["write_keys"], {"key": write_key, "created_at": clock.now()}]
    return await registry.put(KIND, key, body, by=by)


class Reply(NamedTuple):
    """An answer. Header names are in lower case; of repeated ones the values are joined."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)


class Stored(NamedTuple):
    """An accepted event as it lies on the log."""

    partition: int
    batch: RawBatch
    event: RawEvent

    @property
    def body(self) -> dict[str, Any]:
        """The event, decoded."""
        decoded: dict[str, Any] = msgspec.json.decode(self.event.body)
        return decoded


class Client:
    """Calls an ASGI app in this process."""

    def __init__(self, app: Any, write_key: str = "", *, address: str = "203.0.113.7") -> None:
        self._app = app
        self._write_key = write_key
        self._address = address

    async def post(self, path: str, body: Any = b"", headers: Mapping[str, str] | None = None) -> Reply:
        """POST, with the write key as Basic authorization if there is one. What is not bytes is sent as JSON."""
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return await self.ask("POST", path, {**authorization(self._write_key), **(headers or {})}, [content])

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, parts: Sequence[bytes | None] = (b"",)
    ) -> Reply:
        """Any request. The body comes in `parts`; None in them is a client that hangs up."""
        path, _, query = path.partition("?")
        scope: Scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), _bytes(value)) for name, value in (headers or {}).items()],
            "client": (self._address, 50_000),
            "server": ("cdp.test", 80),
            "scheme": "http",
        }
        sent: list[Any] = []
        await self._app(scope, _receiver(parts), _sender(sent))
        return _reply(sent)


def _bytes(text: str) -> bytes:
    """UTF-8; `\\udcff` stands for the byte ff, which is none."""
    return text.encode(errors="surrogateescape")


def authorization(write_key: str, *, colon: str = ":") -> dict[str, str]:
    """The header that carries a write key; none for an empty one."""
    coded = base64.b64encode(f"{write_key}{colon}".encode()).decode()
    return {"Authorization": f"Basic {coded}"} if write_key else {}


def zipped(body: bytes) -> bytes:
    """The body, gzipped."""
    return gzip.compress(body, mtime=0)


async def stored(log: Log) -> list[Stored]:
    """All accepted events on the log, in order within each partition."""
    return [
        Stored(message.partition, batch, event)
        for message in await messages(log, EVENTS_RAW)
        for batch in decode_raw(message.value)
        for event in batch.events
    ]


async def set_aside(log: Log) -> list[QuarantinedEvent]:
    """All records of quarantined events on the log."""
    found = await messages(log, EVENTS_QUARANTINED)
    return [event for message in found for event in decode_quarantined(message.value).events]


async def messages(log: Log, topic: Topic) -> list[Message]:
    """Everything on a topic."""
    wanted = sum((await log.end_offsets(topic)).values())
    reader = await log.reader([topic], start="earliest")
    found: list[Message] = []
    while len(found) < wanted:
        found += await reader.read(limit=10_000, timeout=5)
    await reader.close()
    return found


def _receiver(parts: Sequence[bytes | None]) -> Receive:
    waiting = list(parts)

    async def receive() -> dict[str, Any]:
        part = waiting.pop(0) if waiting else None
        if part is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part, "more_body": bool(waiting)}

    return receive


def _sender(sent: list[Any]) -> Send:
    async def send(message: Any) -> None:
        sent.append(message)

    return send


def _reply(sent: Sequence[Any]) -> Reply:
    if not sent:
        return Reply(0, {}, b"")
    headers: dict[str, str] = {}
    for name, value in sent[0]["headers"]:
        known = headers.get(name.decode())
        headers[name.decode()] = f"{known}, {value.decode('latin-1')}" if known else value.decode("latin-1")
    return Reply(sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:]))

"""What browser and mobile SDKs fetch before they send: where to send to. The least that makes each of them work.

Segment's SDKs ignore the host given in code unless `Segment.io` is there, and take the write key from here.
RudderStack's sends nothing without `source.config`. A fork looks under its own name. Neither entry says more than where
to send: each of the two would take `versionSettings` in the other's for a script to load, and wait for it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from cdp import clock
from cdp.records import encode
from ingest.answers import JSON, Answer, refused
from ingest.doors.door import Hall, Request
from ingest.keys import WriteKeyError
from ingest.source import Source

ALL_ALLOWED: dict[str, Any] = {"__default": {"enabled": True, "integrations": {}}}
FORK = "Customer.io Data Pipelines"
BRIEFLY = (b"cache-control", b"public, max-age=60")


class SettingsDoor:
    """`GET /v1/projects/{write key}/settings`."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall

    async def answer(self, request: Request) -> Answer:
        """The settings; 404 for an unknown write key, as Segment's SDKs expect."""
        write_key = unquote(request.route.argument)
        try:
            self._hall.sources.of(write_key)
        except WriteKeyError as error:
            return refused(404, error.code, error.message)
        address = self._hall.platform.settings.http.public_url or request.url
        return Answer(200, encode(settings(write_key, address)), [JSON, BRIEFLY])


class SourceConfigDoor:
    """`GET /sourceConfig`."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall

    async def answer(self, request: Request) -> Answer:
        """The configuration. Raises `WriteKeyError`."""
        sources = self._hall.sources
        write_key = sources.basic(request.headers.get(b"authorization", b"")) or request.parameter("writeKey")
        now = self._hall.platform.clock.now()
        return Answer(200, encode(source_config(sources.of(write_key), write_key, now)), [JSON, BRIEFLY])


class SeriesDoor:
    """`POST /v1/m`: counts of Segment's SDK about itself, taken so that it is content, kept nowhere."""

    def __init__(self, hall: Hall) -> None:
        pass

    async def answer(self, request: Request) -> Answer:
        """Thank you."""
        return Answer(200, b'{"success":true}')


def settings(write_key: str, address: str) -> dict[str, Any]:
    """For Segment's SDKs. `address` is this service's URL as the SDK reaches it."""
    parts = urlsplit(address)
    where = {
        "apiKey": write_key,
        "apiHost": f"{parts.netloc}{parts.path.rstrip('/')}/v1",
        "protocol": parts.scheme,
    }
    return {
        "integrations": {"Segment.io": where, FORK: where},
        "plan": dict.fromkeys(("track", "identify", "group"), ALL_ALLOWED),
        "analyticsNextEnabled": True,
        "metrics": {"sampleRate": 0},
    }


def source_config(source: Source, write_key: str, now: int) -> dict[str, Any]:
    """For RudderStack's browser SDK."""
    moment = clock.to_text(now)
    return {
        "source": {
            "id": source.key,
            "name": source.name,
            "writeKey": write_key,
            "workspaceId": "streamcdp",
            "enabled": True,
            "config": {},
            "connections": [],
            "destinations": [],
            "updatedAt": moment,
        },
        "updatedAt": moment,
    }

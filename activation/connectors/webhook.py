"""Signed webhooks, as https://www.standardwebhooks.com has them: any of its libraries verifies them.

`webhook-id` is the same on each attempt, so receivers dedupe on it; `webhook-timestamp` is the moment of the attempt;
the signature is an HMAC-SHA256 over id, timestamp and the very bytes of the body.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from pydantic import Field, SecretStr, field_validator

from activation.connector import Batch, Capabilities, Change, Connector, ConnectorSettings
from activation.payload import payload
from activation.requests import HttpRequest
from activation.transports.http import checked
from cdp.clock import to_text
from cdp.errors import MisconfiguredError

PREFIX = "whsec_"
LARGEST_BATCH = 500
OWN_HEADERS = {"webhook-id", "webhook-timestamp", "webhook-signature", "content-type", "content-length", "host"}


def new_secret() -> SecretStr:
    """A fresh signing secret: 256 random bits."""
    return SecretStr(PREFIX + base64.b64encode(secrets.token_bytes(32)).decode())


class WebhookSettings(ConnectorSettings):
    """Where to post, and what to sign with."""

    addresses = ("url",)

    url: str = Field(description="Address that takes the POST.", examples=["https://shop.example/hooks/cdp"])
    secret: SecretStr = Field(
        default_factory=new_secret,
        description="Signing secret: `whsec_` and 24 to 64 bytes in base64. Made, and shown once, when not given.",
    )
    headers: dict[str, SecretStr] = Field({}, description="More headers, for example `authorization`. Kept secret.")
    batch: int = Field(
        1,
        ge=1,
        le=LARGEST_BATCH,
        description="Changes in one request. With 1 the body is the change; above, it is "
        '`{"type": "segment.changes", "data": {"changes": […]}}` and each change carries its own `id`.',
    )

    @field_validator("url")
    @classmethod
    def usable_url(cls, url: str) -> str:
        """http(s), with a host and without a user in it."""
        try:
            checked(url)
        except MisconfiguredError as error:
            raise ValueError(error.message) from None
        return url

    @field_validator("secret")
    @classmethod
    def usable_secret(cls, secret: SecretStr) -> SecretStr:
        """`whsec_` and 24 to 64 bytes in base64."""
        key_of(secret)
        return secret

    @field_validator("headers")
    @classmethod
    def usable_headers(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        """Names and values that HTTP allows, and none that we set ourselves."""
        for name, value in headers.items():
            if (
                name.lower() in OWN_HEADERS
                or not name.replace("-", "").replace("_", "").isalnum()
                or not name.isascii()
            ):
                raise ValueError("a header has a name that is reserved or not allowed")
            if not value.get_secret_value().isprintable() or not value.get_secret_value().isascii():
                raise ValueError("a header has a value that is not printable ASCII")
        return headers


class Webhook(Connector[WebhookSettings]):
    """Posts a signed JSON message for each change."""

    name = "webhook"
    title = "Webhook (signed, Standard Webhooks)"
    transport = "http"
    Settings = WebhookSettings
    capabilities = Capabilities(batch=LARGEST_BATCH, concurrency=8)

    def batch_size(self, settings: WebhookSettings) -> int:
        """As many as the receiver wants."""
        return settings.batch

    def build(self, settings: WebhookSettings, batch: Batch) -> Sequence[HttpRequest]:
        """A request for each change, or for each `settings.batch` of them."""
        size = settings.batch
        return [
            _request(settings, tuple(range(len(batch.changes)))[start : start + size], batch)
            for start in range(0, len(batch.changes), size)
        ]


def _request(settings: WebhookSettings, members: tuple[int, ...], batch: Batch) -> HttpRequest:
    changes = [batch.changes[member] for member in members]
    id_ = changes[0].id if settings.batch == 1 else joint_id(changes)
    body = msgspec.json.encode(payload(changes[0]) if settings.batch == 1 else _joint(changes))
    timestamp = batch.at // 1000
    headers: Mapping[str, str | SecretStr] = {
        **settings.headers,
        "content-type": "application/json",
        "webhook-id": id_,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(settings.secret, id_, timestamp, body),
    }
    return HttpRequest(members, "POST", settings.url, headers, body)


def _joint(changes: Sequence[Change]) -> dict[str, Any]:
    listed = [{"id": change.id, **payload(change)} for change in changes]
    return {
        "type": "segment.changes",
        "timestamp": to_text(max(change.at for change in changes)),
        "data": {"changes": listed},
    }


def joint_id(changes: Sequence[Change]) -> str:
    """The id of a request with several changes: the same as long as it holds the same changes."""
    return hashlib.sha256(" ".join(change.id for change in changes).encode()).hexdigest()[:32]


def signature(secret: SecretStr, id_: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`. `timestamp` is in seconds."""
    digest = hmac.digest(key_of(secret), f"{id_}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def key_of(secret: SecretStr) -> bytes:
    """The bytes to sign with. Raises `ValueError` for a secret that is not `whsec_` and 24 to 64 bytes in base64."""
    text = secret.get_secret_value()
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not text.startswith(PREFIX) or not 24 <= len(key) <= 64:
        raise ValueError("a signing secret is whsec_ and 24 to 64 bytes in base64")
    return key

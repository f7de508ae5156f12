"""What a source says of its webhook: a preset, its own secrets, and what differs from the preset.

{"preset": "shopify", "signature": {"secrets": ["…"]}}
{"signature": {"scheme": "bearer", "secrets": ["…"]}, "mapping": {"events": [{"event": "Order Completed", …}]}}
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ingest.webhooks.events import Maker
from ingest.webhooks.mapping import Mapping
from ingest.webhooks.payloads import BodyKind
from ingest.webhooks.presets import Fetch, Handshake, Preset, presets
from ingest.webhooks.signatures import Secret, Signature

EXAMPLE: dict[str, Any] = {"preset": "shopify", "signature": {"secrets": ["the secret that Shopify shows"]}}


class Webhook(BaseModel):
    """How another platform sends its events here, to `POST /v1/webhooks/{source}`."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    preset: str | None = Field(
        None,
        max_length=64,
        description="A ready-made platform, see `GET /api/v1/webhooks/presets`; null for one of your own.",
    )
    signature: Signature = Field(Signature(), description="How the platform proves itself; a preset knows most of it.")
    verify_token: Secret | None = Field(
        None, description="A word of your choice that the platform repeats when it tries the address (Meta)."
    )
    access_token: Secret | None = Field(
        None, description="A token that lets this service read what the platform only announces (Meta's leads)."
    )
    body: BodyKind | None = Field(None, description="`json` or `form`; as the preset or Content-Type says if null.")
    mapping: Mapping = Field(Mapping(), description="Which payloads become which events, on top of the preset's.")

    @model_validator(mode="after")
    def _whole(self) -> Webhook:
        if self.preset is not None and self.preset not in presets():
            raise ValueError(f"There is no preset {self.preset!r}; there are {', '.join(presets())}.")
        if lack := self.scheme.lack():
            raise ValueError(lack)
        if any(shake.proof == "verify_token" for shake in self.handshakes) and self.verify_token is None:
            raise ValueError(
                "`verify_token` is the word that the platform repeats when it tries the address: choose one."
            )
        if self.fetch is not None and self.access_token is None:
            raise ValueError("`access_token` lets this service read what the platform only announces: it is needed.")
        return self

    @property
    def known(self) -> Preset | None:
        """The preset, if it has one."""
        return presets().get(self.preset) if self.preset else None

    @cached_property
    def scheme(self) -> Signature:
        """How the platform proves itself, with what the preset knows."""
        return self.signature.over(self.known.signature) if self.known else self.signature

    @cached_property
    def maker(self) -> Maker:
        """What makes events of its payloads."""
        return Maker(self.mapping.over(self.known.mapping) if self.known else self.mapping, self.preset or "")

    @property
    def handshakes(self) -> list[Handshake]:
        """How the platform tries the address."""
        return self.known.handshakes if self.known else []

    @property
    def fetch(self) -> Fetch | None:
        """What must be asked of the platform."""
        return self.known.fetch if self.known else None

    @property
    def body_kind(self) -> BodyKind | None:
        """How bodies are written, if that is known."""
        return self.body or (self.known.body if self.known else None)

"""Ready-made webhooks of platforms: how each signs, and which of its payloads become which events.

One file a platform, `presets/<name>.toml`. To add one, write it, and its cases in the tests.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ingest.webhooks.mapping import Mapping, Test, Text
from ingest.webhooks.payloads import BodyKind
from ingest.webhooks.signatures import ExpressionText, Signature

Method = Literal["GET", "POST"]
FOLDER = "presets"


class Handshake(BaseModel):
    """A request by which a platform tries an address. It is answered, and nothing is stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method = Field(description="Its method; GET stands for HEAD too.")
    when: dict[ExpressionText, Test] = Field({}, description="By what it is known, as in rules.")
    proof: Literal["verify_token", "secret", "none"] = Field(
        "none",
        description="What it must show: the source's `verify_token`, its signature or secret, or nothing.",
    )
    token: ExpressionText | None = Field(None, description="Where it shows the verify token.")
    answer: Text | None = Field(None, description="What is answered, as plain text; `OK` if absent.")


class Fetch(BaseModel):
    """What must be asked of the platform, because its webhook only says that there is something."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    when: dict[ExpressionText, Test] = Field(description="For which parts of a payload, as in rules.")
    id: ExpressionText = Field(description="Its id: digits only.")
    fields: list[str] = Field(description="The fields to ask for.")


class Preset(BaseModel):
    """What is known of a platform's webhooks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Its name in a source's `webhook.preset`.")
    title: str = Field(description="The platform.")
    follows: str = Field(description="Which description of the platform's it follows, and of when.")
    unverified: str = Field("", description="What of it could not be checked against the platform's own words.")
    body: BodyKind | None = Field(None, description="How bodies are written; by Content-Type if null.")
    signature: Signature = Field(description="How the platform proves itself.")
    handshakes: list[Handshake] = Field([], description="How it tries an address.")
    fetch: Fetch | None = Field(None, description="What is asked of the platform for each part of a payload.")
    mapping: Mapping = Field(description="Which payloads become which events.")


@cache
def presets() -> dict[str, Preset]:
    """Every preset by its name."""
    found = [
        Preset.model_validate({"name": file.name.removesuffix(".toml"), **tomllib.loads(file.read_text("utf-8"))})
        for file in files("ingest.webhooks").joinpath(FOLDER).iterdir()
        if file.name.endswith(".toml")
    ]
    return {preset.name: preset for preset in sorted(found, key=lambda preset: preset.name)}

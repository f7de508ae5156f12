"""What a source wants added to its events: the field `enrichment` of a source."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool

from ingest.enrichment.currencies import CODES

IpPolicy = Literal["keep", "truncate", "drop"]


def _known(code: str) -> str:
    if code not in CODES:
        raise ValueError(f"{code!r} is no currency of ISO 4217, such as VND")
    return code


class Enrichment(BaseModel):
    """What is added to a source's events, and what is kept of addresses. What an event says itself always stays."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agent: StrictBool = Field(True, description="Read `context.browser`, `os` and `device` from `context.userAgent`.")
    bots: StrictBool = Field(True, description="Name crawlers and other machines in `context.bot`.")
    ip: IpPolicy = Field(
        "truncate",
        description="What is kept of senders' addresses: `keep` all, `truncate` to a network (IPv4 /24, IPv6 /48), "
        "or `drop`.",
    )
    geo: StrictBool = Field(
        True, description="Look up `context.location` by the address, where `CDP_ENRICHMENT__GEO_FILE` names a file."
    )
    campaign: StrictBool = Field(
        True, description="Read `context.campaign` (utm_…) and `context.click_ids` from `context.page.url`."
    )
    canonical_url: StrictBool = Field(
        True, description="Add `context.page.canonical`: the page's URL without tracking parameters."
    )
    currency: StrictBool = Field(
        True, description="Write `properties.currency` as ISO 4217 has it: `đ`, `vnđ` and `vnd` become `VND`."
    )
    default_currency: Annotated[str, AfterValidator(_known)] | None = Field(
        None, description="Currency (ISO 4217) of track events that have an amount without one.", examples=["VND"]
    )

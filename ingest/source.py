"""What a source is: a definition of kind `source`, `SourceBody` and its write keys. Each feature adds one field here.

    {"name", "enabled", …, "write_keys": [{"key", "created_at", "expires_at"?}]}        (moments in milliseconds)

Secrets in it are sealed on the log (`cdp.vault`); the API shows a mask, and takes the mask for "as it was".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StrictBool
from pydantic_core import to_jsonable_python

from cdp.errors import InvalidError, MisconfiguredError
from cdp.registry import Entry
from cdp.vault import MASK, SEALED, Vault, is_sealed, masked, opened, sealed, secrets_in
from ingest.browser.id_cookie import OfferedCookie
from ingest.enrichment.switches import Enrichment
from ingest.limits import Limit
from ingest.origins import Origins, canonical
from ingest.signatures import SignedIdentity
from ingest.targets import RedirectHost
from ingest.webhooks.webhook import Webhook

log = structlog.get_logger(__name__)

KIND = "source"

Origin = Annotated[str, Field(max_length=300), AfterValidator(canonical)]


class SourceBody(BaseModel):
    """What people say of a source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=200, description="What people call it.")
    enabled: StrictBool = Field(True, description="Whether its events are taken.")
    allowed_origins: list[Origin] = Field(
        [],
        max_length=100,
        description="Web pages that may send, as origins: `https://shop.vn`, `https://*.shop.vn` for its subdomains, "
        "`null` for pages without one; empty lets all. Keeps mistakes out, not attackers: who is no browser sends any.",
    )
    identity: SignedIdentity = Field(
        SignedIdentity(), description="Whether events must prove whom they name: write keys are public."
    )
    limit: Limit | None = Field(None, description="How many events each of its write keys may bring; more wait.")
    enrichment: Enrichment = Field(
        Enrichment(), description="What is added to its events, and what is kept of senders' addresses."
    )
    redirect_hosts: list[RedirectHost] = Field(
        [],
        max_length=100,
        description="Hosts that `GET /v1/click` may lead to: `shop.vn`, `*.shop.vn` for its subdomains, "
        "`shop.vn:8443` for a port. Empty: none.",
    )
    id_cookie: OfferedCookie = Field(
        None, description="Keep an id of each browser in a cookie, for pages in `allowed_origins`; null: do not."
    )
    webhook: Webhook | None = Field(
        None, description="How another platform sends here by `POST /v1/webhooks/{source}`; null: it does not."
    )


class Source(NamedTuple):
    """A source, as doors need it. `trouble` says why its secrets cannot be opened; they are masks then.

    `write_key` is the one it was found by, if it was, and `limit` the limit in force for what comes with it.
    """

    key: str
    body: SourceBody
    allowed_origins: Origins
    trouble: str = ""
    write_key: str = ""
    limit: Limit | None = None

    @property
    def name(self) -> str:
        """What people call it."""
        return self.body.name


def source_of(entry: Entry, vault: Callable[[], Vault] | None = None) -> Source:
    """The source that a definition defines; with a vault its secrets are opened, without one they are masks.

    Fields that this version does not know are left out.
    """
    body = {name: part for name, part in entry.body.items() if part is not None}
    trouble = ""
    if vault is not None and has_secrets(body):
        try:
            body = opened(body, vault(), place(entry.key))
        except MisconfiguredError as error:
            trouble = error.message
            log.error("source.secrets_closed", source=entry.key, reason=error.message)
    known = SourceBody.model_validate({"name": entry.key} | masked(body), extra="ignore")
    return Source(entry.key, known, Origins(known.allowed_origins), trouble, limit=known.limit)


def has_secrets(value: Any) -> bool:
    """Whether anything in a stored value is sealed."""
    if isinstance(value, Mapping):
        return SEALED in value or any(map(has_secrets, value.values()))
    return isinstance(value, list) and any(map(has_secrets, value))


def stored(body: SourceBody, vault: Callable[[], Vault], key: str, before: Mapping[str, Any]) -> dict[str, Any]:
    """The body as it goes on the log: secrets sealed; a mask stands for the secret that was there `before`.

    Raises `InvalidError` for a mask where there was none. `vault` is opened only for a body with secrets.
    """
    given = _kept(body.model_dump(), before, "")
    return dict(to_jsonable_python(sealed(given, vault(), place(key)) if secrets_in(given) else given))


def place(key: str) -> str:
    """Where the secrets of a source are bound to."""
    return f"source:{key}"


def _kept(given: Any, before: Any, path: str) -> Any:
    if isinstance(given, SecretStr) and given.get_secret_value() == MASK:
        if not is_sealed(before):
            raise InvalidError("The mask stands for a secret that is set already, and there is none.", path=path)
        return before
    if isinstance(given, Mapping):
        known = before if isinstance(before, Mapping) else {}
        return {name: _kept(part, known.get(name), f"{path}.{name}".lstrip(".")) for name, part in given.items()}
    if isinstance(given, list | tuple):
        padded = [*(before if isinstance(before, list) else ()), *([None] * len(given))]
        return [_kept(part, padded[number], f"{path}[{number}]") for number, part in enumerate(given)]
    return given

"""How platforms prove that a webhook is theirs: schemes as data, and their check.

    hmac     a keyed hash of `content` in a header: Shopify, WooCommerce, Stripe, HubSpot, Meta, Standard Webhooks
    digest   a plain hash of a `content` that holds the secret: Zalo
    ecdsa    a signature of `content` by the platform's private key; the "secret" is its public key: SendGrid
    bearer   `Authorization: Bearer SECRET`
    basic    `Authorization: Basic base64(SECRET)`, where the secret is `user:password`
    header   the secret itself in a header
    query    the secret itself in a parameter of the address, for platforms that sign nothing: Mailchimp, TikTok

`content` is a text whose expressions may also name `$raw` (the body's bytes), `$url`, `$secret`, `$form` (see
`payloads.signed_form`) and `$signature` (the header's labelled parts). Two secrets may live at once, so that one
replaces the other without a gap. Comparisons take the same time whatever they find.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Annotated, Any, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, WithJsonSchema

from cdp import clock
from cdp.errors import ForbiddenError
from cdp.vault import MASK
from ingest.sources.segment import moment_text
from ingest.webhooks.expressions import Scope, expression
from ingest.webhooks.functions import scalar_text
from ingest.webhooks.payloads import Payload, signed_form
from ingest.webhooks.templates import pieces, readable

Scheme = Literal["hmac", "digest", "ecdsa", "bearer", "basic", "header", "query"]

LIVE_SECRETS = 2
# Signatures that a header may list; each costs a comparison only.
MOST_LISTED = 20
HEADER = r"^[A-Za-z0-9-]{1,100}$"
HASHES: dict[str, Callable[[], Any]] = {"sha256": hashlib.sha256, "sha1": hashlib.sha1, "sha512": hashlib.sha512}


class SignatureError(ForbiddenError):
    """The request does not prove that it comes from the platform."""

    code = "invalid_signature"


class PublicKeyError(ValueError):
    """The text is no public key of an elliptic curve."""


Content = Annotated[str, Field(max_length=500), AfterValidator(readable(pieces))]
ExpressionText = Annotated[str, Field(max_length=1_000), AfterValidator(readable(expression))]
# Pydantic calls secrets write-only; answers have a mask in their place.
SHOWN = {"type": "string", "format": "password", "minLength": 1, "maxLength": 4_000}
Secret = Annotated[SecretStr, Field(min_length=1, max_length=4_000), WithJsonSchema(SHOWN)]


class Signature(BaseModel):
    """How the platform signs. What is null is as the preset says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    secrets: list[Secret] = Field(
        [],
        max_length=LIVE_SECRETS,
        description="The secret that you and the platform share; two while one replaces the other. To change it, add "
        "the new one as the second, set it in the platform, then send the new one alone.",
    )
    scheme: Scheme | None = Field(
        None,
        description="`hmac`, `digest`, `ecdsa`: a signature of `content` in a header. `bearer`, `basic`, `header`, "
        "`query`: the secret itself.",
    )
    header: str | None = Field(None, pattern=HEADER, description="The header that holds the signature, or the secret.")
    parameter: str | None = Field(None, max_length=100, description="Of `query`: the parameter that holds the secret.")
    algorithm: Literal["sha256", "sha1", "sha512"] | None = Field(None, description="The hash; sha256 if absent.")
    encoding: Literal["hex", "base64"] | None = Field(None, description="How the signature is written; hex if absent.")
    prefix: str | None = Field(
        None, max_length=50, description="What stands before it, such as `sha256=`; without it a signature is none."
    )
    form: Literal["whole", "pairs", "list"] | None = Field(
        None,
        description="`whole`: the header is the signature. `pairs`: it is `t=…,v1=…`, and `label` names the part. "
        "`list`: signatures with their prefix, parted by spaces.",
    )
    label: str | None = Field(None, max_length=50, description="Of `pairs`: the part that is the signature.")
    content: Content | None = Field(
        None, description="What is signed, for example `{$raw}` or `{$signature.t}.{$raw}`; `{$raw}` if absent."
    )
    secret_encoding: Literal["text", "base64"] | None = Field(
        None, description="`base64` for secrets such as `whsec_…` of Standard Webhooks; text if absent."
    )
    timestamp: ExpressionText | None = Field(None, description="Where the moment of signing stands.")
    tolerance_seconds: int | None = Field(
        None, ge=0, le=86_400, description="How far that moment may lie from now; 0 asks for none."
    )

    def over(self, preset: Signature) -> Signature:
        """This, with what it leaves open as the preset has it."""
        own = {name: value for name in type(self).model_fields if (value := getattr(self, name)) not in (None, [])}
        return preset.model_copy(update=own)

    def lack(self) -> str:
        """What is missing for a check, in words; "" if nothing."""
        if self.scheme is None:
            return "`signature.scheme` says how the platform proves itself: name one, or a preset."
        if not self.secrets:
            return "`signature.secrets` needs the secret that you and the platform share."
        if self.scheme in ("hmac", "digest", "ecdsa", "header") and not self.header:
            return f"`signature.header` names the header that the scheme `{self.scheme}` looks at."
        content = self.content or "$raw"
        if self.scheme in ("hmac", "digest", "ecdsa") and "$raw" not in content and "$form" not in content:
            return "`signature.content` must hold the body, `{$raw}`: what is not signed can be forged."
        if self.scheme == "digest" and "$secret" not in content:
            return "`signature.content` of the scheme `digest` must hold `{$secret}`: anybody could make it else."
        if self.form == "pairs" and not self.label:
            return "`signature.label` names the part of the header that is the signature."
        if self.scheme == "ecdsa":
            return _wrong_key(self.secrets)
        return ""


def verify(signature: Signature, payload: Payload, scope: Scope, now: int) -> None:
    """Check that the platform sent this. `now` in milliseconds.

    1. the secret or the signature fits     2. the moment of signing lies within the tolerance

    Raises `SignatureError`: `missing_signature`, `invalid_signature`, `stale_timestamp`.
    """
    secrets = [secret.get_secret_value() for secret in signature.secrets]
    given = _given(signature, payload)
    if not given:
        raise SignatureError(f"No proof of who sends: {_where(signature)} has none.", code="missing_signature")
    scope = {**scope, "signature": _labelled(payload, signature), "raw": payload.raw, "form": signed_form(payload.raw)}
    fits = [_fits(signature, secret, given, payload, scope) for secret in secrets]
    if not any(fits):
        raise SignatureError(
            f"What stands in {_where(signature)} does not fit: check that both sides have the same secret."
        )
    if signature.tolerance_seconds:
        _check_moment(signature, scope, now)


def same(one: str, other: str) -> bool:
    """Whether two texts are the same, in a time that tells nothing about them."""
    return hmac.compare_digest(one.encode(errors="replace"), other.encode(errors="replace"))


def _given(signature: Signature, payload: Payload) -> list[str]:
    """What the request shows: signatures or secrets, as written."""
    if signature.scheme == "query":
        return [value] if (value := payload.query.get(signature.parameter or "token", "")) else []
    header = payload.headers.get(_header(signature), "")
    if signature.scheme in ("bearer", "basic"):
        word, _, rest = header.partition(" ")
        return [rest.strip()] if word.lower() == signature.scheme and rest.strip() else []
    if signature.form == "pairs":
        return [value for label, value in _pairs(header) if label == signature.label]
    prefix = signature.prefix or ""
    listed = header.split()[:MOST_LISTED] if signature.form == "list" else [header.strip()]
    return [one.removeprefix(prefix) for one in listed if one.startswith(prefix) and one != prefix]


def _fits(signature: Signature, secret: str, given: list[str], payload: Payload, scope: Scope) -> bool:
    if signature.scheme in ("bearer", "header", "query"):
        return any(same(one, secret) for one in given)
    if signature.scheme == "basic":
        return any(same(one, base64.b64encode(secret.encode()).decode()) for one in given)
    contents = list(_contents(signature, secret, payload, scope))
    if signature.scheme == "ecdsa":
        return any(_is_signed(secret, one, content) for one in given for content in contents)
    made = [_written(signature, _hashed(signature, secret, content)) for content in contents]
    return any(same(_lowered(signature, one), other) for one in given for other in made)


def _contents(signature: Signature, secret: str, payload: Payload, scope: Scope) -> Iterator[bytes]:
    """What may have been signed: one for each way to write our address, where that is signed too."""
    text = signature.content or "{$raw}"
    for url in payload.urls if "$url" in text else payload.urls[:1]:
        values = {**scope, "url": url, "secret": secret}
        yield b"".join(_bytes(piece if isinstance(piece, str) else piece(values)) for piece in pieces(text))


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else scalar_text(value).encode(errors="replace")


def _hashed(signature: Signature, secret: str, content: bytes) -> bytes:
    algorithm = HASHES[signature.algorithm or "sha256"]
    if signature.scheme == "digest":
        made = algorithm()
        made.update(content)
        return bytes(made.digest())
    return hmac.new(_key(signature, secret), content, algorithm).digest()


def _key(signature: Signature, secret: str) -> bytes:
    if signature.secret_encoding != "base64":  # noqa: S105 - the name of an encoding
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        return secret.encode()


def _written(signature: Signature, made: bytes) -> str:
    return base64.b64encode(made).decode() if signature.encoding == "base64" else made.hex()


def _lowered(signature: Signature, given: str) -> str:
    return given if signature.encoding == "base64" else given.lower()


def _labelled(payload: Payload, signature: Signature) -> dict[str, str]:
    header = payload.headers.get(_header(signature), "")
    return dict(reversed(_pairs(header)))


def _pairs(header: str) -> list[tuple[str, str]]:
    parts = (part.strip().partition("=") for part in header.split(",")[:MOST_LISTED])
    return [(label, value) for label, mark, value in parts if mark and value]


def _header(signature: Signature) -> str:
    """The name of the header that counts, in lower case; a preset's is none for those who choose `bearer`."""
    return "authorization" if signature.scheme in ("bearer", "basic") else (signature.header or "").lower()


def _where(signature: Signature) -> str:
    if signature.scheme == "query":
        return f"the parameter `{signature.parameter or 'token'}`"
    return f"the header `{_header(signature)}`"


def _check_moment(signature: Signature, scope: Scope, now: int) -> None:
    said = moment_text(expression(signature.timestamp or "null")(scope))
    if not said:
        raise SignatureError("The request does not say when it was signed.", code="stale_timestamp")
    apart = abs(now - clock.from_text(said)) / clock.SECOND
    if apart > (signature.tolerance_seconds or 0):
        raise SignatureError(
            f"It was signed {apart:.0f} s from now by our clock; {signature.tolerance_seconds} s are allowed.",
            code="stale_timestamp",
        )


# --- public keys ----------------------------------------------------------------------------------


@lru_cache(64)
def _public_key(text: str) -> ec.EllipticCurvePublicKey:
    """A public key in PEM, or the base64 inside it. Raises `PublicKeyError`."""
    try:
        if "BEGIN" in text:
            found = load_pem_public_key(text.encode())
        else:
            found = load_der_public_key(base64.b64decode("".join(text.split()), validate=True))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise PublicKeyError(str(error)) from None
    if not isinstance(found, ec.EllipticCurvePublicKey):
        raise PublicKeyError("no key of an elliptic curve")
    return found


def _is_signed(key: str, given: str, content: bytes) -> bool:
    try:
        _public_key(key).verify(base64.b64decode(given, validate=True), content, ec.ECDSA(SHA256()))
    except (InvalidSignature, PublicKeyError, binascii.Error):
        return False
    return True


def _wrong_key(secrets: list[SecretStr]) -> str:
    for secret in secrets:
        text = secret.get_secret_value()
        if text == MASK:
            continue
        try:
            _public_key(text)
        except PublicKeyError:
            return "`signature.secrets` of the scheme `ecdsa` are public keys, as the platform shows them."
    return ""

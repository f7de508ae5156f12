"""Proofs of identity: a write key is public, so who an event is about is believed with a proof from the shop's server.

A proof travels in `context.identity` of an event, or of its batch, or in the header `X-Identity-Proof`:

    {"signature": hex, "email": hex, …}     method `hmac`: HMAC-SHA256 under the source's secret of the userId, as
                                            Intercom has it; for each more identifier of the lines userId, name, value
    {"token": JWT}                          other methods: `sub` is the userId; `email`, `phone` … are its claims

It covers what is in it and no more. Whoever proves a userId may say anything of that user: name, birthday, plan. An
e-mail address or a telephone number is more than a trait, because two people who share one may become one: whoever
could carry somebody's address under a userId of his own would take that person over. So each identifier needs a proof.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Literal, NamedTuple, Protocol

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from cdp.clock import SECOND
from cdp.vault import MASK

Mode = Literal["off", "observe", "enforce"]
Method = Literal["hmac", "HS256", "RS256", "ES256", "EdDSA"]
Outcome = Literal["verified", "anonymous", "unsigned", "unproven"]

PLACE = "context.identity"
SHARED: tuple[Method, ...] = ("hmac", "HS256")
LIVE = 2
SHORTEST_SECRET = 32
SMALLEST_RSA = 2_048
LONGEST_TOKEN = 8_000
# Proofs found good that are remembered; only good ones are, so strangers cannot fill it.
REMEMBERED = 50_000
# Seconds by which clocks of servers may differ.
LEEWAY = 60
# What may stand between the digits of a telephone number.
SEPARATORS = re.compile(r"[\s.()-]")
# What OpenID Connect calls a claim, and how it says that one is not to be believed.
ALSO = {"phone": "phone_number"}
DOUBTS = {"email": "email_verified", "phone": "phone_number_verified"}
BROKEN = (jwt.PyJWTError, ValueError, RecursionError)


class PublicKey(BaseModel):
    """A key that tokens are checked with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pem: str = Field(max_length=5_000, description="The public key, `-----BEGIN PUBLIC KEY-----` and so on.")
    kid: str | None = Field(None, max_length=200, description="Its name, as the tokens' header has it in `kid`.")

    @field_validator("pem")
    @classmethod
    def _public(cls, pem: str) -> str:
        if not _fitting(pem):
            raise ValueError("is no public key in PEM for RS256 (2,048 bits or more), ES256 (P-256) or EdDSA (Ed25519)")
        return pem


class SignedIdentity(BaseModel):
    """Whether events must prove who they are about, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode = Field(
        "off",
        description="`observe` counts events with a proof and marks them; `enforce` also sets aside those that name "
        "somebody without one.",
    )
    method: Method = Field(
        "hmac",
        description="`hmac`: a signature for each identifier; the others: a JWT signed with that algorithm alone.",
    )
    secrets: list[SecretStr] = Field(
        [],
        max_length=LIVE,
        description="For `hmac` and HS256: the secret your server signs with, 32 characters or more; two while one "
        "replaces the other.",
    )
    public_keys: list[PublicKey] = Field(
        [], max_length=LIVE, description="For RS256, ES256 and EdDSA: the key your server's tokens are checked with."
    )
    audience: str | None = Field(
        None, min_length=1, max_length=200, description="What a token must have in `aud`; not looked at if absent."
    )

    @field_validator("secrets")
    @classmethod
    def _long_enough(cls, secrets: list[SecretStr]) -> list[SecretStr]:
        if any(len(one) < SHORTEST_SECRET and one.get_secret_value() != MASK for one in secrets):
            raise ValueError(f"a secret needs {SHORTEST_SECRET} characters or more; `openssl rand -hex 32` makes one")
        return secrets

    @model_validator(mode="after")
    def _fits(self) -> SignedIdentity:
        held, needed = (self.secrets, "`secrets`") if self.method in SHARED else (self.public_keys, "`public_keys`")
        if self.mode != "off" and not held:
            raise ValueError(f"the method {self.method} needs {needed}")
        if needed == "`public_keys`" and any(_fitting(key.pem) != self.method for key in self.public_keys):
            raise ValueError(f"`public_keys` must be keys for {self.method}")
        return self


class Claim(NamedTuple):
    """An identifier that an event names, and where: ("email", "lan@shop.vn", "traits.email").

    Without a name it is not an identifier, but tells who somebody is: a name, a birthday, an address.
    """

    name: str
    value: str
    path: str


class UnprovenError(Exception):
    """An event names somebody, and no proof covers that. `path` leads to what is not covered, or is wrong."""

    def __init__(self, reason: str, path: str, outcome: Outcome = "unproven") -> None:
        super().__init__(reason)
        self.reason, self.path, self.outcome = reason, path, outcome


class Verifier(Protocol):
    """Checks proofs of one source."""

    lacking: str

    def check(self, user_id: str, claims: list[Claim], proof: Mapping[str, Any], now: int) -> None:
        """Raises `UnprovenError` unless the proof covers each claim. `now` in milliseconds."""
        ...


class Signatures:
    """Checks a signature for each claim."""

    lacking = (
        f"add `{PLACE}.signature`, the HMAC-SHA256 of the userId in hexadecimal, made on your server with the secret "
        "of this source."
    )

    def __init__(self, wanted: SignedIdentity) -> None:
        self._secrets = [one.get_secret_value().encode() for one in wanted.secrets]
        self._good: set[tuple[str, str]] = set()

    def check(self, user_id: str, claims: list[Claim], proof: Mapping[str, Any], now: int) -> None:
        """Raises `UnprovenError` unless the proof has a good signature for each claim."""
        if "\n" in user_id:
            raise UnprovenError("A userId with a line break cannot be proven by a signature.", "userId")
        for claim in claims:
            member, message = signed_text(user_id, claim.name, claim.value)
            given = proof.get(member)
            if isinstance(given, str) and self._is_good(message, given.lower()):
                continue
            recipe = (
                "the userId" if member == "signature" else f"three lines, the userId, `{claim.name}` and the value,"
            )
            wrong = "is missing" if given is None else "is not the right one"
            raise UnprovenError(
                f"The signature of {claim.path} {wrong}: `{PLACE}.{member}` is the HMAC-SHA256 of {recipe} in "
                "hexadecimal, under the secret of this source.",
                claim.path if given is None else f"{PLACE}.{member}",
            )

    def _is_good(self, message: str, signature: str) -> bool:
        if (message, signature) in self._good:
            return True
        content = message.encode()
        if not any(hmac.compare_digest(sign(one, content), signature.encode()) for one in self._secrets):
            return False
        if len(self._good) >= REMEMBERED:
            self._good.clear()
        self._good.add((message, signature))
        return True


class Tokens:
    """Checks a JWT, and that each claim is in it."""

    lacking = f"add `{PLACE}.token`, a JWT made on your server whose `sub` is the userId."

    def __init__(self, wanted: SignedIdentity) -> None:
        shared: list[tuple[str | None, str]] = [(None, one.get_secret_value()) for one in wanted.secrets]
        public: list[tuple[str | None, str]] = [(key.kid, key.pem) for key in wanted.public_keys]
        self._keys = shared if wanted.method in SHARED else public
        self._method, self._audience = wanted.method, wanted.audience
        self._good: dict[str, dict[str, Any]] = {}

    def check(self, user_id: str, claims: list[Claim], proof: Mapping[str, Any], now: int) -> None:
        """Raises `UnprovenError` unless the proof has a good token, in force, that says each claim."""
        token, path = proof.get("token"), f"{PLACE}.token"
        if not isinstance(token, str):
            raise UnprovenError(f"There is no token: {self.lacking}", path)
        said = self._said(token)
        if said is None:
            raise UnprovenError(f"The token is not signed with {self._method} by a key of this source.", path)
        if reason := _untimely(said, now // SECOND):
            raise UnprovenError(reason, path)
        for claim in claims:
            if not _says(said, claim):
                held = "sub" if claim.name == "userId" else claim.name
                raise UnprovenError(f"The token does not say so: its `{held}` is not the {claim.path}.", claim.path)

    def _said(self, token: str) -> dict[str, Any] | None:
        """What a token of this source says, in force or not; None for any other."""
        if (known := self._good.get(token)) is not None:
            return known
        found = next(filter(None, (self._decoded(token, key) for key in self._candidates(token))), None)
        if found is not None:
            if len(self._good) >= REMEMBERED:
                self._good.clear()
            self._good[token] = found
        return found

    def _candidates(self, token: str) -> Iterable[str]:
        """The keys that it may be signed with: all without a name, and the one that it names."""
        if len(token) > LONGEST_TOKEN:
            return []
        try:
            named = jwt.get_unverified_header(token).get("kid")
        except BROKEN:
            return []
        return [key for kid, key in self._keys if kid is None or kid == named]

    def _decoded(self, token: str, key: str) -> dict[str, Any] | None:
        # Times are judged by our own clock, each time the token comes.
        checks = dict.fromkeys(("verify_exp", "verify_nbf", "verify_iat"), False)
        checks["verify_aud"] = self._audience is not None
        try:
            return jwt.decode(token, key, [self._method], {"require": ["exp"], **checks}, audience=self._audience)  # type: ignore[arg-type]
        except BROKEN:
            return None


def sign(secret: bytes, content: bytes) -> bytes:
    """HMAC-SHA256 in hexadecimal."""
    return hmac.digest(secret, content, sha256).hex().encode()


def signed_text(user_id: str, name: str, value: str) -> tuple[str, str]:
    """A claim → the member of `context.identity` that has its signature, and the text that is signed.

    The userId is bound in, so that what one account may say no other can repeat; and no userId reads like another text.
    """
    return ("signature", user_id) if name == "userId" else (name, f"{user_id}\n{name}\n{value}")


def _untimely(said: Mapping[str, Any], now: int) -> str:
    """Why a token is not in force at `now`, in seconds; empty when it is."""
    times = [said.get(name) for name in ("exp", "nbf", "iat")]
    if any(isinstance(one, bool) or not isinstance(one, int | float | None) for one in times):
        return "The token's `exp`, `nbf` and `iat` must be numbers: seconds since 1970."
    ends, begins, made = times
    if not now < (ends or 0) + LEEWAY:
        return "The token has expired: let the page ask your server for a fresh one, or make it live longer."
    if max(begins or 0, made or 0) > now + LEEWAY:
        return "The token is not in force yet: is your server's clock right?"
    return ""


def _says(said: Mapping[str, Any], claim: Claim) -> bool:
    if claim.name == "userId":
        return said.get("sub") == claim.value
    if said.get(DOUBTS.get(claim.name, "")) is False:
        return False
    given = said.get(claim.name, said.get(ALSO.get(claim.name, "")))
    return claim.value in (written(claim.name, one) for one in (given if isinstance(given, list) else [given]))


def written(name: str, value: Any) -> str:
    """An identifier as it is signed and compared: an address in lower case, a number without what parts its digits.

    Empty for what is none.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    text = str(value).strip()
    if name == "phone":
        return SEPARATORS.sub("", text)
    return text.lower() if name == "email" else text


def verifier_of(wanted: SignedIdentity) -> Verifier:
    """What checks the proofs of a source."""
    return Signatures(wanted) if wanted.method == "hmac" else Tokens(wanted)


def _fitting(pem: str) -> Method | None:
    """The method that a public key is for; None for what is no such key."""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size >= SMALLEST_RSA:
        return "RS256"
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return "ES256"
    return "EdDSA" if isinstance(key, Ed25519PublicKey) else None

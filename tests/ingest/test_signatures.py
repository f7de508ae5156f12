"""Tests of proofs of identity: what a signature and a token cover, when they count, and how they are defined."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cdp.testing import START
from cdp.vault import MASK
from ingest.signatures import Claim, SignedIdentity, UnprovenError, sign, verifier_of, written

SECRET, OTHER = "s" * 32, "another secret of enough length !"
NOW = START // 1_000
KEYS = {
    "RS256": rsa.generate_private_key(65_537, 2_048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
LAN = Claim("userId", "lan", "userId")
MAIL = Claim("email", "lan@shop.vn", "traits.email")
PHONE = Claim("phone", "+84901234567", "context.traits.phone")


def pem(key: Any) -> str:
    """The public half."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def signed(text: str, secret: str = SECRET) -> str:
    """As a shop's server does it, with nothing of ours."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def token(key: Any = SECRET, algorithm: str = "HS256", headers: Any = None, **claims: Any) -> str:
    """A JWT for `lan` that lives an hour, unless told otherwise; None leaves a claim out."""
    said = {"sub": "lan", "exp": NOW + 3_600, **claims}
    return jwt.encode({name: one for name, one in said.items() if one is not None}, key, algorithm, headers)


def check(
    wanted: SignedIdentity, proof: Any, *claims: Claim, user_id: str = "lan", now: int = START
) -> UnprovenError | None:
    """What is wrong with a proof."""
    try:
        verifier_of(wanted).check(user_id, list(claims or [LAN]), proof, now)
    except UnprovenError as error:
        return error
    return None


def hmac_with(*secrets: str) -> SignedIdentity:
    """A source that takes signatures under these secrets."""
    return SignedIdentity.model_validate({"mode": "enforce", "method": "hmac", "secrets": list(secrets)})


def jwt_with(method: str = "HS256", **more: Any) -> SignedIdentity:
    """A source that takes tokens."""
    keys = {"secrets": [SECRET]} if method == "HS256" else {"public_keys": [{"pem": pem(KEYS[method])}]}
    return SignedIdentity.model_validate({"mode": "enforce", "method": method, **keys, **more})


# --- signatures -----------------------------------------------------------------------------------


def test_a_signature_is_the_hmac_of_the_user_id() -> None:
    """As Intercom's user hash is: a known answer, in either case."""
    known = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
    assert sign(b"key", b"The quick brown fox jumps over the lazy dog").decode() == known
    proof = {"signature": signed("lan")}
    assert check(hmac_with(SECRET), proof) is None
    assert check(hmac_with(SECRET), {"signature": proof["signature"].upper()}) is None
    wrong = check(hmac_with(SECRET), {"signature": known})
    assert wrong is not None
    assert wrong.path == "context.identity.signature"
    assert "HMAC-SHA256 of the userId" in wrong.reason


def test_two_secrets_are_live_while_one_replaces_the_other() -> None:
    """Either signs; a third does not."""
    wanted = hmac_with(SECRET, OTHER)
    assert check(wanted, {"signature": signed("lan")}) is None
    assert check(wanted, {"signature": signed("lan", OTHER)}) is None
    assert check(wanted, {"signature": signed("lan", "x" * 32)}) is not None


def test_each_more_identifier_needs_its_own_signature() -> None:
    """A userId's covers no address; an address's is bound to the userId it was made for."""
    wanted = hmac_with(SECRET)
    own = {"signature": signed("lan"), "email": signed("lan\nemail\nlan@shop.vn")}
    assert check(wanted, own, LAN, MAIL) is None
    missing = check(wanted, {"signature": signed("lan")}, LAN, MAIL)
    assert missing is not None
    assert (missing.path, "context.identity.email" in missing.reason) == ("traits.email", True)
    anothers = {"signature": signed("lan"), "email": signed("minh\nemail\nlan@shop.vn")}
    assert check(wanted, anothers, LAN, MAIL) is not None
    assert check(wanted, own, LAN, MAIL, PHONE) is not None
    assert check(wanted, {"email": signed("\nemail\nlan@shop.vn")}, MAIL, user_id="") is None, "who has no userId yet"


def test_no_user_id_reads_like_a_signed_address() -> None:
    """Somebody who may choose his userId cannot choose one whose signature proves another's address."""
    evil = "minh\nemail\nlan@shop.vn"
    wrong = check(hmac_with(SECRET), {"signature": signed(evil)}, Claim("userId", evil, "userId"), user_id=evil)
    assert wrong is not None
    assert wrong.path == "userId"


@given(
    st.dictionaries(
        st.sampled_from(["signature", "email", "token", "x"]),
        st.none() | st.integers() | st.text() | st.lists(st.text()),
    )
)
def test_nothing_but_the_right_one_passes(proof: dict[str, Any]) -> None:
    """Whatever else stands in a proof, it is refused with a path, and nothing is raised."""
    for wanted in (hmac_with(SECRET), jwt_with()):
        wrong = check(wanted, proof, LAN, MAIL)
        assert wrong is not None
        assert wrong.path


# --- tokens ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["HS256", "RS256", "ES256", "EdDSA"])
def test_a_token_says_whose_it_is(method: str) -> None:
    """With each algorithm: `sub` is the userId, e-mail and phone are claims; what is not in it is not covered."""
    key = KEYS.get(method, SECRET)
    wanted = jwt_with(method)
    proof = {"token": token(key, method, email="Lan@Shop.vn", phone_number="+84 901 234 567")}
    for _ in range(2):
        assert check(wanted, proof, LAN, MAIL, PHONE) is None
    wrong = check(wanted, proof, Claim("userId", "minh", "userId"))
    assert wrong is not None
    assert wrong.path == "userId"
    wrong = check(wanted, proof, LAN, Claim("email", "minh@shop.vn", "traits.email"))
    assert wrong is not None
    assert wrong.path == "traits.email"


@pytest.mark.parametrize(
    ("claims", "good"),
    [
        ({}, True),
        ({"exp": NOW - 59}, True),
        ({"exp": NOW - 60}, False),
        ({"exp": None}, False),
        ({"exp": "soon"}, False),
        ({"exp": True}, False),
        ({"nbf": NOW + 60}, True),
        ({"nbf": NOW + 61}, False),
        ({"iat": NOW + 61}, False),
        ({"iat": NOW}, True),
        ({"iat": []}, False),
        ({"sub": 5}, False),
        ({"sub": None}, False),
    ],
)
def test_a_token_counts_in_its_time(claims: dict[str, Any], *, good: bool) -> None:
    """By our clock, with a minute for clocks that differ; it must end, and its times be numbers."""
    raw = {"sub": "lan", "exp": NOW + 3_600, **claims}
    made = jwt.api_jws.PyJWS().encode(
        json.dumps({n: v for n, v in raw.items() if v is not None}).encode(), SECRET, "HS256"
    )
    assert (check(jwt_with(), {"token": made}) is None) == good


def test_a_remembered_token_still_ends() -> None:
    """Its signature is checked once, its time whenever it comes."""
    verifier = verifier_of(jwt_with())
    proof = {"token": token(exp=NOW + 10)}
    verifier.check("lan", [LAN], proof, START)
    with pytest.raises(UnprovenError, match="expired"):
        verifier.check("lan", [LAN], proof, START + 70_001)


def test_an_address_that_the_shop_doubts_is_not_proven() -> None:
    """`email_verified: false` is OpenID Connect's word for that; several addresses may stand in a list."""
    assert check(jwt_with(), {"token": token(email="lan@shop.vn", email_verified=False)}, LAN, MAIL) is not None
    assert check(jwt_with(), {"token": token(email=["x@y.vn", "LAN@shop.vn"])}, LAN, MAIL) is None


def test_only_the_algorithm_that_was_set_counts() -> None:
    """No `none`, no public key taken for a shared secret, no other length."""
    public = jwt_with("RS256")
    unsigned = f"{_part({'alg': 'none'})}.{_part({'sub': 'lan', 'exp': NOW + 99})}."
    confused = f"{_part({'alg': 'HS256'})}.{_part({'sub': 'lan', 'exp': NOW + 99})}"
    confused += "." + _coded(hmac.digest(pem(KEYS["RS256"]).encode(), confused.encode(), hashlib.sha256))
    for wanted in (public, jwt_with()):
        for one in (
            unsigned,
            confused,
            token(SECRET * 2, "HS512"),
            token(OTHER),
            token() + "x",
            "a.b.c",
            "",
            "...",
            "é.é.é",
        ):
            assert check(wanted, {"token": one}) is not None
    deep = base64.urlsafe_b64encode(b"[" * 5_000).decode()
    assert check(jwt_with(), {"token": f"{deep}.{deep}.{deep}"}) is not None
    assert check(jwt_with(), {"token": token(junk="x" * 9_000)}) is not None


def test_keys_have_names() -> None:
    """Of two live keys the one that the token names is tried, and those without a name."""
    other = ed25519.Ed25519PrivateKey.generate()
    keys = [{"pem": pem(KEYS["EdDSA"]), "kid": "old"}, {"pem": pem(other), "kid": "new"}]
    wanted = jwt_with("EdDSA", public_keys=keys)
    assert check(wanted, {"token": token(other, "EdDSA", {"kid": "new"})}) is None
    assert check(wanted, {"token": token(KEYS["EdDSA"], "EdDSA", {"kid": "old"})}) is None
    assert check(wanted, {"token": token(other, "EdDSA", {"kid": "old"})}) is not None
    assert check(wanted, {"token": token(other, "EdDSA")}) is not None
    assert check(jwt_with("EdDSA"), {"token": token(KEYS["EdDSA"], "EdDSA", {"kid": "any"})}) is None


def test_an_audience_is_looked_at_where_one_is_set() -> None:
    """So a token of the shop for another purpose is no proof."""
    assert check(jwt_with(audience="cdp"), {"token": token(aud=["shop", "cdp"])}) is None
    assert check(jwt_with(audience="cdp"), {"token": token(aud="shop")}) is not None
    assert check(jwt_with(audience="cdp"), {"token": token()}) is not None
    assert check(jwt_with(), {"token": token(aud="shop")}) is None


# --- definition -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"mode": "enforce"},
        {"mode": "observe", "method": "RS256"},
        {"secrets": ["short"]},
        {"secrets": [SECRET, SECRET, SECRET]},
        {"method": "none", "secrets": [SECRET]},
        {"method": "RS256", "public_keys": [{"pem": "-----BEGIN PUBLIC KEY-----"}]},
        {"method": "RS256", "public_keys": [{"pem": pem(KEYS["ES256"])}]},
        {"method": "ES256", "public_keys": [{"pem": pem(ec.generate_private_key(ec.SECP384R1()))}]},
        {"method": "RS256", "public_keys": [{"pem": pem(rsa.generate_private_key(65_537, 1_024))}]},
        {
            "method": "EdDSA",
            "public_keys": [
                {"pem": KEYS["EdDSA"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()}
            ],
        },
    ],
)
def test_rules_that_would_prove_nothing_are_refused(body: dict[str, Any]) -> None:
    """A mode without a key, a short secret, a key of another kind or a private one."""
    with pytest.raises(ValidationError):
        SignedIdentity.model_validate(body)


def test_a_mask_stands_for_a_secret() -> None:
    """What the API shows can be sent back."""
    assert SignedIdentity.model_validate({"mode": "enforce", "secrets": [MASK]})


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("email", " Lan@Shop.VN ", "lan@shop.vn"),
        ("phone", "(090) 123-45.67", "0901234567"),
        ("phone", 901234567, "901234567"),
        ("crm_id", " A-7 ", "A-7"),
        ("email", None, ""),
        ("email", True, ""),
        ("email", {"x": 1}, ""),
    ],
)
def test_how_an_identifier_is_written(name: str, value: Any, text: str) -> None:
    """In one way, so that the shop's server and the page need not agree on spaces and case."""
    assert written(name, value) == text


def _part(value: dict[str, Any]) -> str:
    return _coded(json.dumps(value).encode())


def _coded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

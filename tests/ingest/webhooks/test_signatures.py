"""Tests of the signature schemes, against other people's code and published vectors where there are any."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook as StandardWebhook

from cdp.clock import to_datetime
from ingest.webhooks.payloads import Payload, addresses, form, read
from ingest.webhooks.presets import presets
from ingest.webhooks.signatures import Signature, SignatureError, verify

NOW = 1_795_249_800_000
BODY = b'{"a": 1}'


def signature(**fields: Any) -> Signature:
    """A scheme with its secrets."""
    return Signature.model_validate({"secrets": ["s3cret"], **fields})


def payload(body: bytes = BODY, *, urls: tuple[str, ...] = (), query: Any = None, **headers: str) -> Payload:
    """A request; `x_name` is the header `x-name`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read(Payload("POST", urls or ("https://cdp.test/w",), named, query or {}, body), None)


def code_of(scheme: Signature, request: Payload, now: int = NOW) -> str:
    """Why it is refused; "" when it is not."""
    try:
        verify(scheme, request, request.scope("shop"), now)
    except SignatureError as error:
        return error.code
    return ""


def mac(content: bytes, secret: str = "s3cret", algorithm: str = "sha256") -> bytes:
    """A keyed hash."""
    return hmac.new(secret.encode(), content, algorithm).digest()


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "sha512"])
@pytest.mark.parametrize("encoding", ["hex", "base64"])
@pytest.mark.parametrize("prefix", ["", "sig="])
def test_a_keyed_hash_in_a_header(algorithm: str, encoding: str, prefix: str) -> None:
    """Each hash, written each way; what is not written with its prefix is no signature."""
    scheme = signature(scheme="hmac", header="X-Sig", algorithm=algorithm, encoding=encoding, prefix=prefix)
    made = mac(BODY, algorithm=algorithm)
    written = made.hex() if encoding == "hex" else base64.b64encode(made).decode()

    assert code_of(scheme, payload(x_sig=prefix + written)) == ""
    assert code_of(scheme, payload(b"{}", x_sig=prefix + written)) == "invalid_signature"
    assert code_of(scheme, payload(x_sig=prefix)) == "missing_signature"
    assert code_of(scheme, payload()) == "missing_signature"
    if prefix:
        assert code_of(scheme, payload(x_sig=written)) == "missing_signature"
    if encoding == "hex":
        assert code_of(scheme, payload(x_sig=prefix + written.upper())) == ""


def test_two_secrets_live_at_once() -> None:
    """While one replaces the other, both are good; a third is not."""
    scheme = signature(scheme="hmac", header="X-Sig", secrets=["old", "new"])
    codes = [code_of(scheme, payload(x_sig=mac(BODY, secret).hex())) for secret in ("old", "new", "third")]
    assert codes == ["", "", "invalid_signature"]


@pytest.mark.parametrize(
    ("scheme", "good", "bad"),
    [
        ("bearer", {"authorization": "Bearer s3cret"}, {"authorization": "Bearer other"}),
        ("bearer", {"authorization": "bearer s3cret"}, {"authorization": "Basic s3cret"}),
        ("header", {"x_key": "s3cret"}, {"x_key": "s3cre"}),
        (
            "basic",
            {"authorization": "Basic " + base64.b64encode(b"s3cret").decode()},
            {"authorization": "Basic " + base64.b64encode(b"s3cret:").decode()},
        ),
    ],
)
def test_the_secret_itself(scheme: str, good: dict[str, str], bad: dict[str, str]) -> None:
    """Where the platform shows the secret itself, only that secret is good."""
    asked = signature(scheme=scheme, header="X-Key")
    assert code_of(asked, payload(**good)) == ""
    assert code_of(asked, payload(**bad)) in ("invalid_signature", "missing_signature")
    assert code_of(asked, payload()) == "missing_signature"


def test_a_token_in_the_address() -> None:
    """For platforms that sign nothing."""
    asked = signature(scheme="query", parameter="key")
    assert code_of(asked, payload(query={"key": "s3cret"})) == ""
    assert code_of(asked, payload(query={"key": "S3cret"})) == "invalid_signature"
    assert code_of(asked, payload(query={"token": "s3cret"})) == "missing_signature"


def test_standard_webhooks_by_their_own_library() -> None:
    """What the reference library signs is good, several signatures beside each other included, within five minutes."""
    secret = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    scheme = Signature(secrets=[SecretStr(secret)]).over(presets()["standard-webhooks"].signature)
    signed = StandardWebhook(secret).sign("msg_1", to_datetime(NOW), BODY.decode())
    headers = {"webhook_id": "msg_1", "webhook_timestamp": str(NOW // 1000)}

    assert code_of(scheme, payload(**headers, webhook_signature=signed)) == ""
    assert code_of(scheme, payload(**headers, webhook_signature=f"v1,AAAA {signed} v1a,BBBB")) == ""
    assert code_of(scheme, payload(**headers, webhook_signature="v1,AAAA")) == "invalid_signature"
    assert code_of(scheme, payload(**headers, webhook_signature=signed), NOW + 301_000) == "stale_timestamp"
    moved = {**headers, "webhook_timestamp": str(NOW // 1000 + 1)}
    assert code_of(scheme, payload(**moved, webhook_signature=signed)) == "invalid_signature"


def test_sendgrid_by_its_published_vector() -> None:
    """The key, the signature and the payload of SendGrid's own test suites fit."""
    key = (
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEDr2LjtURuePQzplybdC+u4CwrqDqBaWjcMMsTbhdbcwHBcepxo7yAQGhHPTnlvFYPAZFceEu"
        "/1FwCM/QmGUhA=="
    )
    body = b'{"category":"example_payload","event":"test_event","message_id":"message_id"}'
    headers = {
        "x_twilio_email_event_webhook_signature": "MEUCIQCtIHJeH93Y+qpYeWrySphQgpNGNr/U+UyUlBkU6n7RAwIgJTz2C+8a8xonZGi6"
        "BpSzoQsbVRamr2nlxFDWYNH2j/0=",
        "x_twilio_email_event_webhook_timestamp": "1588788367",
    }
    scheme = Signature(secrets=[SecretStr(key)]).over(presets()["sendgrid"].signature)
    assert code_of(scheme, payload(body, **headers)) == ""
    assert code_of(scheme, payload(body + b" ", **headers)) == "invalid_signature"


def test_hubspot_signs_the_address_it_was_given() -> None:
    """TLS that ends before us, and an escaped address, change nothing; another address does."""
    scheme = signature().over(presets()["hubspot"].signature)
    stamp = str(NOW)
    request = {"x_hubspot_request_timestamp": stamp}
    signed = base64.b64encode(mac(b"POSThttps://cdp.test/v1/webhooks/hub?a=b c" + BODY + stamp.encode())).decode()
    urls = addresses("http://cdp.test/v1/webhooks/hub?a=b%20c")

    assert code_of(scheme, payload(urls=urls, **request, x_hubspot_signature_v3=signed)) == ""
    other = addresses("http://cdp.test/v1/webhooks/other")
    assert code_of(scheme, payload(urls=other, **request, x_hubspot_signature_v3=signed)) == "invalid_signature"


def test_zalo_hashes_the_secret_itself() -> None:
    """sha256 of app id, body, timestamp and the OA's secret key."""
    scheme = signature().over(presets()["zalo-oa"].signature)
    body = b'{"app_id":"1","timestamp":"2","event_name":"follow"}'
    signed = "mac=" + hashlib.sha256(b"1" + body + b"2" + b"s3cret").hexdigest()
    assert code_of(scheme, payload(body, x_zevent_signature=signed)) == ""
    assert code_of(scheme, payload(body.replace(b"follow", b"unfollow"), x_zevent_signature=signed))


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({}, "scheme"),
        ({"scheme": "hmac"}, "header"),
        ({"scheme": "hmac", "header": "X-S", "secrets": []}, "secrets"),
        ({"scheme": "hmac", "header": "X-S", "content": "{$header.x}"}, "forged"),
        ({"scheme": "digest", "header": "X-S", "content": "{$raw}"}, "anybody"),
        ({"scheme": "hmac", "header": "X-S", "form": "pairs"}, "label"),
        ({"scheme": "ecdsa", "header": "X-S", "secrets": ["no key"]}, "public keys"),
    ],
)
def test_a_scheme_that_could_prove_nothing_is_refused(fields: dict[str, Any], word: str) -> None:
    """What would let anybody in is told when it is defined."""
    assert word in signature(**fields).lack()


def test_a_form_nests_at_its_brackets() -> None:
    """As PHP writes it; a name that contradicts an earlier one is left out, and lists have numbers for names."""
    body = b"type=x&data[merges][EMAIL]=a%40b.vn&data[tags][]=1&data[tags][]=2&type[a]=odd&broken[=1&data=late"
    assert form(body) == {
        "type": "x",
        "data": {"merges": {"EMAIL": "a@b.vn"}, "tags": {"0": "1", "1": "2"}},
        "broken[": "1",
    }


@given(
    st.binary(max_size=200), st.dictionaries(st.sampled_from(["x-sig", "authorization", "stripe-signature"]), st.text())
)
def test_no_request_makes_a_check_raise_anything_else(body: bytes, headers: dict[str, str]) -> None:
    """Whatever is sent, a check passes or raises a SignatureError."""
    request = Payload("POST", ("https://cdp.test/w",), headers, {"token": "x"}, body)
    for name, preset in presets().items():
        secret = SecretStr("s3cret")
        made = read(request, preset.body)
        assert code_of(Signature(secrets=[secret]).over(preset.signature), made), name
    for scheme in ("bearer", "basic", "header", "query"):
        code_of(signature(scheme=scheme, header="x-sig"), made)

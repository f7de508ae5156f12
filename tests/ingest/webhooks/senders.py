"""The platforms, as they send: each signs by its own published recipe, written here a second time."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from standardwebhooks.webhooks import Webhook as StandardWebhook

from cdp import clock

CASES = Path(__file__).parent / "cases"
KEY = "source"
PATH = f"/v1/webhooks/{KEY}"
URL = f"https://cdp.test{PATH}"
SECRET = "shpss_3f0c5f2a91b84a8f"
STANDARD_SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
SENDGRID = ec.generate_private_key(ec.SECP256R1())
SENDGRID_KEY = base64.b64encode(
    SENDGRID.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()


class Sent(NamedTuple):
    """A request as a platform makes it."""

    body: bytes
    headers: dict[str, str]
    query: dict[str, str]

    @property
    def path(self) -> str:
        """Where it goes."""
        return f"{PATH}?{urlencode(self.query)}" if self.query else PATH


class Case(NamedTuple):
    """A recorded payload, and the events that it must become."""

    preset: str
    name: str
    body: bytes
    headers: dict[str, str]
    fetched: Any
    events: list[dict[str, Any] | None]

    def sent(self, now: int) -> Sent:
        """It, signed by its platform at a moment (milliseconds)."""
        headers, query = SIGNERS[self.preset](self.body, self.headers, now)
        return Sent(self.body, {**self.headers, **headers}, query)


def cases() -> list[Case]:
    """Every recorded payload."""
    return [_case(file.stem, one) for file in sorted(CASES.glob("*.json")) for one in json.loads(file.read_text())]


def case(preset: str, name: str) -> Case:
    """One of them."""
    return next(one for one in cases() if (one.preset, one.name) == (preset, name))


def definition(preset: str, **more: Any) -> dict[str, Any]:
    """The webhook of a source with this preset."""
    secret = {"sendgrid": SENDGRID_KEY, "standard-webhooks": STANDARD_SECRET}.get(preset, SECRET)
    tokens = {"verify_token": "my-word", "access_token": "EAAG-token"} if preset == "meta-leads" else {}
    return {"preset": preset, "signature": {"secrets": [secret]}, **tokens, **more}


def _case(preset: str, one: dict[str, Any]) -> Case:
    form = "form" in one
    body = urlencode(one["form"]).encode() if form else json.dumps(one["body"], ensure_ascii=False).encode()
    kind = "application/x-www-form-urlencoded" if form else "application/json"
    headers = {"Content-Type": kind, **one.get("headers", {})}
    return Case(preset, one["name"], body, headers, one.get("fetched"), one["events"])


# --- recipes --------------------------------------------------------------------------------------


def _mac(content: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.new(SECRET.encode(), content, algorithm).digest()


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _seconds(now: int) -> str:
    return str(now // 1000)


def _hubspot(body: bytes, _: dict[str, str], now: int) -> Any:
    signature = _b64(_mac(f"POST{URL}".encode() + body + str(now).encode()))
    return {"X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": str(now)}, {}


def _mandrill(body: bytes, _: dict[str, str], now: int) -> Any:

    signed = URL + "".join(name + value for name, value in sorted(parse_qsl(body.decode(), keep_blank_values=True)))
    return {"X-Mandrill-Signature": _b64(_mac(signed.encode(), "sha1"))}, {}


def _sendgrid(body: bytes, _: dict[str, str], now: int) -> Any:
    signature = SENDGRID.sign(_seconds(now).encode() + body, ec.ECDSA(SHA256()))
    return {
        "X-Twilio-Email-Event-Webhook-Signature": _b64(signature),
        "X-Twilio-Email-Event-Webhook-Timestamp": _seconds(now),
    }, {}


def _standard(body: bytes, headers: dict[str, str], now: int) -> Any:
    when = clock.to_datetime(now)
    signature = StandardWebhook(STANDARD_SECRET).sign(headers["webhook-id"], when, body.decode())
    return {"webhook-timestamp": _seconds(now), "webhook-signature": f"v1,AAAA {signature}"}, {}


def _stripe(body: bytes, _: dict[str, str], now: int) -> Any:
    stamp = _seconds(now)
    return {"Stripe-Signature": f"t={stamp},v0=6ffbb59b,v1={_mac(f'{stamp}.'.encode() + body).hex()}"}, {}


def _zalo(body: bytes, _: dict[str, str], now: int) -> Any:
    payload = json.loads(body)
    content = payload["app_id"].encode() + body + payload["timestamp"].encode() + SECRET.encode()
    return {"X-ZEvent-Signature": f"mac={hashlib.sha256(content).hexdigest()}"}, {}


SIGNERS: dict[str, Callable[[bytes, dict[str, str], int], tuple[dict[str, str], dict[str, str]]]] = {
    "hubspot": _hubspot,
    "mailchimp": lambda body, headers, now: ({}, {"token": SECRET}),
    "mandrill": _mandrill,
    "meta-leads": lambda body, headers, now: ({"X-Hub-Signature-256": f"sha256={_mac(body).hex()}"}, {}),
    "pos": lambda body, headers, now: ({"X-Signature": f"sha256={_mac(body).hex()}"}, {}),
    "sendgrid": _sendgrid,
    "shopify": lambda body, headers, now: ({"X-Shopify-Hmac-Sha256": _b64(_mac(body))}, {}),
    "standard-webhooks": _standard,
    "stripe": _stripe,
    "tiktok-leads": lambda body, headers, now: ({}, {"token": SECRET}),
    "woocommerce": lambda body, headers, now: ({"X-WC-Webhook-Signature": _b64(_mac(body))}, {}),
    "zalo-oa": _zalo,
}

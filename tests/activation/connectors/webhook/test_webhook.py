"""The webhook: the contract, and signatures that Standard Webhooks' own library accepts."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from activation.connector import Batch
from activation.connectors.webhook import Webhook, WebhookSettings
from activation.requests import HttpRequest
from activation.testing import ConnectorContract, sample_change
from activation.transports.http import revealed

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty two bytes, ok").decode()
URL = "https://shop.example/hooks/cdp"


class TestWebhook(ConnectorContract):
    """One change a request."""

    connector = Webhook()
    settings: ClassVar[dict[str, Any]] = {
        "url": URL,
        "secret": SECRET,
        "headers": {"authorization": "Bearer very-secret-token"},
    }
    cases = Path(__file__).parent / "cases"


class TestBatchedWebhook(ConnectorContract):
    """Several changes a request."""

    connector = Webhook()
    settings: ClassVar[dict[str, Any]] = {"url": URL, "secret": SECRET, "batch": 7}


def built(settings: WebhookSettings, *numbers: int, at: int | None = None) -> list[HttpRequest]:
    """The requests for some changes, at the present moment."""
    changes = [sample_change(number) for number in numbers]
    return list(Webhook().build(settings, Batch("hook", changes, at or time.time_ns() // 1_000_000)))


def headers_of(request: HttpRequest) -> dict[str, str]:
    """The headers, revealed."""
    return {name: revealed(value) for name, value in request.headers.items()}


@given(st.binary(min_size=24, max_size=64), st.integers(1, 4))
def test_the_official_library_verifies_what_is_sent(key: bytes, batch: int) -> None:
    """Any secret, any batch: `standardwebhooks` accepts the signature over the exact bytes."""
    secret = "whsec_" + base64.b64encode(key).decode()
    settings = WebhookSettings(url=URL, secret=SecretStr(secret), batch=batch)

    for request in built(settings, 1, 2, 3):
        assert Verifier(secret).verify(request.body, headers_of(request)) == json.loads(request.body)


def test_a_changed_byte_is_noticed() -> None:
    """A body, id or timestamp that was tampered with does not verify."""
    [request] = built(WebhookSettings(url=URL, secret=SecretStr(SECRET)), 1)
    headers = headers_of(request)

    for body, over in (
        (request.body + b" ", {}),
        (request.body, {"webhook-id": "other"}),
        (request.body, {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}),
    ):
        with pytest.raises(WebhookVerificationError):
            Verifier(SECRET).verify(body, headers | over)


def test_the_body_says_who_and_what() -> None:
    """The body is Standard Webhooks' {type, timestamp, data}, the id is the delivery's."""
    settings = WebhookSettings(url=URL, secret=SecretStr(SECRET))
    change = sample_change(5, action="remove", sequence=4)
    [request] = Webhook().build(settings, Batch("hook", [change], change.at))

    assert request.headers["webhook-id"] == change.id
    assert "." not in change.id
    assert json.loads(request.body) == {
        "type": "segment.exited",
        "timestamp": "2026-11-21T08:30:00.000Z",
        "data": {
            "segment": "vip",
            "profile_id": change.profile_id,
            "sequence": 4,
            "identifiers": change.identifiers,
            "traits": change.traits,
            "trace_id": change.trace_id,
        },
    }


def test_a_batch_keeps_its_id_while_it_holds_the_same_changes() -> None:
    """Other company, other id; the changes' own ids stay."""
    settings = WebhookSettings(url=URL, secret=SecretStr(SECRET), batch=3)
    [first], [again] = built(settings, 1, 2, 3), built(settings, 1, 2, 3, at=1_795_249_900_000)
    [other] = built(settings, 1, 2)

    assert first.headers["webhook-id"] == again.headers["webhook-id"] != other.headers["webhook-id"]
    assert first.body == again.body
    assert [change["id"] for change in json.loads(other.body)["data"]["changes"]] == [f"{n:032x}" for n in (1, 2)]


def test_a_secret_is_made_when_none_is_given() -> None:
    """Two destinations get different secrets, fit to sign with."""
    first, second = WebhookSettings(url=URL), WebhookSettings(url=URL)

    assert first.secret.get_secret_value() != second.secret.get_secret_value()
    assert Verifier(first.secret.get_secret_value())


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "ftp://shop.example"},
        {"url": "shop.example/hook"},
        {"url": "https://user:password@shop.example/"},
        {"url": "https:///hook"},
        {"url": ""},
        {"url": URL, "secret": "whsec_short"},
        {"url": URL, "secret": base64.b64encode(b"x" * 32).decode()},
        {"url": URL, "secret": "whsec_" + base64.b64encode(b"x" * 65).decode()},
        {"url": URL, "headers": {"webhook-id": "mine"}},
        {"url": URL, "headers": {"Content-Length": "0"}},
        {"url": URL, "headers": {"x": "two\r\nlines"}},
        {"url": URL, "headers": {"a b": "c"}},
        {"url": URL, "batch": 0},
        {"url": URL, "unknown": 1},
    ],
)
def test_unusable_settings_are_refused(settings: dict[str, Any]) -> None:
    """What could never work is refused when it is defined."""
    with pytest.raises(ValidationError):
        WebhookSettings.model_validate(settings)

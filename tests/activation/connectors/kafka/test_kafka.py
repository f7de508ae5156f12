"""The Kafka connector: the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from activation.connector import Batch
from activation.connectors.kafka import Kafka, KafkaSettings
from activation.outcomes import Delivered, Failed, Retry
from activation.requests import Reply
from activation.testing import ConnectorContract, sample_change
from activation.transports.kafka import TOO_LARGE


class TestKafka(ConnectorContract):
    """With a login."""

    connector = Kafka()
    settings: ClassVar[dict[str, Any]] = {
        "bootstrap_servers": "kafka-1.example:9093,[2001:db8::1]:9093",
        "topic": "cdp.vip",
        "protocol": "SASL_SSL",
        "mechanism": "SCRAM-SHA-512",
        "username": "cdp",
        "password": "very-secret-password",
    }
    cases = Path(__file__).parent / "cases"


def test_the_key_is_the_profile() -> None:
    """All changes of a person go to one partition, and each carries its delivery id."""
    settings = KafkaSettings(bootstrap_servers="kafka:9092", topic="vip")
    [request] = Kafka().build(settings, Batch("stream", [sample_change(1), sample_change(2)], 0))

    assert [message.key.decode() for message in request.messages] == [sample_change(n).profile_id for n in (1, 2)]
    assert dict(request.messages[1].headers)["id"] == sample_change(2).id.encode()


def test_a_message_that_is_too_large_fails_alone() -> None:
    """What the Kafka will never take is set aside; what it did not take now is tried again."""
    settings = KafkaSettings(bootstrap_servers="kafka:9092", topic="vip")
    [request] = Kafka().build(settings, Batch("stream", [sample_change(n) for n in range(3)], 0))
    reply = Reply(200, 0, refused={1: TOO_LARGE, 2: "NotLeaderForPartitionError"})

    assert Kafka().interpret(settings, request, reply) == [
        Delivered(),
        Failed(TOO_LARGE),
        Retry("NotLeaderForPartitionError"),
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {"bootstrap_servers": "kafka", "topic": "vip"},
        {"bootstrap_servers": "kafka:9092,", "topic": "vip"},
        {"bootstrap_servers": "http://kafka:9092", "topic": "vip"},
        {"bootstrap_servers": "kafka:9092", "topic": "a/b"},
        {"bootstrap_servers": "kafka:9092", "topic": ""},
        {"bootstrap_servers": "kafka:9092", "topic": "vip", "protocol": "SASL_SSL"},
    ],
)
def test_unusable_settings_are_refused(settings: dict[str, Any]) -> None:
    """What could never work is refused when it is defined."""
    with pytest.raises(ValidationError):
        KafkaSettings.model_validate(settings)

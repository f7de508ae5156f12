"""Messages on a topic of somebody's Kafka: the key is the profile's id, so a person's changes keep their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from pydantic import Field, SecretStr, model_validator

from activation.connector import Batch, Capabilities, Change, Connector, ConnectorSettings
from activation.outcomes import Failed, Outcome, Retry
from activation.payload import payload
from activation.requests import KafkaCluster, KafkaMessage, KafkaRequest, Reply, Request
from activation.transports.kafka import TOO_LARGE

SERVER = r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}"


class KafkaSettings(ConnectorSettings):
    """Which Kafka, which topic, and how to log in."""

    addresses = ("bootstrap_servers", "protocol")

    bootstrap_servers: str = Field(
        pattern=rf"^{SERVER}(?:,{SERVER})*$",
        description="Bootstrap servers.",
        examples=["kafka-1.example:9092,kafka-2.example:9092"],
    )
    topic: str = Field(
        pattern=r"^[A-Za-z0-9._-]{1,249}$", description="The topic; it must exist or be made by the broker."
    )
    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How the connection is secured."
    )
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field("PLAIN", description="SASL mechanism.")
    username: str = Field("", description="SASL user.")
    password: SecretStr = Field(SecretStr(""), description="SASL password.")

    @model_validator(mode="after")
    def complete(self) -> KafkaSettings:
        """SASL needs a user and a password."""
        if self.protocol.startswith("SASL") and not (self.username and self.password.get_secret_value()):
            raise ValueError("SASL needs a username and a password")
        return self


class Kafka(Connector[KafkaSettings]):
    """Produces a message for each change."""

    name = "kafka"
    title = "Kafka topic"
    transport = "kafka"
    Settings = KafkaSettings
    capabilities = Capabilities(batch=500, concurrency=1)

    def build(self, settings: KafkaSettings, batch: Batch) -> Sequence[KafkaRequest]:
        """One request; its messages are the JSON of each change, with its id among the headers."""
        cluster = KafkaCluster(
            settings.bootstrap_servers, settings.protocol, settings.mechanism, settings.username, settings.password
        )
        members = tuple(range(len(batch.changes)))
        return [KafkaRequest(members, cluster, settings.topic, tuple(message(change) for change in batch.changes))]

    def interpret(self, settings: KafkaSettings, request: Request, reply: Reply) -> Sequence[Outcome]:
        """What a broker did not take is tried again, but for a message that will always be too large."""
        outcomes = super().interpret(settings, request, reply)
        return [Failed(TOO_LARGE) if outcome == Retry(TOO_LARGE) else outcome for outcome in outcomes]


def message(change: Change) -> KafkaMessage:
    """The change as a message."""
    headers = {"id": change.id, "segment": change.segment, "action": change.action, "trace_id": change.trace_id}
    return KafkaMessage(
        change.profile_id.encode(),
        msgspec.json.encode({"id": change.id, **payload(change)}),
        tuple((name, value.encode()) for name, value in headers.items()),
    )

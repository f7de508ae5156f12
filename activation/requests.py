"""What a connector asks a transport to do, and what came back. Plain values: nothing here touches the outside.

`members` are positions in the batch that the request was built from. Secrets are `SecretStr`, so that no `repr` and no
log line shows them; the transport reveals them at the last moment.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from pydantic import SecretStr


class HttpRequest(Struct, frozen=True):
    """One HTTP request; `url` and header values may be secret."""

    members: tuple[int, ...]
    method: str
    url: str | SecretStr
    headers: Mapping[str, str | SecretStr] = {}
    body: bytes = b""


class Line(Struct, frozen=True):
    """One line of a file, without its line break, and the delivery it stands for."""

    id: str
    text: bytes


class FileRequest(Struct, frozen=True):
    """Lines to append to a file; `heading` is written first into an empty one.

    Each line carries its id from byte `id_at` on. Ids in `doubtful` may be in the file already (an earlier attempt did
    not come to its end) and are looked for first.
    """

    members: tuple[int, ...]
    path: str
    lines: tuple[Line, ...]
    heading: bytes = b""
    id_at: int = 0
    doubtful: frozenset[str] = frozenset()


class KafkaCluster(Struct, frozen=True):
    """How to reach a Kafka. `servers` is `host:port[,host:port]`."""

    servers: str
    protocol: str = "PLAINTEXT"
    mechanism: str = "PLAIN"
    username: str = ""
    password: SecretStr = SecretStr("")


class KafkaMessage(Struct, frozen=True):
    """One message; those with the same key keep their order."""

    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


class KafkaRequest(Struct, frozen=True):
    """Messages for one topic, one a member and in the members' order."""

    members: tuple[int, ...]
    cluster: KafkaCluster
    topic: str
    messages: tuple[KafkaMessage, ...]


Request = HttpRequest | FileRequest | KafkaRequest


class Reply(Struct, frozen=True):
    """What came back at the moment `at`. A file or a topic that took everything answers 200.

    Header names are in lower case; `body` is cut at the transport's limit. `refused` tells why a place of the request
    (0 is its first member) was not taken while others were.
    """

    status: int
    at: int
    headers: Mapping[str, str] = {}
    body: bytes = b""
    refused: Mapping[int, str] = {}

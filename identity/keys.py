"""Where the live graph lies in the state, and how it is written there.

a:<anchor>        the profile it belongs to (16 bytes; `cdp.anchors`, read by everyone)
io:<anchor>       the observation
iv:<type>:<value> the observations that hold an identifier, 16 bytes each; no more are added once it is generic
iv:~:<digest>     the observations that have a blocking key; no more are added once it is too common
ig:<type>:<value> there while an identifier is generic
ip:<profile>      the profile: its observations and what links them, or the device whose anonymous profile it is
ir:<profile>      the profile that absorbed this one
id:<device>       a hash: each slice of time with its session and sign-ins, and every observation made on it
is:<anchor>       the devices on which an observation was made
it, itn           the ties, and their version
iq                profiles with refused links, by version
in                the last version given out
ion               how many observations there are
iw, iwn           the model by which people are made, and its number: one more than where its definition lies on the log
iws               the number of the model by which all of them were made
iwl, iwq          who learns, or makes everybody anew; there while somebody asks for a new model
inc               how many changes of the graph took place
im:{m}:…          messageIds (`identity.dedupe`): a hash of their records, a list of when which came, a set of those in
                  it twice, and the secret in their digests; in a cluster one slot has them, by the braces
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from struct import Struct as Layout
from typing import NamedTuple

import msgspec
from msgspec import Struct

from identity.identifiers import Value
from identity.links import Link, Refusal
from identity.matching.model import Model
from identity.observations import ANCHOR, Anchor, Observation
from identity.succession import ProfileId
from identity.ties import Tie

EVERYONE = b"u"  # the field of a device's hash that holds each observation ever made on it, until they are a crowd's

BY_HAND = "hand"  # the outbox of what people decide
LEARNT = "learner"  # the outbox of what a new model changes

_period = Layout(">I")
encode = msgspec.msgpack.Encoder().encode


class Profile(Struct, array_like=True, gc=False):
    """A profile's record. `since`: when the oldest of its anchors was received. An anonymous one has a `device`."""

    since: int
    members: tuple[Anchor, ...] = ()
    links: tuple[Link, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    device: str = ""


class Slice(Struct, array_like=True, gc=False):
    """A device's slice of time. `session`: when its anonymous activity was first received, 0 if there was none.

    `signins`: per observation when it was first made in the slice (event time), and when that was first received.
    """

    session: int = 0
    signins: dict[Anchor, tuple[int, int]] = {}


encode_model = msgspec.json.Encoder().encode
decode_model = msgspec.json.Decoder(Model).decode
decode_observation = msgspec.msgpack.Decoder(Observation).decode
decode_profile = msgspec.msgpack.Decoder(Profile).decode
decode_slice = msgspec.msgpack.Decoder(Slice).decode
decode_tie = msgspec.msgpack.Decoder(Tie).decode


class MessageKeys(NamedTuple):
    """Where messageIds are remembered."""

    secret: bytes
    records: bytes
    order: bytes
    twice: bytes


class Keys:
    """The keys under an installation's prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix.encode()
        self.ties = self.prefix + b"it"
        self.ties_version = self.prefix + b"itn"
        self.review = self.prefix + b"iq"
        self.version = self.prefix + b"in"
        self.changes = self.prefix + b"inc"
        self.rules = self.prefix + b"il"
        self.count = self.prefix + b"ion"
        self.model = self.prefix + b"iw"
        self.model_number = self.prefix + b"iwn"
        self.made_by = self.prefix + b"iws"
        self.lease = self.prefix + b"iwl"
        self.asked = self.prefix + b"iwq"
        self.messages = MessageKeys(*(self.prefix + b"im:{m}:" + part.encode() for part in MessageKeys._fields))

    def owner(self, anchor: Anchor) -> bytes:
        """The profile of an anchor; the same key as `cdp.anchors.anchor_key`."""
        return self.prefix + b"a:" + anchor

    def observation(self, anchor: Anchor) -> bytes:
        """An observation."""
        return self.prefix + b"io:" + anchor

    def posting(self, value: Value) -> bytes:
        """The observations that hold an identifier."""
        return self.prefix + f"iv:{value[0]}:{value[1]}".encode()

    def generic(self, value: Value) -> bytes:
        """Whether an identifier is generic."""
        return self.prefix + f"ig:{value[0]}:{value[1]}".encode()

    def profile(self, profile: ProfileId) -> bytes:
        """A profile's record."""
        return self.prefix + b"ip:" + profile

    def absorbed(self, profile: ProfileId) -> bytes:
        """Who absorbed a profile."""
        return self.prefix + b"ir:" + profile

    def device(self, device: str) -> bytes:
        """A device."""
        return self.prefix + b"id:" + device.encode()

    def visited(self, anchor: Anchor) -> bytes:
        """The devices on which an observation was made."""
        return self.prefix + b"is:" + anchor

    def outbox(self, owner: int | str) -> str:
        """What waits to be appended to identity.changes, by whoever has a partition of events.raw, or by hand."""
        return f"{self.prefix.decode()}outbox:resolver:{owner}"


def anchors(packed: bytes | None) -> list[Anchor]:
    """16 bytes each → anchors."""
    packed = packed or b""
    return [packed[place : place + ANCHOR] for place in range(0, len(packed), ANCHOR)]


def pack(period: int) -> bytes:
    """A slice of time → its field in a device's hash."""
    return _period.pack(period)


def unpack(field: bytes) -> int:
    """The field → the slice of time."""
    return int(_period.unpack(field)[0])


def glob(start: bytes) -> bytes:
    """A pattern for every key that begins like this."""
    return re.sub(rb"([*?\[\]\\\\])", rb"\\\1", start) + b"*"


def pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """A hash as a script returns it → a dictionary."""
    return dict(zip(flat[::2], flat[1::2], strict=True))

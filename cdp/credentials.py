"""What somebody on this machine needs to begin, kept in `credentials.json` in the data folder.

It is in clear, readable by its owner alone: so the service can print it again, and the command line finds the service.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct

FILE = "credentials.json"


class Credentials(Struct, omit_defaults=True):
    """What somebody on this machine needs to begin. What is not known is empty."""

    url: str = ""
    write_key: str = ""
    admin_token: str = ""


def read(folder: Path) -> Credentials:
    """The credentials kept in the data folder; empty ones when there are none."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Credentials)
    except (OSError, msgspec.MsgspecError):
        return Credentials()


def write(folder: Path, credentials: Credentials) -> None:
    """Keep the credentials, readable by the owner alone; the old file stays whole until the new one is."""
    path, fresh = folder / FILE, folder / f"{FILE}.{os.getpid()}"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(credentials) + b"\n")
    fresh.replace(path)

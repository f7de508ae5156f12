"""Secrets at rest: AES-256-GCM under a master key that never enters the log, the state or the warehouse.

A sealed secret is `v1.<key id>.<nonce and ciphertext>`, bound to its place (definition and field), so that it opens
nowhere else. The master key is `CDP_VAULT__MASTER_KEY`, or the file `master.key` in the data folder, made at
first use.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel, SecretStr

from cdp.errors import MisconfiguredError
from cdp.settings import Settings

KEY_BYTES = 32
NONCE_BYTES = 12
FILE = "master.key"
# A definition shows MASK where it has a secret, and stores the secret as {SEALED: text}.
MASK = "**********"
SEALED = "$sealed"


class Vault:
    """Seals and opens secrets."""

    def __init__(self, key: bytes) -> None:
        """`key` is 32 bytes."""
        self.key_id = hashlib.sha256(b"streamcdp master key " + key).hexdigest()[:12]
        self._cipher = AESGCM(key)

    def __repr__(self) -> str:
        return f"Vault({self.key_id})"

    def seal(self, secret: str, place: str) -> str:
        """The secret as it may be stored, for this place only."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        blob = nonce + self._cipher.encrypt(nonce, secret.encode(), place.encode())
        return f"v1.{self.key_id}.{base64.urlsafe_b64encode(blob).decode()}"

    def open(self, sealed: str, place: str) -> str:
        """The secret. Raises `MisconfiguredError` if it was sealed under another key or for another place."""
        version, key_id, text = [*sealed.split("."), "", ""][:3]
        if version != "v1" or key_id != self.key_id:
            raise MisconfiguredError(
                f"The secret {place} was sealed under the master key {key_id or '?'}, but {self.key_id} is in force: "
                "give every process the same CDP_VAULT__MASTER_KEY, or set the secret again."
            )
        blob = base64.urlsafe_b64decode(text)
        try:
            return self._cipher.decrypt(blob[:NONCE_BYTES], blob[NONCE_BYTES:], place.encode()).decode()
        except InvalidTag:
            raise MisconfiguredError(f"The secret {place} is damaged: set it again.") from None


def open_vault(settings: Settings) -> Vault:
    """The vault under the master key in force. Raises `MisconfiguredError` for a key that is none."""
    given = settings.vault.master_key
    if given is not None:
        return Vault(_decoded(given.get_secret_value(), "CDP_VAULT__MASTER_KEY"))
    path = settings.data_dir / FILE
    if not path.exists():
        _create(path)
    return Vault(_decoded(path.read_text(encoding="ascii"), str(path)))


def sealed(value: Any, vault: Vault, place: str) -> Any:
    """The value as it may be stored: each secret sealed for its place."""
    if isinstance(value, SecretStr):
        return {SEALED: vault.seal(value.get_secret_value(), place)}
    if isinstance(value, Mapping):
        return {name: sealed(part, vault, f"{place}/{name}") for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [sealed(part, vault, f"{place}/{index}") for index, part in enumerate(value)]
    return value


def opened(value: Any, vault: Vault, place: str) -> Any:
    """The value with its secrets in the clear. Raises `MisconfiguredError`."""
    if isinstance(value, Mapping):
        if is_sealed(value):
            return vault.open(value[SEALED], place)
        return {name: opened(part, vault, f"{place}/{name}") for name, part in value.items()}
    if isinstance(value, list):
        return [opened(part, vault, f"{place}/{index}") for index, part in enumerate(value)]
    return value


def masked(value: Any) -> Any:
    """The stored value as the API shows it: the mask in the place of each secret."""
    if isinstance(value, Mapping):
        return MASK if is_sealed(value) else {name: masked(part) for name, part in value.items()}
    return [masked(part) for part in value] if isinstance(value, list) else value


def restored(given: Any, stored: Any) -> Any:
    """What was given, with each mask replaced by what is stored."""
    if isinstance(given, Mapping):
        known = stored if isinstance(stored, Mapping) else {}
        return {name: restored(part, known.get(name)) for name, part in given.items()}
    return stored if given == MASK and stored is not None else given


def secrets_in(value: Any) -> list[str]:
    """The secrets inside settings, in the clear."""
    if isinstance(value, SecretStr):
        return [value.get_secret_value()] if value.get_secret_value() else []
    if isinstance(value, BaseModel):
        return secrets_in({name: getattr(value, name) for name in type(value).model_fields})
    if isinstance(value, Mapping):
        return [secret for part in value.values() for secret in secrets_in(part)]
    if isinstance(value, (list, tuple)):
        return [secret for part in value for secret in secrets_in(part)]
    return []


def is_sealed(value: Any) -> bool:
    """Whether the stored value is a secret."""
    return isinstance(value, Mapping) and set(value) == {SEALED}


def _decoded(text: str, origin: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise MisconfiguredError(
            f"{origin} must be 32 random bytes in base64, for example from `openssl rand -base64 32`."
        )
    return key


def _create(path: Path) -> None:
    """Write a fresh key whole or not at all; of several processes that try, the first one's key stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{FILE}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()

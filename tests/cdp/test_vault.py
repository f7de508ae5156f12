"""Secrets at rest."""

from __future__ import annotations

import base64
import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from cdp.errors import MisconfiguredError
from cdp.settings import Settings
from cdp.vault import FILE, Vault, open_vault

KEY = bytes(range(32))


def configured(tmp_path: Path, key: str | None = None) -> Settings:
    """Settings with a data folder of the test's own."""
    return Settings.load(data_dir=tmp_path, vault={"master_key": SecretStr(key) if key else None})


@given(st.text(), st.text())
def test_what_was_sealed_opens(secret: str, place: str) -> None:
    """Any secret comes back, and its text does not stand in the sealed one."""
    sealed = Vault(KEY).seal(secret, place)

    assert Vault(KEY).open(sealed, place) == secret
    assert len(secret) < 4 or secret not in sealed


def test_each_sealing_differs() -> None:
    """Equal secrets cannot be told to be equal."""
    vault = Vault(KEY)

    assert vault.seal("a", "hook/secret") != vault.seal("a", "hook/secret")
    assert vault.seal("a", "hook/secret").split(".")[1] == vault.key_id


def test_a_secret_opens_in_its_own_place_only() -> None:
    """A sealed secret that was copied to another destination is useless."""
    vault = Vault(KEY)
    with pytest.raises(MisconfiguredError, match="damaged"):
        vault.open(vault.seal("a", "hook/secret"), "other/secret")


@pytest.mark.parametrize("damage", ["", "v1", "v2.x.y", "plain", "v1.0123456789ab.AAAA"])
def test_a_secret_under_another_key_says_what_to_do(damage: str) -> None:
    """The error names the setting, not the secret."""
    sealed = damage or Vault(b"x" * 32).seal("topsecret", "hook/secret")
    with pytest.raises(MisconfiguredError, match="CDP_VAULT__MASTER_KEY") as error:
        Vault(KEY).open(sealed, "hook/secret")

    assert "topsecret" not in error.value.message


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    """The file is 0600, and the second start finds the same key."""
    first, second = open_vault(configured(tmp_path)), open_vault(configured(tmp_path))

    assert first.key_id == second.key_id
    assert stat.S_IMODE(os.stat(tmp_path / FILE).st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_processes_that_start_together_agree_on_a_key(tmp_path: Path) -> None:
    """Whoever links its draft first wins."""
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.append(open_vault(configured(tmp_path)).key_id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(ids) == 8 and len(set(ids)) == 1


def test_a_given_key_is_used_and_never_written(tmp_path: Path) -> None:
    """The setting wins over the file."""
    vault = open_vault(configured(tmp_path, base64.b64encode(KEY).decode()))

    assert vault.key_id == Vault(KEY).key_id
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["short", "!!!", base64.b64encode(b"x" * 31).decode()])
def test_a_bad_key_is_refused(tmp_path: Path, key: str) -> None:
    """A key that is not 32 bytes in base64 says how to make one, and is not repeated."""
    with pytest.raises(MisconfiguredError, match="openssl rand") as error:
        open_vault(configured(tmp_path, key))

    assert key not in error.value.message

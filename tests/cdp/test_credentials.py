"""Tests of the credentials that the data folder keeps."""

from __future__ import annotations

import stat
from pathlib import Path

from cdp import credentials
from cdp.credentials import Credentials


def test_credentials_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    """They survive being written and read, in a file of mode 0600."""
    given = Credentials(url="http://127.0.0.1:8000", write_key="wk_1", admin_token="cdp_1")
    for _ in range(2):
        credentials.write(tmp_path, given)

    assert credentials.read(tmp_path) == given
    assert stat.S_IMODE((tmp_path / credentials.FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [credentials.FILE]


def test_damaged_credentials_count_as_none(tmp_path: Path) -> None:
    """A file that is no JSON does not stop the start."""
    (tmp_path / credentials.FILE).write_text("{")

    assert credentials.read(tmp_path) == Credentials()

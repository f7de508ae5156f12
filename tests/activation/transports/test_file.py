"""The file transport: each line once, whole, and inside the folder."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activation.connector import Batch
from activation.connectors.file import File, FileSettings
from activation.requests import FileRequest, Line
from activation.testing import sample_change
from activation.transports import file as transports_file
from activation.transports.file import FileTransport, append, confined
from cdp.errors import MisconfiguredError, TransientError
from cdp.settings import Settings
from cdp.testing import FrozenClock


def transport(folder: Path, **activation: object) -> FileTransport:
    """A transport whose data folder is `folder`."""
    return FileTransport(Settings.load(data_dir=folder, activation=activation), FrozenClock())


def request(*numbers: int, doubtful: tuple[int, ...] = (), path: str = "a.jsonl", heading: bytes = b"") -> FileRequest:
    """Lines with these ids."""
    lines = tuple(Line(f"{n:032x}", b'{"id":"%032x","text":"%b"}' % (n, b"\xc3\xa9" * (n % 7))) for n in numbers)
    return FileRequest(
        tuple(range(len(numbers))),
        path,
        lines,
        heading=heading,
        id_at=7,
        doubtful=frozenset(f"{n:032x}" for n in doubtful),
    )


def ids(place: Path) -> list[int]:
    """The ids in a file of JSON lines, in their order. Fails for a torn line."""
    return [int(json.loads(line)["id"], 16) for line in place.read_bytes().splitlines()]


def read(place: Path) -> list[str]:
    """The lines of a file."""
    return place.read_text(encoding="utf-8").splitlines()


async def test_lines_are_appended(tmp_path: Path) -> None:
    """Each request adds its lines; the file is its owner's alone."""
    sender = transport(tmp_path)
    await sender.send(request(1, 2))
    reply = await sender.send(request(3, path="./a.jsonl"))

    place = tmp_path / "exports" / "a.jsonl"
    assert reply.status == 200
    assert ids(place) == [1, 2, 3]
    assert place.stat().st_mode & 0o777 == 0o600


def test_a_heading_is_written_once(tmp_path: Path) -> None:
    """Into an empty file only."""
    place = tmp_path / "a.csv"
    append(place, request(1, heading=b"head"))
    append(place, request(2, heading=b"head"))

    assert place.read_bytes().count(b"head") == 1
    assert place.read_bytes().startswith(b"head\n")


def test_a_repeated_attempt_writes_no_line_twice(tmp_path: Path) -> None:
    """Lines of an attempt that nobody acknowledged are found, in whatever company they come again."""
    place = tmp_path / "a.jsonl"
    append(place, request(1, 2, 3))
    append(place, request(4))

    assert append(place, request(3, 5, 1, doubtful=(1, 3))) == 1
    assert ids(place) == [1, 2, 3, 4, 5]


def test_an_id_inside_a_line_is_not_its_id(tmp_path: Path) -> None:
    """Only the beginning of a line tells what it stands for."""
    place = tmp_path / "a.jsonl"
    text = b'{"id":"%032x","text":"%032x"}' % (1, 2)
    append(place, FileRequest((0,), "a.jsonl", (Line(f"{1:032x}", text),), id_at=7))

    assert append(place, request(2, doubtful=(2,))) == 1


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8, unique=True), st.integers(0, 400))
def test_a_torn_write_is_mended(numbers: list[int], cut: int) -> None:
    """Wherever a killed process stopped writing, the next attempt leaves every line there once and whole."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "a.jsonl"
        append(place, request(99))
        before = place.stat().st_size
        append(place, request(*numbers))
        os.truncate(place, min(before + cut, place.stat().st_size))
        append(place, request(*numbers, doubtful=tuple(numbers)))

        assert sorted(ids(place)) == sorted([99, *numbers])


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written of a request before the disk was full is taken back."""
    place = tmp_path / "a.jsonl"
    append(place, request(1))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(transports_file.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        append(place, request(2, 3))
    monkeypatch.undo()

    assert ids(place) == [1]


async def test_a_file_that_cannot_be_written_is_transient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk may have room again later."""

    def full(place: Path, request: FileRequest) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(transports_file, "append", full)
    with pytest.raises(TransientError, match="No space left"):
        await transport(tmp_path).send(request(1))


@pytest.mark.parametrize(
    "path",
    ["../a", "x/../../a", "/etc/passwd", "..", ".", "", "a/../..", "\0", "x/..", "link/a", "link"],
)
def test_no_path_leads_out(tmp_path: Path, path: str) -> None:
    """Dots, absolute paths and links stay inside the folder or are refused."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "link").symlink_to(outside)
    with pytest.raises(MisconfiguredError):
        asyncio.run(transport(tmp_path).send(request(1, path=path)))

    assert list(outside.iterdir()) == []


async def test_other_folders_can_be_allowed(tmp_path: Path) -> None:
    """An operator may let files go anywhere."""
    place = tmp_path / "elsewhere" / "a.jsonl"
    await transport(tmp_path / "data", allow_any_path=True).send(request(1, path=str(place)))

    assert ids(place) == [1]
    assert confined(tmp_path, "a/b") == tmp_path / "a" / "b"


async def test_any_batching_of_repeated_attempts_gives_each_line_once(tmp_path: Path) -> None:
    """Changes that come again and again, in changing company, after attempts that were cut short: once each."""
    rng, settings, sender = random.Random(7), FileSettings(path="a.csv", format="csv"), transport(tmp_path)
    attempts = dict.fromkeys(range(200), 0)
    waiting = list(attempts)
    while waiting:
        rng.shuffle(waiting)
        batch, waiting = waiting[:17], waiting[17:]
        for number in batch:
            attempts[number] += 1
        changes = [sample_change(number, attempt=attempts[number]) for number in batch]
        [built] = File().build(settings, Batch("x", changes, 0))
        await sender.send(built)
        waiting += [number for number in batch if rng.random() < 0.4]  # the acknowledgement was lost

    heading, *rows = read(tmp_path / "exports" / "a.csv")
    assert heading.startswith("id,")
    assert sorted(row.split(",")[0] for row in rows) == sorted(sample_change(number).id for number in attempts)

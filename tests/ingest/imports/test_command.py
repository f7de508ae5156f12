"""Tests of `cdp import` and its neighbours, spoken to a running product."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cdp.cli import imports
from cdp.cli.commands import app
from cdp.cli.imports import lines_of, read_mapping, to_toml
from cdp.cli.output import Output
from cdp.errors import CdpError, InvalidError
from tests.ingest.imports.files import as_csv, kept
from tests.ingest.imports.test_reading import CUSTOMERS, staged
from tests.processes import ADMIN_TOKEN, Embedded, events
from tests.waiting import until

ROWS = 4_000
MAPPING: dict[str, Any] = {
    "kind": "customers",
    "header": 3,
    "sheet": "",
    "columns": {
        'Họ "tên"\n': {"field": "name", "type": "", "order": "", "decimal": ""},
        "Ngày sinh": {"field": "birthday", "type": "", "order": "dmy", "decimal": ""},
        "STT": "skip",
    },
}
KEPT = {
    "kind": "customers",
    "header": 3,
    "columns": {'Họ "tên"\n': "name", "Ngày sinh": {"field": "birthday", "order": "dmy"}, "STT": "skip"},
}


def test_a_mapping_written_for_people_is_read_back(tmp_path: Path) -> None:
    """As TOML, whatever stands in a name; as JSON too; what is not set is left out."""
    toml, plain = tmp_path / "m.toml", tmp_path / "m.json"
    toml.write_text(to_toml(MAPPING), encoding="utf-8")
    plain.write_text(json.dumps(KEPT), encoding="utf-8")

    assert read_mapping(toml) == read_mapping(plain) == KEPT


@pytest.mark.parametrize(
    ("name", "text", "words"), [("m.toml", "a = ", "not valid TOML"), ("m.json", "[]", "must hold")]
)
def test_a_mapping_that_cannot_be_read_is_told(tmp_path: Path, name: str, text: str, words: str) -> None:
    """With the file's name."""
    (tmp_path / name).write_text(text)

    with pytest.raises(InvalidError, match=words):
        read_mapping(tmp_path / name)


def test_a_report_for_people_says_what_is_wrong(tmp_path: Path) -> None:
    """In lines that can be read without a manual."""
    rows = [*CUSTOMERS, CUSTOMERS[1], [3, "", "Ai", "123", "lan@@shop", "", "", "", "", "", ""]]
    report = staged(tmp_path, as_csv(rows))[1]["report"]
    text = "\n".join(lines_of(report))

    assert "4 rows of customers make 3 events." in text
    assert "Repeats: 1 of what an earlier row says (rows 4)." in text
    assert "phone: 1 of 3 are bad, such as row 5 (1••). This is no telephone number." in text
    assert "Will be set aside: 1 (missing_identity), such as row 5" in text


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """`cdp up`, in a process of its own."""
    running = Embedded(tmp_path_factory.mktemp("product"), CDP_IMPORTS__WAITING_EVENTS="500")
    running.start()
    yield running
    running.stop()


def said(product: Embedded, *words: str, status: int = 0) -> str:
    """What a command says; where it is to fail, why."""
    done = CliRunner().invoke(app, list(words), env={"CDP_URL": product.api_url, "CDP_TOKEN": ADMIN_TOKEN})
    if status:
        assert isinstance(done.exception, CdpError), done.output
        return done.exception.message
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def test_a_file_is_looked_at_then_imported(product: Embedded, tmp_path: Path) -> None:
    """With the mapping kept as a file and under a name; a second time it is there already."""
    file, mapping = str(kept(tmp_path, as_csv(CUSTOMERS), "khach.csv")), str(tmp_path / "m.toml")
    looked = said(product, "import", file, "--dry-run", "--save-mapping", mapping)
    refused = said(product, "import", file, status=1)
    done = json.loads(said(product, "import", file, "--yes", "--json", "--mapping", mapping, "--save-mapping", "khach"))
    again = said(product, "import", file, "--yes", "--mapping", "khach")

    assert "SĐT" in looked and "2 rows of customers make 2 events." in looked and "Nothing was sent." in looked
    assert "--yes to import, or --dry-run" in refused
    assert (done["import"]["state"], done["import"]["accepted"], done["report"]["rows"]) == ("finished", 2, 2)
    assert "was imported already, as" in again
    assert '"Ngày sinh" = {field = "birthday", order = "dmy"}' in said(product, "mapping", "get", "khach")
    assert "khach" in said(product, "mapping", "list") and "khach.csv" in said(product, "imports", "list")


def test_imports_are_managed_by_their_keys(product: Embedded, tmp_path: Path) -> None:
    """Start what was looked at, cancel, delete; a bad file ends with its reason."""
    rows = [["Mã KH", "SĐT"], ["KH77", "0905777771"]]
    first = str(kept(tmp_path, as_csv(rows), "a.csv"))
    second = str(kept(tmp_path, as_csv([*rows, ["KH78", "0905777772"]]), "b.csv"))
    one, two = (
        json.loads(said(product, "import", file, "--dry-run", "--json"))["import"]["key"] for file in (first, second)
    )

    assert "a.csv: 1 events went in." in said(product, "imports", "start", one)
    assert "is cancelled" in said(product, "imports", "cancel", two)
    assert "rows of customers" in said(product, "imports", "report", one)
    assert "cancelled" in said(product, "imports", "get", two)
    said(product, "imports", "delete", two)
    assert "no import called" in said(product, "imports", "get", two, status=1)
    assert "empty" in said(product, "import", str(kept(tmp_path, b" ", "c.csv")), "--yes", status=1)
    assert "No column says whose a row is" in said(
        product, "import", str(kept(tmp_path, b"Ten,Tinh\nLan,Hue\n", "d.csv")), "--yes", status=1
    )


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        (["y"], ["POST start"]),
        (["n"], ["POST cancel"]),
        (["e", "y"], ["PUT mapping", "GET report", "POST start"]),
    ],
)
def test_a_person_decides(monkeypatch: pytest.MonkeyPatch, given: list[str], asked: list[str]) -> None:
    """To import, not to, or to correct what the columns mean first."""
    job = {"key": "k", "problems": [], "mapping": MAPPING, "state": "ready", "rows_read": 1, "rows": 1, "reason": ""}
    service = FakeService(job)
    answers = iter(given)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: next(answers))
    monkeypatch.setenv("VISUAL", "sed -i s/skip/traits.stt/")

    with contextlib.suppress(typer.Exit):
        imports._decided(service, Output(as_json=False), job)  # type: ignore[arg-type]

    assert [word for word in service.asked if word != "GET k"] == asked
    assert service.put_columns.get("STT", "traits.stt") == "traits.stt"


class FakeService:
    """A service that notes what it was asked."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self.asked: list[str] = []
        self.put_columns: dict[str, Any] = {}

    def get(self, path: str) -> Any:
        """An import, or an empty report."""
        name = path.rpartition("/")[2]
        self.asked.append(f"GET {name}")
        return REPORT if name == "report" else self._job

    def post(self, path: str) -> Any:
        """Something is decided."""
        self.asked.append(f"POST {path.rpartition('/')[2]}")
        return self._job

    def put(self, path: str, body: Any) -> Any:
        """A mapping is corrected."""
        self.asked.append(f"PUT {path.rpartition('/')[2]}")
        self.put_columns = body["columns"]
        return self._job


EMPTY: dict[str, Any] = {"names": {}, "shared": {}, "values": {}, "quarantine": {}, "columns": [], "missing": []}
REPORT = {"rows": 1, "kind": "customers", "events": 1, "first_at": None, "people": None, **EMPTY}
REPORT |= {"repeats": {"count": 0, "rows": []}, "empty_columns": [], "notes": [], "problems": []}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_an_import_survives_a_kill(product: Embedded, tmp_path: Path) -> None:
    """The service is killed while it sends, and started again: every row is stored once, and the command ends well."""
    rows = [["Mã KH", "Họ tên", "SĐT"], *([f"KH{n}", f"Khách {n}", f"0906{n:06d}"] for n in range(20, 20 + ROWS))]
    file = kept(tmp_path, as_csv(rows), "nhieu.csv")

    def half() -> bool:
        [latest] = product.api("GET", "/api/v1/imports?limit=1").json()["items"]
        return bool(latest["name"] == file.name and 0 < latest["sent"] < ROWS)

    arguments = [sys.executable, "-c", "from cdp.cli import main; main()", "import", str(file), "--yes", "--json"]
    environment = {**os.environ, "CDP_URL": product.api_url, "CDP_TOKEN": ADMIN_TOKEN}
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, env=environment, text=True, stdout=pipe, stderr=pipe) as running:
        until(half, timeout=60)
        product.processes["up"].kill()
        product.start()
        out, errors = running.communicate(timeout=120)
    assert running.returncode == 0, errors
    done = json.loads(out)["import"]
    stored = Counter(event["message_id"] for event in events(product) if event["trace_id"] == done["trace_id"])

    assert (done["state"], done["sent"], done["unchanged"]) == ("finished", ROWS, 0)
    assert len(stored) == ROWS and set(stored.values()) == {1}

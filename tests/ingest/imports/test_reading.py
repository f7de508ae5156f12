"""Tests of a file's way onto the stage: what its columns mean, what its rows become, what is reported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from cdp.records import encode
from ingest.imports.reading import RESULT, TASK, Task, read
from ingest.imports.stage import Stage, Staged
from tests.ingest.imports.files import Rows, as_csv, as_jsonl, as_xlsx, kept

QUICK = examples(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])

CUSTOMERS = [
    [
        "STT",
        "Mã KH",
        "Họ tên",
        "SĐT",
        "Email",
        "Ngày sinh",
        "Giới tính",
        "Phường/Xã",
        "Tỉnh/Thành",
        "Hạng",
        "Ngày cập nhật",
    ],
    [
        1,
        "KH1",
        "Nguyễn Thị Lan",
        "912345679",
        "lan@shop.vn",
        "25/12/1990",
        "Nữ",
        "Bến Nghé",
        "TP. HCM",
        "Vàng",
        "01/05/2024",
    ],
    [2, "", "Trần Văn Bình", "0905 123 457", "", "01/02/1985", "Nam", "", "Hà Nội", "", ""],
]
ORDERS = [
    ["Mã đơn hàng", "Ngày đặt", "Khách hàng", "SĐT", "Sản phẩm", "SL", "Đơn giá", "Tổng tiền", "Trạng thái"],
    ["DH1", "25/04/2024 10:00", "Lan", "0905123457", "Áo", "1", "100.000", "350.000 ₫", "Hoàn thành"],
    ["DH2", "05/04/2024", "Bình", "0905123458", "Quần", "2", "250.000", "500.000 ₫", "Đã hủy"],
    ["DH1", "25/04/2024 10:00", "Lan", "0905123457", "Mũ", "1", "250.000", "350.000 ₫", "Hoàn thành"],
]


def staged(folder: Path, content: bytes, name: str = "file.csv", **mapping: Any) -> tuple[list[Staged], dict[str, Any]]:
    """What a file becomes: its events, and its mapping and report."""
    kept(folder, content)
    task = Task(name=name, source="pos", region="VN", currency="VND", timezone="+07:00", mapping=mapping)
    result = read(folder, task)
    with Stage(folder / "rows.sqlite") as stage:
        return stage.waiting(1_000_000, 0), result


def body(event: Staged) -> dict[str, Any]:
    """An event, decoded."""
    found: dict[str, Any] = msgspec.json.decode(event.body)
    return found


def test_customers_become_identify_events(tmp_path: Path) -> None:
    """With their account, or known by what else they have; unknown columns are kept, the row's time is the event's."""
    (lan, binh), _ = staged(tmp_path, as_csv(CUSTOMERS))

    assert body(lan) == {
        "type": "identify",
        "userId": "KH1",
        "timestamp": "2024-04-30T17:00:00.000Z",
        "messageId": lan.message_id,
        "traits": {
            "name": "Nguyễn Thị Lan",
            "email": "lan@shop.vn",
            "phone": "0912345679",
            "birthday": "1990-12-25",
            "gender": "female",
            "address": {"ward": "Bến Nghé", "state": "TP. HCM"},
            "hang": "Vàng",
        },
    }
    assert body(binh)["context"] == {"externalIds": [{"type": "phone", "id": "+84905123457"}]}
    assert "userId" not in body(binh) and "timestamp" not in body(binh)


def test_lines_of_an_order_become_one_event(tmp_path: Path) -> None:
    """Wherever they stand in the file; a cancelled order is called so."""
    (first, second), result = staged(tmp_path, as_csv(ORDERS))

    assert body(first) | {"messageId": "", "context": {}} == {
        "type": "track",
        "event": "Order Completed",
        "timestamp": "2024-04-25T03:00:00.000Z",
        "messageId": "",
        "context": {},
        "properties": {
            "order_id": "DH1",
            "total": 350_000,
            "currency": "VND",
            "status": "Hoàn thành",
            "products": [
                {"name": "Áo", "price": 100_000, "quantity": 1},
                {"name": "Mũ", "price": 250_000, "quantity": 1},
            ],
        },
    }
    assert body(first)["context"]["traits"] == {"name": "Lan", "phone": "0905123457"}
    assert body(second)["event"] == "Order Cancelled"
    assert (first.row, second.row, result["report"]["events"]) == (2, 3, 2)


def test_an_order_without_a_total_costs_what_its_lines_cost(tmp_path: Path) -> None:
    """By their own totals, or by price and quantity; totals that differ are those of lines."""
    lines = [["Mã đơn", "SĐT", "SL", "Đơn giá"], ["1", "0905123457", "2", "100.000"], ["1", "", "1", "50.000"]]
    own = [["Mã đơn", "SĐT", "Thành tiền"], ["1", "0905123457", "70.000"], ["1", "", "80.000"]]
    differing = [["Mã đơn", "SĐT", "Tổng tiền"], ["1", "0905123457", "70.000"], ["1", "", "80.000"]]

    totals = [body(staged(tmp_path, as_csv(rows))[0][0])["properties"]["total"] for rows in (lines, own, differing)]

    assert totals == [250_000, 150_000, 150_000]


def test_events_become_track_events(tmp_path: Path) -> None:
    """With their own name, time and properties; numbers stay numbers."""
    rows = [
        ["Sự kiện", "Thời gian", "Mã KH", "Điểm", "Ghi"],
        ["Ghé cửa hàng", "2024-01-02 08:00", "KH1", "15", "007"],
    ] * 2
    (visit,), result = staged(tmp_path, as_csv([*rows[:2]]))

    assert body(visit)["event"] == "Ghé cửa hàng"
    assert body(visit)["timestamp"] == "2024-01-02T01:00:00.000Z"
    assert body(visit)["properties"] == {"diem": 15, "ghi": "007"}
    assert result["mapping"]["kind"] == "events"


def test_events_of_one_name_need_no_column(tmp_path: Path) -> None:
    """The mapping names them."""
    (one,), result = staged(tmp_path, b"phone,date\n0905123457,2024-05-25\n", kind="events", event="Store Visited")

    assert (body(one)["event"], result["report"]["problems"]) == ("Store Visited", [])


def test_the_same_file_gives_the_same_events(tmp_path: Path) -> None:
    """Also after a row was put before it, in another format, and under another name of the file."""
    plain = [row[:5] + row[6:10] for row in CUSTOMERS]
    moved = [plain[0], ["0", "KH0", "Ai", "0905123459", "", "Nữ", "", "", ""], *plain[1:]]
    once = {one.message_id: one.body for one in staged(tmp_path, as_csv(plain))[0]}
    again = {one.message_id: one.body for one in staged(tmp_path, as_csv(moved, encoding="utf-16"), "x.txt")[0]}

    assert once.items() <= again.items() and len(again) == len(once) + 1
    assert {one.message_id for one in staged(tmp_path, as_xlsx(plain))[0]} == once.keys()


def test_an_order_is_known_by_its_number(tmp_path: Path) -> None:
    """With other content it is the same order, and has an id under which it can be told as updated."""
    before, _ = staged(tmp_path, as_csv(ORDERS))
    changed = [*ORDERS[:2], [*ORDERS[2][:-2], "600.000 ₫", "Đã hủy"], ORDERS[3]]
    after, _ = staged(tmp_path, as_csv(changed))

    assert [one.message_id for one in before] == [one.message_id for one in after]
    assert before[0].digest == after[0].digest
    assert before[1].digest != after[1].digest and before[1].updated_id != after[1].updated_id


def test_a_row_that_repeats_another_is_one_event(tmp_path: Path) -> None:
    """It is counted and named."""
    events, result = staged(tmp_path, as_csv([*CUSTOMERS, CUSTOMERS[1], CUSTOMERS[1]]))

    assert len(events) == 2
    assert result["report"]["repeats"] == {"count": 2, "rows": [4, 5]}


def test_what_cannot_be_read_is_set_aside(tmp_path: Path) -> None:
    """With row and column; a bad birthday or e-mail address alone keeps nobody out."""
    bad = [
        [*ORDERS[1][:1], "31/31/2024", *ORDERS[1][2:]],
        ["DH8", *ORDERS[1][1:7], "nhiều", "Mới"],
        ["DH9", *ORDERS[1][1:3], "", *ORDERS[1][4:]],
    ]
    events, result = staged(tmp_path, as_csv([ORDERS[0], *bad, *ORDERS[1:]]))
    troubles = {one.row: one.trouble and (one.trouble.code, one.trouble.column) for one in events}

    assert troubles == {
        2: ("invalid_time", "Ngày đặt"),
        3: ("invalid_amount", "Tổng tiền"),
        4: ("missing_identity", ""),
        6: None,
    }
    assert body(events[0])["timestamp"] == "31/31/2024"
    assert {code: one["count"] for code, one in result["report"]["quarantine"].items()} == {
        "invalid_time": 1,
        "invalid_amount": 1,
        "missing_identity": 1,
    }


def test_the_report_names_what_is_bad_without_showing_it(tmp_path: Path) -> None:
    """Rows and masked values."""
    rows = [*CUSTOMERS, [3, "KH3", "Ai", "123456", "lan@@shop", "99/99/1990", "", "", "", "", ""]]
    _, result = staged(tmp_path, as_csv(rows))
    values = result["report"]["values"]

    assert values["phone"] == {
        "read": 3,
        "bad": 1,
        "examples": [{"row": 4, "value": "123•56", "reason": "This is no telephone number."}],
        "zeros_restored": 1,
    }
    assert (values["email"]["bad"], values["email"]["examples"][0]["row"]) == (1, 4)
    assert (values["birthday"]["bad"], result["report"]["quarantine"]) == (1, {})
    assert "lan@@shop" not in encode(result["report"]).decode()


def test_values_confirm_a_name_or_overrule_it(tmp_path: Path) -> None:
    """A column full of addresses is the address, whatever it is called."""
    rows = [["Liên hệ", "Số", "x"], *([f"a{number}@b.vn", f"0905{number:06d}", "?"] for number in range(20, 40))]
    _, result = staged(tmp_path, as_csv(rows))
    guesses = {one["name"]: (one["field"], one["confidence"]) for one in result["report"]["columns"]}

    assert guesses["Liên hệ"][0] == "email" and guesses["Số"][0] == "phone"
    assert guesses["x"] == ("traits.x", 0.3)
    assert all(one["reason"] for one in result["report"]["columns"])


def test_of_two_telephone_numbers_one_is_the_phone(tmp_path: Path) -> None:
    """The other is kept beside it."""
    rows = [["SĐT", "SĐT phụ"], ["0905123457", "0905123458"]]
    (one,), _ = staged(tmp_path, as_csv(rows))

    assert body(one)["traits"] == {"phone": "0905123457", "sdt_phu": "0905123458"} or "phone" in body(one)["traits"]


def test_one_late_date_tells_the_order_of_all(tmp_path: Path) -> None:
    """However many before it could be read both ways."""
    rows = [["SĐT", "Ngày sinh"], *[["0905123457", f"{1 + number % 12:02d}/02/1990"] for number in range(7_000)]]
    ambiguous = staged(tmp_path, as_csv(rows))[1]
    told = staged(tmp_path, as_csv([*rows, ["0905123458", "02/25/1990"]]))[1]

    assert ambiguous["mapping"]["columns"]["Ngày sinh"]["order"] == "dmy"
    assert any("nothing tells whether days or months come first" in note for note in ambiguous["report"]["notes"])
    assert told["mapping"]["columns"]["Ngày sinh"]["order"] == "mdy"


def test_one_late_amount_tells_the_sign_of_fractions(tmp_path: Path) -> None:
    """`1.500` is one and a half where another line says `12.5`."""
    rows = [["Mã đơn", "SĐT", "Tổng tiền"], ["1", "0905123457", "1.500"]]
    thousands = body(staged(tmp_path, as_csv(rows))[0][0])["properties"]["total"]
    fraction = body(staged(tmp_path, as_csv([*rows, ["2", "0905123457", "12.5"]]))[0][0])["properties"]["total"]

    assert (thousands, fraction) == (1500, 1.5)


def test_typed_cells_mean_what_written_ones_do(tmp_path: Path) -> None:
    """A spreadsheet's date without a format is a number, and a telephone number has lost its zero."""
    rows = [["Họ tên", "SĐT", "Ngày sinh"], ["Lan", 912345679, 33232]]
    (one,), result = staged(tmp_path, as_xlsx(rows), "a.xlsx")

    assert body(one)["traits"] == {"name": "Lan", "phone": "0912345679", "birthday": "1990-12-25"}
    assert result["report"]["values"]["phone"]["zeros_restored"] == 1


def test_a_mapping_that_is_told_stays(tmp_path: Path) -> None:
    """What it leaves out is guessed; a column that is not there is mentioned."""
    columns = {
        "Mã KH": "crm_id",
        "Hạng": "traits.tier",
        "Ngày sinh": {"field": "birthday", "order": "mdy"},
        "Lạ": "skip",
    }
    rows = [[*CUSTOMERS[0]], [*CUSTOMERS[1][:5], "12/25/1990", *CUSTOMERS[1][6:]]]
    (one,), result = staged(tmp_path, as_csv(rows), columns=columns)

    assert body(one)["context"]["externalIds"][0] == {"type": "crm_id", "id": "KH1"}
    assert body(one)["traits"]["tier"] == "Vàng" and body(one)["traits"]["birthday"] == "1990-12-25"
    assert "The mapping names a column 'Lạ', which the file does not have." in result["report"]["notes"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"Ho ten,Tinh\nLan,Hue\n", "No column says whose a row is"),
        (b"SDT,Ngay\n0905123457,2024-01-02\n", "No column names the events"),
    ],
)
def test_what_cannot_be_imported_says_why(tmp_path: Path, content: bytes, problem: str) -> None:
    """Before anything is sent."""
    kind = "events" if b"Ngay" in content else ""
    _, result = staged(tmp_path, content, **({"kind": kind} if kind else {}))

    assert problem in result["report"]["problems"][0]


@QUICK
@given(st.lists(st.tuples(st.sampled_from("ABCDE"), st.integers(1, 9)), min_size=1, max_size=30))
def test_no_line_of_an_order_is_lost(tmp_path: Path, lines: list[tuple[str, int]]) -> None:
    """In whatever order they come: each order has all of its lines, in theirs; orders come as they begin."""
    rows: Rows = [["Mã đơn", "SĐT", "Sản phẩm", "SL"], *([f"DH{key}", "0905123457", "Áo", str(n)] for key, n in lines)]
    events, _ = staged(tmp_path, as_csv(rows))
    found = {body(one)["properties"]["order_id"]: body(one)["properties"]["products"] for one in events}
    expected: dict[str, list[int]] = {}
    for key, count in lines:
        expected.setdefault(f"DH{key}", []).append(count)

    assert {key: [one["quantity"] for one in products] for key, products in found.items()} == expected
    assert list(found) == list(expected)


def test_json_keeps_its_types(tmp_path: Path) -> None:
    """Numbers, truth values and objects stay what they are; `properties` become the properties."""
    rows = [
        ["event", "userId", "timestamp", "properties", "vip"],
        ["Seen", "u1", "2024-01-02T03:04:05Z", {"a": [1]}, True],
    ]
    (one,), _ = staged(tmp_path, as_jsonl(rows), "a.jsonl")

    assert body(one)["properties"] == {"a": [1], "vip": True}


def test_a_process_of_its_own_reads_a_file(tmp_path: Path) -> None:
    """It tells how far it is, and leaves a result; of a bad file, why."""
    command = [sys.executable, "-P", "-m", "ingest.imports.reading", str(tmp_path)]
    task = Task(name="a.csv", source="pos", region="VN", currency="VND", timezone="+07:00", memory_bytes=10**9)
    (tmp_path / TASK).write_bytes(encode(task))

    kept(tmp_path, as_csv(CUSTOMERS))
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1], done.stderr) == (0, '{"rows": 2}', "")
    assert msgspec.json.decode((tmp_path / RESULT).read_bytes())["report"]["rows"] == 2

    kept(tmp_path, b"")
    assert subprocess.run(command, capture_output=True).returncode == 1
    assert msgspec.json.decode((tmp_path / RESULT).read_bytes())["error"]["code"] == "empty_file"

"""What importing large files costs: time, and how much memory the processes grow by.

python -m tests.load.imports                  1,000,000 rows of CSV, 100,000 each of XLSX, JSONL and Parquet: reading
python -m tests.load.imports --send           the CSV all the way: `cdp up`, read, sent, stored; then once more
python -m tests.load.imports --rows 50000     another size
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from cdp.records import encode
from ingest.imports.reading import FILE, RESULT, ROWS, TASK, Task
from tests.processes import Embedded

HEAD = ["STT", "Mã KH", "Họ tên", "SĐT", "Email", "Ngày sinh", "Giới tính", "Địa chỉ", "Tỉnh/Thành", "Hạng", "Chi tiêu"]
FAMILY = ["Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Huỳnh", "Phan", "Vũ", "Võ", "Đặng", "Bùi", "Đỗ", "Hồ", "Ngô"]
GIVEN = ["Lan", "Bình", "Hương", "Tuấn", "Hùng", "Mai", "Phương", "Thảo", "Dũng", "Linh", "Hà", "Nam"]
PROVINCES = ["Hà Nội", "TP. Hồ Chí Minh", "Đà Nẵng", "Cần Thơ", "Hải Phòng", "Nghệ An"]


def people(count: int) -> Iterator[list[object]]:
    """Customers, all different."""
    dice = random.Random(1)
    for number in range(count):
        yield [
            number + 1,
            f"KH{number:07d}",
            f"{dice.choice(FAMILY)} {dice.choice(('Thị', 'Văn', 'Ngọc'))} {dice.choice(GIVEN)}",
            f"09{dice.choice('0136')}{number * 7919 % 10**7:07d}",
            f"kh{number}@shop.vn" if number % 3 else "",
            f"{dice.randint(1, 28):02d}/{dice.randint(1, 12):02d}/{dice.randint(1950, 2005)}",
            dice.choice(("Nam", "Nữ")),
            f"{dice.randint(1, 300)} Lê Lợi",
            dice.choice(PROVINCES),
            dice.choice(("Vàng", "Bạc", "")),
            f"{dice.randint(1, 500) * 10_000:,}".replace(",", "."),
        ]


def write(path: Path, kind: str, count: int) -> None:
    """A file of so many rows, itself written row by row."""
    if kind == "csv":
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            csv.writer(file).writerow(HEAD)
            csv.writer(file).writerows(people(count))
    elif kind == "jsonl":
        with path.open("w", encoding="utf-8") as file:
            for row in people(count):
                file.write(json.dumps(dict(zip(HEAD, row, strict=True)), ensure_ascii=False) + "\n")
    elif kind == "xlsx":
        from openpyxl import Workbook

        book = Workbook(write_only=True)
        sheet = book.create_sheet("Khách")
        sheet.append(HEAD)
        for row in people(count):
            sheet.append(row)
        book.save(path)
    else:
        import pyarrow
        import pyarrow.parquet

        columns = dict(zip(HEAD, zip(*people(count), strict=True), strict=True))
        pyarrow.parquet.write_table(pyarrow.table({name: list(cells) for name, cells in columns.items()}), path)


def read(kind: str, count: int) -> None:
    """Read a file onto its stage as the importer does, in a process of its own, and say what that took."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write(folder / FILE, kind, count)
        task = Task(name=f"a.{kind}", source="pos", region="VN", currency="VND", timezone="+07:00", memory_bytes=10**9)
        (folder / TASK).write_bytes(encode(task))
        idle = _peak("import ingest.imports.reading")
        begin, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        peak = _peak(f"from ingest.imports.reading import main; main(__import__('pathlib').Path({str(folder)!r}))")
        cpu = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - used.ru_utime
        rows = json.loads((folder / RESULT).read_bytes())["report"]["rows"]
        print(
            f"{kind:8} {rows:>9,} rows {(folder / FILE).stat().st_size / 1e6:7.1f} MB   "
            f"{time.monotonic() - begin:6.1f} s, {cpu:6.1f} s of CPU, {cpu / rows * 1e6:5.1f} µs a row   "
            f"peak {peak / 1024:6.1f} MB, {(peak - idle) / 1024:6.1f} MB above an idle one   "
            f"stage {(folder / ROWS).stat().st_size / 1e6:6.1f} MB"
        )


def _peak(code: str) -> int:
    """The most memory, in kilobytes, that a Python which runs this code ever has."""
    told = "; print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    done = subprocess.run([sys.executable, "-c", code + told], capture_output=True, text=True, check=True)
    return int(done.stdout.splitlines()[-2].split()[1])


def send(count: int) -> None:
    """A file from upload to profiles, twice, and how much the service grew by."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write(folder / "khach.csv", "csv", count)
        product = Embedded(folder)
        product.start()
        try:
            for again in ("false", "true"):
                _send(product, folder / "khach.csv", again)
        finally:
            product.stop()


def _send(product: Embedded, file: Path, again: str) -> None:
    pid = product.processes["up"].pid
    before, begin = _resident(pid), time.monotonic()
    query = {"kind": "customers", "source": "default", "name": file.name, "again": again}
    with file.open("rb") as content:
        job = product.api("POST", "/v1/import", params=query, content=content).json()
    peak, seconds = before, dict[str, float]()
    while job["state"] not in ("finished", "failed"):
        time.sleep(0.5)
        seconds[job["state"]] = seconds.get(job["state"], 0.0) + 0.5
        peak = max(peak, _resident(pid))
        job = product.api("GET", f"/api/v1/imports/{job['key']}").json()
    print(
        f"{job['state']}: {job['accepted']:,} went in, {job['unchanged']:,} were there, {job['quarantined']:,} aside; "
        f"{time.monotonic() - begin:.0f} s ({', '.join(f'{state} {spent:.0f}' for state, spent in seconds.items())}); "
        f"the service grew by {(peak - before) / 1024:.0f} MB to {peak / 1024:.0f} MB"
    )


def _resident(pid: int) -> int:
    """How much memory a process has now, in kilobytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def main() -> None:
    """Measure."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--send", action="store_true")
    given = arguments.parse_args()
    if given.send:
        send(given.rows)
        return
    read("csv", given.rows)
    for kind in ("xlsx", "jsonl", "parquet"):
        read(kind, given.rows // 10)


if __name__ == "__main__":
    main()

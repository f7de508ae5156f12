"""A ClickHouse server for tests: the HTTP interface that the real client speaks, answered by chdb.

    python -m tests.clickhouse_http --path FOLDER --port 0        prints `listening on 127.0.0.1:PORT`

A process of its own, because chdb admits one folder per process. Each request runs on a connection of its own, as
settings and the database of one request must not reach the next. `POST /faults` makes coming requests fail (`FAULTS`).
"""

from __future__ import annotations

import argparse
import contextlib
import email.parser
import email.policy
import gzip
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb
import lz4.frame

# Parameters of a request that are no settings of the engine.
TRANSPORT = frozenset(
    {
        "query",
        "database",
        "query_id",
        "session_id",
        "session_timeout",
        "session_check",
        "user",
        "password",
        "compress",
        "decompress",
        "quota_key",
        "role",
        "default_format",
        "wait_end_of_query",
        "buffer_size",
        "client_protocol_version",
        "enable_http_compression",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "cancel_http_readonly_queries_on_client_close",
    }
)
INSERT = re.compile(rb"\s*INSERT\s+INTO\s+.*?\bFORMAT\s+(\w+)[ \t]*;?(?:\r?\n|$)", re.IGNORECASE | re.DOTALL)
FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
CODE = re.compile(r"Code: (\d+)")
STATUSES = {516: 401, 60: 404, 81: 404, 62: 400, 159: 408, 202: 503}

# {"refuse": n}      the next n requests are answered 503 without being run
# {"lose": n}        the next n inserts are run, and the connection is cut instead of an answer
# {"lose_early": n}  the next n inserts are cut off without being run
# {"hang": seconds}  the next insert is run, and answered so much later
FAULTS = ("refuse", "lose", "lose_early", "hang")


class Engine:
    """chdb on one folder, kept open."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._keeper = chdb.connect(path)
        self.time_zone = self._keeper.query("SELECT timezone()", "TabSeparated").bytes().decode().strip()

    def run(self, sql: bytes, *, database: str, settings: Mapping[str, str], parameters: Mapping[str, str]) -> bytes:
        """The answer in the format that the query names, else TabSeparated. Raises `RuntimeError` as chdb words it."""
        connection = chdb.connect(self._path)
        try:
            if database:
                connection.query(f"USE `{database}`", "TabSeparated")
            # readonly comes last: after it nothing can be set.
            for name, value in sorted(settings.items(), key=lambda item: item[0] == "readonly"):
                connection.query(f"SET {name} = '{_escaped(value)}'", "TabSeparated")
            with _infile(sql) as statement:
                answer: bytes = connection.query(statement, "TabSeparated", params=dict(parameters)).bytes() or b""
                return answer
        finally:
            connection.close()


@contextlib.contextmanager
def _infile(sql: bytes) -> Iterator[bytes]:
    """The statement; the rows that follow an INSERT … FORMAT are put in a file, where chdb reads any format."""
    found = INSERT.match(sql)
    if found is None or not sql[found.end() :]:
        yield sql
        return
    with tempfile.NamedTemporaryFile(prefix="clickhouse-http-") as file:
        file.write(sql[found.end() :])
        file.flush()
        head = re.sub(rb"\bFORMAT\s+\w+[ \t]*;?\s*$", b"", found.group(0), flags=re.IGNORECASE)
        yield head + f"FROM INFILE '{file.name}' FORMAT ".encode() + found.group(1)


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path in ("/ping", "/") and "query=" not in self.path:
            self._answer(200, b"Ok.\n", {})
        else:
            self._query(b"")

    def do_POST(self) -> None:
        body = self._body()
        if self.path == "/faults":
            self.server.faults.update(json.loads(body))
            self._answer(200, b"", {})
        else:
            self._query(body)

    def _query(self, body: bytes) -> None:
        fields, body = self._fields(body)
        sql = fields.get("query", "").encode()
        sql = sql + b"\n" + body if sql and body else sql or body
        insert = INSERT.match(sql) is not None
        if self.server.due("refuse"):
            self._answer(503, b"Code: 202. DB::Exception: Too many simultaneous queries. (TOO_MANY)", {}, code=202)
            return
        if insert and self.server.due("lose_early"):
            self._cut()
            return
        try:
            answer = self.server.engine.run(
                sql,
                database=fields.get("database", ""),
                settings={k: v for k, v in fields.items() if k not in TRANSPORT and not k.startswith("param_")},
                parameters={k[len("param_") :]: v for k, v in fields.items() if k.startswith("param_")},
            )
        except Exception as error:  # whatever chdb says goes to the client
            self._refuse(str(error))
            return
        if insert and self.server.due("lose"):
            self._cut()
            return
        if insert and (seconds := self.server.faults.pop("hang", 0)):
            time.sleep(seconds)
        self._succeed(sql, answer, fields)

    def _succeed(self, sql: bytes, answer: bytes, fields: Mapping[str, str]) -> None:
        form = FORMAT.search(sql)
        headers = {
            "X-ClickHouse-Query-Id": fields.get("query_id") or str(uuid.uuid4()),
            "X-ClickHouse-Timezone": self.server.engine.time_zone,
            "X-ClickHouse-Summary": json.dumps({"written_rows": "0", "read_rows": "0"}),
        }
        if answer:
            headers["X-ClickHouse-Format"] = form.group(1).decode() if form else "TabSeparated"
        accepted = self.headers.get("Accept-Encoding", "")
        if fields.get("enable_http_compression") == "1" and answer:
            if "lz4" in accepted:
                answer, headers["Content-Encoding"] = lz4.frame.compress(answer), "lz4"
            elif "gzip" in accepted:
                answer, headers["Content-Encoding"] = gzip.compress(answer, 1), "gzip"
        self._answer(200, answer, headers)

    def _refuse(self, message: str) -> None:
        message = message[max(message.find("Code: "), 0) :]
        found = CODE.search(message)
        code = int(found.group(1)) if found else 1002
        self._answer(STATUSES.get(code, 500), message.encode(), {}, code=code)

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str], *, code: int = 0) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if code:
            self.send_header("X-ClickHouse-Exception-Code", str(code))
        self.send_header("Content-Type", "text/plain; charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _cut(self) -> None:
        self.close_connection = True

    def _fields(self, body: bytes) -> tuple[dict[str, str], bytes]:
        """Parameters of the address and of a form; what is left of the body."""
        fields = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("multipart/form-data"):
            head = f"Content-Type: {kind}\r\n\r\n".encode()
            form: Any = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
            for part in form.iter_parts():
                name = part.get_param("name", header="Content-Disposition")
                fields[str(name)] = part.get_payload(decode=True).decode()
            return fields, b""
        if kind.startswith("application/x-www-form-urlencoded"):
            return fields | dict(parse_qsl(body.decode(), keep_blank_values=True)), b""
        return fields, body

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b"".join(self._chunks())
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        encoding = self.headers.get("Content-Encoding", "")
        if encoding == "lz4":
            return bytes(lz4.frame.decompress(body))
        return gzip.decompress(body) if encoding == "gzip" else body

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def log_message(self, format: str, *args: object) -> None:
        """Silence: the tests speak."""


class Server(ThreadingHTTPServer):
    """Any number of connections, a thread each."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, engine: Engine, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.engine = engine
        self.faults: dict[str, float] = {}
        self._lock = threading.Lock()

    def due(self, fault: str) -> bool:
        """Whether this request suffers the fault; counts it down."""
        with self._lock:
            left = self.faults.get(fault, 0)
            self.faults[fault] = max(left - 1, 0)
            return left > 0


class ClickHouseServer:
    """The server in a process of its own, for fixtures."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def start(self) -> None:
        """Start it, the second time on the port of the first."""
        command = [sys.executable, "-m", "tests.clickhouse_http", "--path", str(self._path), "--port", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("listening"), "the ClickHouse front did not start"
        self.port = int(line.rpartition(":")[2])

    def kill(self) -> None:
        """kill -9, as when the machine goes."""
        assert self._process is not None and self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def dsn(self, database: str, **options: object) -> str:
        """The address of a database; options go to the client."""
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"clickhouse://cdp:secret@127.0.0.1:{self.port}/{database}?{query}".rstrip("?")

    def fault(self, **faults: float) -> None:
        """Make coming requests fail; FAULTS says how."""
        assert set(faults) <= set(FAULTS)
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/faults", json.dumps(faults).encode())
        urllib.request.urlopen(request, timeout=10).close()


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", required=True, help="chdb's folder")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    arguments = parser.parse_args()
    server = Server(Engine(arguments.path), arguments.port)
    print(f"listening on 127.0.0.1:{server.server_address[1]}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()

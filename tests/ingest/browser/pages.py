"""A web server of a shop: each test puts up its own pages, and asks for them by any host's name."""

from __future__ import annotations

import http.server
import mimetypes
import threading
from pathlib import Path
from typing import Any, NamedTuple

SHOP = Path(__file__).parent / "shop"


class Page(NamedTuple):
    """A page, and its headers."""

    html: str
    headers: dict[str, str]


class Pages:
    """Serves `/{name}` and everything below it as the page of that name; `/shop-files/…` from the folder."""

    def __init__(self) -> None:
        self.known: dict[str, Page] = {}
        handler = type("Handler", (_Handler,), {"pages": self.known})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.port: int = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Close the socket."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    pages: dict[str, Page]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        first, _, rest = path.strip("/").partition("/")
        if first == "shop-files" and (file := SHOP / rest).is_file():
            self._answer(200, file.read_bytes(), {"Content-Type": mimetypes.guess_type(file.name)[0] or "text/plain"})
        elif page := self.pages.get(first):
            self._answer(200, page.html.encode(), {"Content-Type": "text/html; charset=utf-8"} | page.headers)
        else:
            self._answer(404, b"", {})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

"""A receiver of webhooks, as a customer of the product would write one."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook


class Receiver:
    """Listens on loopback and keeps every delivery whose signature is right; a wrong one is answered 401."""

    def __init__(self, secret: str) -> None:
        self.accepted: list[dict[str, Any]] = []
        self.refused: list[str] = []
        receiver, verifier = self, Webhook(secret)

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                try:
                    verifier.verify(body, dict(self.headers))
                except Exception as error:
                    receiver.refused.append(str(error))
                    self.send_response(401)
                else:
                    receiver.accepted.append(json.loads(body))
                    self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

"""The running service, as the command line sees it: an HTTP client that knows what refusals mean."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from cdp import credentials
from cdp.errors import CdpError, TransientError
from cdp.settings import Settings


class RefusedError(CdpError):
    """The service said no; the message is its own."""

    code = "refused"

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class UnreachableError(TransientError):
    """No service answers."""

    code = "unreachable"


class Service:
    """Calls the API of a running service. Raises `RefusedError` and `UnreachableError`."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(base_url=self.url, headers=headers, timeout=httpx.Timeout(60, connect=5))

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, /, **query: Any) -> Any:
        """GET; a query parameter of None is left out."""
        return self._ask("GET", path, params=_given(query))

    def put(self, path: str, body: Any) -> Any:
        """PUT a JSON body."""
        return self._ask("PUT", path, json=body)

    def post(self, path: str, body: Any = None, /, **query: Any) -> Any:
        """POST a JSON body."""
        return self._ask("POST", path, json=body, params=_given(query))

    def upload(self, path: str, parts: Iterator[bytes], **query: Any) -> Any:
        """POST what the parts are together, as they come; whoever takes it may take minutes."""
        kind = {"Content-Type": "application/octet-stream"}
        timeout = httpx.Timeout(600, connect=5)
        return self._ask("POST", path, content=parts, params=_given(query), headers=kind, timeout=timeout)

    def delete(self, path: str) -> Any:
        """DELETE."""
        return self._ask("DELETE", path)

    def pages(self, path: str, /, *, limit: int, **query: Any) -> list[Any]:
        """The items of a list, page after page, at most `limit`."""
        items: list[Any] = []
        after: str | None = None
        while len(items) < limit:
            answer = self.get(path, limit=min(limit - len(items), 500), after=after, **query)
            items += answer["items"]
            after = answer.get("next")
            if after is None:
                break
        return items

    @contextmanager
    def lines(self, path: str, query: dict[str, Any], *, endless: bool = False) -> Iterator[Iterator[str]]:
        """The lines of a streamed answer. `endless`: silence is no fault for half a minute."""
        timeout = httpx.Timeout(5, read=40) if endless else self._client.timeout
        with self._reached(), self._client.stream("GET", path, params=_given(query), timeout=timeout) as answer:
            if answer.is_error:
                answer.read()
                raise _refusal(answer)
            yield answer.iter_lines()

    def _ask(self, method: str, path: str, **arguments: Any) -> Any:
        with self._reached():
            answer = self._client.request(method, path, **arguments)
        if answer.is_error:
            raise _refusal(answer)
        if not answer.content:
            return None
        return answer.json() if "json" in answer.headers.get("content-type", "") else answer.text

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise UnreachableError(f"{self.url} did not answer in time.") from error
        except httpx.TransportError as error:
            raise UnreachableError(
                f"Nothing answers at {self.url} ({error}). Start it with `cdp up`, or name it with --url or CDP_URL."
            ) from error


def connect(url: str | None, token: str | None) -> Service:
    """The service at the given address, else the one that runs from this data folder."""
    if url is None or token is None:
        kept = credentials.read(Settings.load().data_dir)
        url = url or kept.url or "http://127.0.0.1:8000"
        token = token or kept.admin_token
    return Service(url, token)


def _given(query: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def _refusal(answer: httpx.Response) -> CdpError:
    try:
        error = answer.json()["error"]
        message = f"{error['path']}: {error['message']}" if error.get("path") else error["message"]
    except (json.JSONDecodeError, KeyError, TypeError):
        message = f"{answer.request.method} {answer.request.url.path} was answered {answer.status_code}."
    if answer.status_code == 401:
        message += " Give one with --token or CDP_TOKEN."
    if answer.status_code == 503:
        return TransientError(message)
    return RefusedError(message, status=answer.status_code)

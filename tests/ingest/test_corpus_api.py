"""Bad input at every route of this wing's API, whatever routes there are: the corpus is made from their own document.

Each operation is asked with odd names in its path, odd values for each parameter, bodies that are no JSON or no object,
and its own documented example with each of its members made odd. Nothing may be answered 5xx, tell a secret, or take
long; an error says what is wrong; and what was there before still works.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI

from cdp.api import create_app
from cdp.auth import ADMIN
from cdp.registry import Registry
from cdp.service import Platform
from cdp.testing import FrozenClock
from cdp.vault import open_vault
from ingest.collector import Collector
from ingest.service import router
from ingest.source import KIND, SourceBody, stored
from ingest.testing import Client, ensure_source
from tests.cdp.apps import TOKEN, add_token
from tests.ingest.conftest import WRITE_KEY
from tests.ingest.corpus_doors import BODY, SECRETS

VICTIM = "victim"
NAMES = [VICTIM, "no-such", "%2e%2e", "%00", "%ff", "%C3%A9", "x" * 300, "%27%3B%20DROP%20TABLE%20events%3B--"]
VALUES = [
    "",
    "%00",
    "%ff%fe",
    "-1",
    "0",
    "1e999",
    "99999999999999999999",
    "x" * 3_000,
    "'; DROP TABLE events; --",
    "\u202e",
]
BODIES = [
    *(
        b"",
        b"null",
        b"[]",
        b"5",
        b'"x"',
        b"{",
        b"{}",
        b"\xff\xfe",
        b"\x00",
        b'{"x":1}',
        b'{"key":"\\ud83d","name":"\\u0000"}',
    ),
    *(
        b"[" * 100_000,
        b"[" * 50_000 + b"]" * 50_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"name":NaN}',
        b'{"name":1e999}',
    ),
    b"\xef\xbb\xbf{}",
    json.dumps({f"k{n}": n for n in range(20_000)}).encode(),
]
ODD: list[Any] = [
    None,
    -1,
    2**70,
    True,
    "",
    "\x00",
    "x" * 50_000,
    [],
    [None, {}],
    {},
    {"$ref": "#"},
    {"a": {"b": [[[]]]}},
]
# Deleting the source under test is no misuse.
DESTRUCTIVE = frozenset({"delete"})


@pytest.fixture
async def app(platform: Platform, registry: Registry, clock: FrozenClock) -> FastAPI:
    """The API on real parts, with a source that has secrets and one that others use."""
    await ensure_source(registry, WRITE_KEY, "test", clock=clock, key="shop")
    entry = await ensure_source(registry, "wk_victim_0123456789", "test", clock=clock, key=VICTIM)
    body = stored(SourceBody.model_validate(BODY), lambda: open_vault(platform.settings), VICTIM, {})
    await registry.put(KIND, VICTIM, entry.body | body)
    await add_token(platform, TOKEN, ADMIN)
    platform.roles.append(Collector(platform))
    return create_app(platform, {}, [router])


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """The API with the admin's token; what it raises becomes an answer, as behind a server."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://cdp", headers=headers) as client:
        yield client


class Request:
    """One request; its name tells what is odd in it."""

    def __init__(self, name: str, method: str, url: str, content: bytes = b"") -> None:
        self.name, self.method, self.url, self.content = name, method, url, content


def requests(document: dict[str, Any]) -> Iterator[Request]:
    """Every operation under /api/v1, made odd in every way."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path.startswith("/api/v1"):
                yield from _odd(path, method, operation, document)


def _odd(path: str, method: str, operation: dict[str, Any], document: dict[str, Any]) -> Iterator[Request]:
    places = [one["name"] for one in operation.get("parameters", []) if one["in"] == "path"]
    name = f"{method.upper()} {path}"
    known = "no-such" if method in DESTRUCTIVE else VICTIM
    url = path.format(**dict.fromkeys(places, known))
    for value in NAMES if places else []:
        if value != VICTIM or method not in DESTRUCTIVE:
            yield Request(f"{name}: named {value[:20]}", method, path.format(**dict.fromkeys(places, value)))
    for parameter in (one["name"] for one in operation.get("parameters", []) if one["in"] == "query"):
        for value in VALUES:
            told = value if value.startswith("%") else quote(value)
            yield Request(f"{name}: {parameter}={value[:20]}", method, f"{url}?{parameter}={told}")
    if "requestBody" not in operation:
        return
    for content in BODIES:
        yield Request(f"{name}: body {content[:20]!r}", method, url, content)
    for example in _examples(operation, document):
        for where, changed in _changed(example):
            yield Request(f"{name}: {where}", method, url, json.dumps(changed).encode())


def _examples(operation: dict[str, Any], document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for media in operation["requestBody"]["content"].values():
        options = [media.get("schema", {}), *media.get("schema", {}).get("anyOf", [])]
        for schema in options:
            name = schema.get("$ref", "").rsplit("/", 1)[-1]
            found = document["components"]["schemas"].get(name, schema).get("examples", [])
            yield from (one for one in found[:1] if isinstance(one, dict))


def _changed(example: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for member in example:
        for odd in ODD:
            changed = copy.deepcopy(example)
            changed[member] = odd
            yield f"{member} is {str(odd)[:20]!r}", changed


async def test_every_route(app: FastAPI, http: httpx.AsyncClient, registry: Registry) -> None:
    """No operation of the document fails, however it is asked."""
    before = registry.get(KIND, "shop").body
    victim = registry.get(KIND, VICTIM).body
    problems, count = [], 0
    for request in requests(app.openapi()):
        count += 1
        headers = {"Content-Type": "application/json"} if request.content else {}
        async with asyncio.timeout(20):
            answer = await http.request(request.method, request.url, content=request.content, headers=headers)
        if problem := _problem(answer):
            problems.append(f"{request.name}: {problem}")
        if registry.find(KIND, VICTIM) is None or registry.get(KIND, VICTIM).body != victim:
            await registry.put(KIND, VICTIM, victim)
    assert not problems, f"{len(problems)} of {count}:\n" + "\n".join(problems[:40])
    assert count > 500
    assert registry.get(KIND, "shop").body == before
    collector = app.state.platform.roles[0]
    assert (await Client(collector, WRITE_KEY).post("/v1/track", {"event": "E", "anonymousId": "a"})).status == 200


def _problem(answer: httpx.Response) -> str:
    """What is wrong with an answer; empty for nothing."""
    if answer.status_code >= 500:
        return f"{answer.status_code} {answer.text[:200]}"
    if any(secret in answer.text for secret in SECRETS):
        return "a secret is told"
    if answer.status_code >= 400:
        error = answer.json().get("error", {})
        if not (error.get("code") and error.get("message")):
            return f"{answer.status_code} without a reason: {answer.text[:200]}"
        if len(answer.content) > 10_000:
            return f"an error of {len(answer.content)} bytes"
    return ""


async def test_a_refused_secret_is_not_told_back(http: httpx.AsyncClient, registry: Registry) -> None:
    """Neither in the answer nor in the place of a fault."""
    for identity in (
        {"secrets": ["canary-short"]},
        {"secrets": "canary-whole"},
        {"mode": "canary", "secrets": [["canary"]]},
    ):
        answer = await http.put(f"/api/v1/sources/{VICTIM}", json={"name": "x", "identity": identity})
        assert answer.status_code == 400
        assert "canary-" not in answer.text
        assert "identity" in answer.json()["error"]["path"]

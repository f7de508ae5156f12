"""Tests of the application: one shape for every error, a complete OpenAPI document, tokens on every route."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import APIRouter
from pydantic import BaseModel

from cdp.api import GROUND, dotted, status_of
from cdp.auth import UnauthenticatedError
from cdp.errors import (
    CdpError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    MisconfiguredError,
    NotFoundError,
    PermanentError,
    TransientError,
)
from cdp.openapi import operations
from cdp.service import Platform
from tests.cdp.apps import TOKEN, add_token, api

ERRORS = {
    InvalidError("x", path="a.b"): 400,
    NotFoundError("x"): 404,
    ConflictError("x"): 409,
    UnauthenticatedError("x"): 401,
    ForbiddenError("x"): 403,
    TransientError("x", retry_after=2.6): 503,
    MisconfiguredError("x"): 500,
    PermanentError("x"): 500,
}


class Condition(BaseModel):
    """A piece of a body."""

    op: str


class Body(BaseModel):
    """A body."""

    conditions: list[Condition]


def raising(error: Exception) -> APIRouter:
    """A route that raises, and one that takes a body."""
    router = APIRouter(prefix="/api/v1/test", tags=["test"])

    @router.get("/raise")
    async def fail() -> None:
        raise error

    @router.post("/body")
    async def take(body: Body, limit: int = 1) -> None:
        """Take a body."""

    return router


@pytest.mark.parametrize(("error", "status"), ERRORS.items(), ids=lambda one: type(one).__name__)
async def test_each_error_has_its_status_and_the_one_shape(platform: Platform, error: CdpError, status: int) -> None:
    """The code and message are the error's own; a path, a time to wait and a challenge come along where they belong."""
    async with api(platform, routers=[raising(error)]) as http:
        answer = await http.get("/api/v1/test/raise")

    assert (answer.status_code, status_of(error)) == (status, status)
    expected = {"code": error.code, "message": "x"} | ({"path": "a.b"} if status == 400 else {})
    assert answer.json() == {"error": expected}
    assert answer.headers.get("retry-after") == ("3" if status == 503 else None)
    assert answer.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)


async def test_the_unexpected_tells_no_details(platform: Platform) -> None:
    """Any other exception is a 500 with a trace id to look for."""
    async with api(platform, routers=[raising(RuntimeError("secret"))]) as http:
        answer = await http.get("/api/v1/test/raise")

    assert answer.status_code == 500
    assert answer.json()["error"]["trace_id"] == answer.headers["x-request-id"]
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("content", "query", "path"),
    [
        (b'{"conditions": [{"op": "eq"}, {}]}', {}, "conditions[1].op"),
        (b'{"conditions": 1}', {}, "conditions"),
        (b'{"conditions": []}', {"limit": "x"}, "limit"),
        (b"{", {}, ""),
        (b"", {}, ""),
    ],
)
async def test_wrong_input_is_told_with_its_path(
    platform: Platform, content: bytes, query: dict[str, str], path: str
) -> None:
    """What FastAPI refuses is a 400 in the one shape, and `path` leads to the fault."""
    async with api(platform, routers=[raising(RuntimeError())]) as http:
        headers = {"Content-Type": "application/json"}
        answer = await http.post("/api/v1/test/body", content=content, params=query, headers=headers)

    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error.get("path", "")) == ("invalid", path)


async def test_unknown_routes_and_methods_have_the_one_shape(platform: Platform) -> None:
    """404 and 405 look like every other error; 405 says what is allowed."""
    async with api(platform) as http:
        unknown, method = await http.get("/api/v1/nothing"), await http.patch("/api/v1/keys")

    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")
    assert (method.status_code, method.json()["error"]["code"]) == (405, "method_not_allowed")
    assert method.headers["allow"] == "GET, POST"


@pytest.mark.parametrize("token", [TOKEN, "cdp_nobody"])
async def test_a_body_that_is_too_large_is_refused_while_it_is_read(platform: Platform, token: str) -> None:
    """Whoever sends it, known or not, and whether its length is told or not."""
    limit = platform.settings.collector.max_body_bytes
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 10 * limit:
            sent += 100_000
            yield b" " * 100_000

    async with api(platform, token=token) as http:
        headers = {"Content-Type": "application/json"}
        told = await http.post("/api/v1/keys", content=b" " * (limit + 1), headers=headers)
        untold = await http.post("/api/v1/keys", content=endless(), headers=headers)

    for answer in (told, untold):
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert sent < 2 * limit


def test_places_are_told_as_paths() -> None:
    """A place in the input becomes the path one would type."""
    assert dotted(("conditions", 0, "op")) == "conditions[0].op"
    assert dotted((0, "a")) == "[0].a"
    assert dotted(()) == ""


async def schema(platform: Platform) -> dict[str, Any]:
    """The OpenAPI document."""
    async with api(platform) as http:
        return (await http.get("/openapi.json")).json()


async def test_the_document_is_complete(platform: Platform) -> None:
    """Each operation has a described tag, a summary, a description, an id of its own, and the errors it may give."""
    document = await schema(platform)

    tags = {tag["name"]: tag["description"] for tag in document["tags"]}
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    for path, method, operation in operations(document):
        where = f"{method} {path}"
        assert all(tags[tag] for tag in operation["tags"]), where
        assert operation["summary"], where
        assert operation["description"], where
        assert "422" not in operation["responses"], where
        if path.startswith("/api/"):
            assert operation["security"] == [{"HTTPBearer": []}], where
            assert {"401", "403", "500", "503"} <= operation["responses"].keys(), where
    assert "HTTPValidationError" not in document["components"]["schemas"]


async def test_every_parameter_is_described(platform: Platform) -> None:
    """Nobody has to guess what a parameter or a field means."""
    document = await schema(platform)

    for path, method, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            assert parameter.get("description"), f"{method} {path} {parameter['name']}"
    for name, model in document["components"]["schemas"].items():
        for field, about in model.get("properties", {}).items():
            assert about.get("description") or name in ("Error",) or "items" in field, f"{name}.{field}"


async def test_no_route_answers_without_a_token(platform: Platform) -> None:
    """Every route below /api refuses an unknown caller, and one whose token has no scope."""
    document = await schema(platform)
    await add_token(platform, "cdp_none")
    async with api(platform) as http:
        for path, method, _ in operations(document):
            if path.startswith("/api/"):
                url = path.replace("{key}", "x")
                anonymous = await http.request(method, url, headers={"Authorization": ""})
                powerless = await http.request(method, url, headers={"Authorization": "Bearer cdp_none"})
                assert anonymous.status_code == 401, f"{method} {path}"
                assert powerless.status_code == 403, f"{method} {path}"


async def test_the_page_lists_every_route_and_loads_nothing_from_strangers(platform: Platform) -> None:
    """/docs is plain HTML; / leads there."""
    document = await schema(platform)
    async with api(platform) as http:
        page, root = await http.get("/docs"), await http.get("/")

    assert root.headers["location"] == "/docs"
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "<script" not in page.text
    for path, _, _ in operations(document):
        assert path.replace("{", "{") in page.text


async def test_a_process_without_the_api_answers_orchestrators_only(platform: Platform) -> None:
    """Without routers there is /healthz, /readyz and /metrics, and no document."""
    async with api(platform, routers=[]) as http:
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/openapi.json")).status_code == 404
        assert (await http.get("/api/v1/status")).status_code == 404
    assert len(GROUND) == 6

"""The FastAPI application: the ground's routes and the wings', and one shape for every error.

{"error": {"code": "invalid", "message": "…what was wrong, and what to do…", "path": "conditions[0].op"}}
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException

from cdp import __version__, doctor, events, keys, status, tail, trait_rules
from cdp.auth import UnauthenticatedError
from cdp.errors import CdpError, ConflictError, ForbiddenError, InvalidError, NotFoundError, TransientError
from cdp.http import Limited, Traced
from cdp.openapi import allowed, document, page
from cdp.service import Platform
from cdp.tail import Tail

log = structlog.get_logger(__name__)

DESCRIPTION = (
    "A real-time, event-streaming customer data platform. Events come in under /v1 (any Segment-compatible SDK); "
    "this API reads people, segments and deliveries, and defines what is computed and where it is sent. "
    "Send a token as `Authorization: Bearer cdp_…`."
)
# The first that fits counts.
STATUSES: tuple[tuple[type[CdpError], int], ...] = (
    (NotFoundError, 404),
    (InvalidError, 400),
    (ConflictError, 409),
    (UnauthenticatedError, 401),
    (ForbiddenError, 403),
    (TransientError, 503),
)
# What the framework itself refuses.
WORDS = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
GROUND = (keys.router, events.router, status.router, doctor.router, tail.router, trait_rules.router)


def create_app(platform: Platform, readers: status.Readers, routers: Sequence[APIRouter] = ()) -> FastAPI:
    """The application. Without routers it answers for orchestrators only: /healthz, /readyz, /metrics.

    `readers`: the consumer groups that /metrics and /api/v1/status tell about, and the topics they read.
    """
    app = FastAPI(
        title="streamcdp",
        version=__version__,
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        servers=[{"url": platform.settings.http.public_url or "/"}],
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if routers else None,
        redirect_slashes=False,
    )
    app.state.platform = platform
    app.state.readers = readers
    app.state.tail = Tail(platform.log)
    for router in (*routers, status.probes):
        app.include_router(router)
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.add_middleware(Limited, most=platform.settings.collector.max_body_bytes)
    app.add_middleware(Traced)
    if routers:
        _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    def openapi() -> dict[str, Any]:
        app.openapi_schema = app.openapi_schema or document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page(openapi()))

    @app.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("/docs")


def status_of(error: CdpError) -> int:
    """The HTTP status of an error."""
    return next((code for kind, code in STATUSES if isinstance(error, kind)), 500)


def refusal(
    code: int, word: str, message: str, *, path: str = "", headers: dict[str, str] | None = None
) -> JSONResponse:
    """An answer in the one shape of errors."""
    error = {"code": word, "message": message} | ({"path": path} if path else {})
    return JSONResponse({"error": error}, status_code=code, headers=headers)


async def _ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, CdpError)
    headers = {}
    if isinstance(error, TransientError):
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    if isinstance(error, UnauthenticatedError):
        headers["WWW-Authenticate"] = "Bearer"
    path = error.path if isinstance(error, InvalidError) else ""
    if (code := status_of(error)) >= 500:
        log.warning("http.unable", path=request.url.path, code=error.code, reason=error.message)
    return refusal(code, error.code, error.message, path=path, headers=headers)


async def _malformed(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = error.errors()
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if first["type"] == "json_invalid":
        return refusal(400, "invalid", f"The body is not valid JSON: {first.get('ctx', {}).get('error', '')}.")
    return refusal(400, "invalid", f"{first['msg']}{more}", path=dotted(first["loc"][1:]))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:  # Starlette names the methods of one route only
        headers["Allow"] = ", ".join(allowed(request.app.openapi(), request.url.path)) or headers.get("Allow", "GET")
    return refusal(error.status_code, WORDS.get(error.status_code, "refused"), str(error.detail), headers=headers)


HANDLERS = {CdpError: _ours, RequestValidationError: _malformed, HTTPException: _http}


def dotted(place: Sequence[int | str]) -> str:
    """Where in the input: `("conditions", 0, "op")` → `conditions[0].op`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")

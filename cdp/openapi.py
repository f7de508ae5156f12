"""The OpenAPI document, made complete, and a page that shows it.

FastAPI describes what each route takes and gives. Added here: what every route may answer besides, in the one shape of
our errors (`cdp.api`); FastAPI's own 422, which this API never answers, is taken out. The page is ours because Swagger
UI would be loaded from a stranger's server.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.routing import compile_path

Json = dict[str, Any]

METHODS = ("get", "put", "post", "patch", "delete", "head", "options")
TAGS = {
    "tracking": "Where events come in: the Segment HTTP Tracking API. The write key says which source sends.",
    "profiles": "People: who they are, what they did, why they are one person.",
    "identity": "Join, part, and review what identity resolution did.",
    "segments": "Define groups of people, see who is in, who came and who went.",
    "destinations": "Where segments are sent, and what became of each delivery.",
    "syncs": "Which segment is sent to which destination.",
    "sources": "Where events come in, and their write keys.",
    "webhooks": "Where other platforms send: shops, payments, CRM, messaging, lead ads, e-mail.",
    "plans": "What a source's events should look like, and how those look that do not.",
    "catalogue": "Which events and traits there are, learnt from traffic.",
    "quarantine": "Events kept aside with a reason: read, correct, replay.",
    "imports": "Files of customers, orders and events: upload, look, start.",
    "mappings": "What the columns of files mean, saved under names.",
    "events": "The stored events.",
    "tail": "Events, live.",
    "keys": "API tokens.",
    "status": "How the installation is.",
    "health": "For orchestrators and Prometheus; no token needed.",
}
ERROR_SCHEMA: Json = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "description": "A stable word for machines."},
                "message": {"type": "string", "description": "What was wrong and what to do, for people."},
                "path": {"type": "string", "description": "Where in the input it was wrong."},
                "trace_id": {"type": "string", "description": "What to look for in the service's log."},
            },
        }
    },
}
# Status → what it means, and an example of the error.
ERRORS: dict[str, tuple[str, Json]] = {
    "400": ("The input is wrong.", {"code": "invalid", "message": "Field required", "path": "name"}),
    "401": ("No valid token.", {"code": "unauthenticated", "message": "A valid bearer token is needed."}),
    "403": ("The token lacks the scope.", {"code": "forbidden", "message": "This token lacks the scope keys:write."}),
    "404": ("There is no such thing.", {"code": "not_found", "message": "There is no segment called 'vip'."}),
    "409": ("It exists already, or changed meanwhile.", {"code": "conflict", "message": "Read it again, then retry."}),
    "413": ("The body is too large.", {"code": "too_large", "message": "The body may have 5000000 bytes."}),
    "500": ("Something unexpected.", {"code": "internal", "message": "The log tells more.", "trace_id": "4bf92f3577…"}),
    "503": ("A part is away; retry after `Retry-After` seconds.", {"code": "unavailable", "message": "Try again."}),
}


def document(app: FastAPI) -> Json:
    """The OpenAPI document of the app's routes."""
    made = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        servers=app.servers,
        license_info=app.license_info,
    )
    for path, method, operation in operations(made):
        operation["responses"].pop("422", None)
        for code in _possible(path, method, operation):
            operation["responses"].setdefault(code, _answer(code))
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Error"] = ERROR_SCHEMA
    used = {tag for _, _, operation in operations(made) for tag in operation.get("tags", ())}
    made["tags"] = [{"name": tag, "description": TAGS.get(tag, "")} for tag in [*TAGS, *sorted(used - TAGS.keys())]]
    return made


def operations(made: Json) -> Iterator[tuple[str, str, Json]]:
    """Each operation: its path, its method, and what is said about it."""
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            if method in METHODS:
                yield path, method, operation


def allowed(made: Json, path: str) -> list[str]:
    """The methods that the path takes, itself or as an instance of one with parameters."""
    plain = {method.upper() for template, method, _ in operations(made) if template == path}
    fitting = {method.upper() for template, method, _ in operations(made) if compile_path(template)[0].match(path)}
    return sorted(plain or fitting)


def _possible(path: str, method: str, operation: Json) -> Iterator[str]:
    if not path.startswith("/api/"):
        return
    yield from ("401", "403", "500", "503")
    if operation.get("parameters") or "requestBody" in operation:
        yield "400"
    if "requestBody" in operation or "{" in path:
        yield "404"
    if "requestBody" in operation or "{" in path or method == "post":
        yield "409"
    if "requestBody" in operation:
        yield "413"


def _answer(code: str) -> Json:
    sentence, error = ERRORS[code]
    schema = {"$ref": "#/components/schemas/Error"}
    return {"description": sentence, "content": {"application/json": {"schema": schema, "example": {"error": error}}}}


def page(made: Json) -> str:
    """The document as one plain page of HTML."""
    sections = "".join(_section(tag, made) for tag in made["tags"])
    title = html.escape(made["info"]["title"])
    description = html.escape(made["info"].get("description", ""))
    return PAGE.format(title=title, version=html.escape(made["info"]["version"]), intro=description, sections=sections)


def _section(tag: Json, made: Json) -> str:
    rows = [
        f"<tr><td><code>{method.upper()}</code></td><td><code>{html.escape(path)}</code></td>"
        f"<td>{html.escape(operation.get('summary', ''))}{_parameters(operation)}</td></tr>"
        for path, method, operation in operations(made)
        if tag["name"] in operation.get("tags", ())
    ]
    heading = f"<h2>{html.escape(tag['name'])}</h2><p>{html.escape(tag['description'])}</p>"
    return f"{heading}<table>{''.join(rows)}</table>" if rows else ""


def _parameters(operation: Json) -> str:
    names = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]
    return f"<br><small>?{html.escape('&'.join(names))}</small>" if names else ""


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; }} td {{ padding: .2rem 1rem .2rem 0; vertical-align: top; }}
small {{ color: #777; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #111; color: #ddd; }} a {{ color: #8cf; }} }}
</style></head><body>
<h1>{title} {version}</h1><p>{intro}</p>
<p>Schemas and examples are in <a href="/openapi.json">/openapi.json</a>, which any OpenAPI tool reads.</p>
{sections}
</body></html>
"""

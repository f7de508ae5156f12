"""The tracking routes, described for OpenAPI. The gateway answers them before FastAPI is asked; should one arrive here,
it is handed to the same gateway, so both answer alike.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response, Security
from fastapi.openapi.models import HTTPBase
from fastapi.security.base import SecurityBase
from pydantic import BaseModel, ConfigDict, Field

from cdp.auth import platform
from cdp.errors import TransientError
from cdp.service import Platform, Receive, Scope, Send
from ingest.browser.builds import CURRENT
from ingest.collector import Collector
from ingest.paths import BATCHES, LETTERS

router = APIRouter(tags=["tracking"])


class WriteKeyAuthorization(SecurityBase):
    """Says in OpenAPI where the write key goes. The gateway looks at it."""

    def __init__(self) -> None:
        self.model = HTTPBase(scheme="basic", description="The write key as user name, the password empty.")
        self.scheme_name = "writeKey"

    async def __call__(self, request: Request) -> None:
        """Nothing to do here."""


class Handover(Response):
    """An answer that lets the gateway answer."""

    def __init__(self, gateway: Collector) -> None:
        super().__init__()
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request over."""
        await self._gateway(scope, receive, send)


def handed_over(opened: Annotated[Platform, Depends(platform)]) -> Response:
    """The answer of this process's collector. Raises `TransientError` where none runs."""
    for role in opened.roles:
        if isinstance(role, Collector):
            return Handover(role)
    raise TransientError("This process takes no events: ask one that runs the role collector.", code="no_collector")


class EventResult(BaseModel):
    """An event that was kept aside."""

    index: int = Field(description="Its place in the batch; 0 for a single event.")
    message_id: str = Field(description="Its messageId; empty without one.")
    status: str = Field(description="Always `quarantined`.")
    code: str = Field(description="Why, as a stable word.")
    message: str = Field(description="Why, in words.")
    path: str = Field(description="Where the fault is.")
    quarantine_id: str = Field(description="Its id under /api/v1/quarantine.")


class Taken(BaseModel):
    """Everything is durable."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"success": True, "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"},
                {
                    "success": True,
                    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
                    "results": [
                        {
                            "index": 3,
                            "message_id": "m-4",
                            "status": "quarantined",
                            "code": "missing_event",
                            "message": "A track event needs the name of its `event`.",
                            "path": "batch[3].event",
                            "quarantine_id": "5c1f0e9a7d3b4c2e8f6a1b0c9d8e7f60",
                        }
                    ],
                },
            ]
        }
    )

    success: bool = Field(description="Always true.")
    trace_id: str = Field("", description="Follows the events through every stage.")
    results: list[EventResult] = Field(
        [], description="The events that were kept aside, if any; all others are stored."
    )


class NotTaken(BaseModel):
    """Nothing was stored."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"success": False, "code": "invalid_json", "message": "The body is no valid JSON: …"}]
        }
    )

    success: bool = Field(description="Always false.")
    code: str = Field(description="Why, as a stable word.")
    message: str = Field(description="Why, in words.")
    path: str = Field("", description="Where the fault is.")


REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": NotTaken, "description": "The body cannot be read at all; sending it again cannot help."},
    401: {"model": NotTaken, "description": "No working write key."},
    403: {"model": NotTaken, "description": "The source does not take events from this web page."},
    408: {"model": NotTaken, "description": "The body did not arrive in time; send it again."},
    500: {"model": NotTaken, "description": "Something unexpected; send it again."},
    503: {"model": NotTaken, "description": "Not durable now; send it again after `Retry-After` seconds."},
}
GIF: dict[str, Any] = {"image/gif": {"schema": {"type": "string", "format": "binary"}}}
COMMON: dict[str, Any] = {
    "userId": "lan",
    "anonymousId": "53a322b7-89c7-40ae-b485-187d61233e4d",
    "messageId": "c0ffee-1",
    "timestamp": "2026-11-21T08:30:00.000Z",
    "context": {"page": {"url": "https://shop.vn/ao-dai", "title": "Áo dài"}, "locale": "vi-VN"},
}
# Kind → what it says, and the fields that make it that kind.
EXAMPLES: dict[str, tuple[str, dict[str, Any]]] = {
    "track": (
        "Somebody did something.",
        {"event": "Order Completed", "properties": {"order_id": "DH-1", "total": 1_850_000, "currency": "VND"}},
    ),
    "identify": (
        "Who somebody is.",
        {"traits": {"email": "lan@example.com", "phone": "0912 345 678", "name": "Nguyễn Thị Lan"}},
    ),
    "page": ("Somebody saw a web page.", {"name": "Áo dài", "properties": {"url": "https://shop.vn/ao-dai"}}),
    "screen": ("Somebody saw a screen of an app.", {"name": "Cart", "properties": {"items": 2}}),
    "group": ("Somebody belongs to a group.", {"groupId": "acme", "traits": {"name": "Acme", "plan": "pro"}}),
    "alias": ("Two ids are one person.", {"previousId": "53a322b7-89c7-40ae-b485-187d61233e4d"}),
    "merge": (
        "Two identifiers are one person, as RudderStack says it.",
        {
            "mergeProperties": [
                {"type": "email", "value": "lan@example.com"},
                {"type": "mobile", "value": "+84912345678"},
            ]
        },
    ),
}
BATCH_EXAMPLE = {
    "batch": [{"type": kind, **COMMON, **fields} for kind, (_, fields) in EXAMPLES.items() if kind != "merge"][:2],
    "sentAt": "2026-11-21T08:30:01.000Z",
}


def _taking(example: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema = {"type": "object", "required": required, "additionalProperties": True}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}}


def _add(path: str, summary: str, description: str, body: dict[str, Any], *, shown: bool = True) -> None:
    async def take(answer: Annotated[Response, Depends(handed_over)]) -> Response:
        return answer

    router.add_api_route(
        path,
        take,
        methods=["POST"],
        summary=summary,
        description=description,
        operation_id="take" + path.replace("/", "_"),
        response_model=Taken,
        responses=REFUSALS,
        openapi_extra=body,
        include_in_schema=shown,
        dependencies=[Security(WriteKeyAuthorization())],
    )


ARTICLES = {"identify": "an", "alias": "an"}
for kind, (sentence, fields) in EXAMPLES.items():
    text = f"{sentence} The write key may stand in the body as `writeKey` as well. Answers 200 once it is durable."
    _add(f"/v1/{kind}", f"Send {ARTICLES.get(kind, 'a')} {kind} event", text, _taking({**COMMON, **fields}, []))
for letter, kind in LETTERS.items():
    _add(f"/v1/{letter}", f"Send {ARTICLES.get(kind, 'a')} {kind} event", "As the long path.", {}, shown=False)
for path in BATCHES:
    text = (
        "Send up to 5,000 events of any kind, each with its `type`. A bad one is kept aside, told of in `results`, and "
        "harms no other. May be gzipped."
    )
    if path == "/v1/import":
        text += " With `kind` in the query the body is a file: see `POST /api/v1/imports`."
    main = path in ("/v1/batch", "/v1/import", "/beacon/v1/batch")
    _add(path, "Send events", text, _taking(BATCH_EXAMPLE, ["batch"]), shown=main)

PIXEL: dict[int | str, dict[str, Any]] = {
    200: {"description": "An image of one transparent dot; it comes with each refusal too.", "content": GIF},
    400: {"description": "The event cannot be read.", "content": GIF},
    401: {"description": "No source has this write key.", "content": GIF},
    403: {"description": "This source takes no events from this web page.", "content": GIF},
    404: {"model": NotTaken, "description": "There is no such type."},
    429: {"description": "The write key brings too many.", "content": GIF},
    503: {"description": "Not durable now.", "content": GIF},
}
CLICK: dict[int | str, dict[str, Any]] = {
    302: {"description": "On to the target.", "headers": {"Location": {"schema": {"type": "string", "format": "uri"}}}},
    400: {
        "description": "No source allows the target: nothing is recorded, and the page names no address.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    },
}
Answered = Annotated[Response, Depends(handed_over)]
WriteKeyQuery = Annotated[str, Query(alias="writeKey", description="The write key.")]


def _unless(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: {"model": NotTaken, "description": "No source has this write key."} for code in codes}


@router.get(
    "/v1/projects/{write_key}/settings",
    summary="Settings of Segment's SDKs",
    response_model=dict[str, Any],
    responses=_unless(404),
)
async def sdk_settings(
    answer: Answered, write_key: Annotated[str, Path(description="The write key.", examples=["wk_1"])]
) -> Response:
    """Where Segment's browser and mobile SDKs are told to send to. 404 for an unknown write key."""
    return answer


@router.get(
    "/sourceConfig/", summary="Settings of RudderStack's SDK", response_model=dict[str, Any], responses=_unless(401)
)
async def source_config(answer: Answered, write_key: WriteKeyQuery = "") -> Response:
    """What RudderStack's browser SDK asks for. 401 for an unknown write key."""
    return answer


@router.get("/pixel/v1/{kind}", summary="Send an event as an image", response_class=Response, responses=PIXEL)
async def pixel(
    answer: Answered,
    kind: Annotated[str, Path(pattern="^(track|page)$", description="`track` or `page`.", examples=["track"])],
    write_key: WriteKeyQuery = "",
) -> Response:
    """An event in a query string, for e-mails: `event=Opened&anonymousId=…&properties.campaign=tet`. Answers a GIF."""
    return answer


@router.get(
    "/v1/pixel.gif",
    summary="Send an event as an image, e-mail opens above all",
    response_class=Response,
    responses=PIXEL,
)
async def mail_pixel(
    answer: Answered,
    write_key: WriteKeyQuery = "",
    kind: Annotated[
        str, Query(alias="type", description="`track`, `page` or `identify`; `track` with an `event` or an `email_id`.")
    ] = "page",
    event: Annotated[str, Query(description="What happened; `Email Opened` with an `email_id`.")] = "",
    user_id: Annotated[str, Query(alias="userId", description="Who; a stranger without.")] = "",
    email_id: Annotated[str, Query(description="Which mail; short for `properties.email_id`.")] = "",
) -> Response:
    """An event in a query string; `properties.…`, `traits.…` and `context.…` nest at their dots. Answers a GIF.

    What the headers tell of the browser goes into the context; a mail service that fetches images for its readers is
    flagged there. HEAD records nothing.
    """
    return answer


@router.get(
    "/v1/pixel/{kind}", summary="Send an event as an image, as Segment has it", response_class=Response, responses=PIXEL
)
async def segment_pixel(
    answer: Answered,
    kind: Annotated[
        str,
        Path(pattern=f"^({'|'.join(LETTERS.values())})$", description="The event's type.", examples=["track"]),
    ],
    coded: Annotated[str, Query(alias="data", description="Base64 of the event as JSON, its `writeKey` inside.")] = "",
) -> Response:
    """Segment's pixel: the whole event in `data`. Answers a GIF."""
    return answer


@router.get(
    "/v1/click", summary="Record a click and lead on", status_code=302, response_class=Response, responses=CLICK
)
async def click(
    answer: Answered,
    url: Annotated[str, Query(description="Where the link leads, percent-encoded; its host in `redirect_hosts`.")],
    write_key: WriteKeyQuery = "",
    pass_id: Annotated[str, Query(description="`1` hands the anonymous id on to the page, as `cdp_aid`.")] = "",
) -> Response:
    """A link in an ad or an e-mail. Takes what `/v1/pixel.gif` takes beside; click ids and utm_… are handed on.

    The visitor is led on whatever becomes of the event. HEAD records nothing.
    """
    return answer


@router.get("/cdp.js", summary="The script for web pages", response_class=Response)
async def script(answer: Answered) -> Response:
    """`<script async src="…/cdp.js" data-write-key="…"></script>`"""
    return answer


@router.get("/cdp/{build}.js", summary="One build of the script", response_class=Response, responses=_unless(404))
async def one_build(
    answer: Answered, build: Annotated[str, Path(description="Its hash.", examples=[CURRENT.hash])]
) -> Response:
    """A build that never changes, for pages that check its `integrity`: a source's `snippet` names the newest."""
    return answer


class BrowserId(BaseModel):
    """The id of a browser."""

    success: bool = True
    anonymous_id: str = Field(alias="anonymousId", description="The id from now on.")
    known: bool = Field(description="Whether the cookie held it already.")


ID_EXAMPLE = {"anonymousId": "53a322b7-89c7-40ae-b485-187d61233e4d", "renew": False}


@router.get("/v1/id", summary="Read a browser's id", response_model=BrowserId, responses=_unless(401, 403, 404))
async def browser_id(answer: Answered, write_key: WriteKeyQuery = "") -> Response:
    """The id in the cookie of a source that has `id_cookie`, for pages in its `allowed_origins`; a new one if none."""
    return answer


@router.post(
    "/v1/id",
    summary="Keep a browser's id",
    response_model=BrowserId,
    responses=_unless(401, 403, 404) | {400: {"model": NotTaken, "description": "The body is no JSON object."}},
    openapi_extra=_taking(ID_EXAMPLE, []),
)
async def keep_browser_id(answer: Answered, write_key: WriteKeyQuery = "") -> Response:
    """As reading it. The page may bring the id that it knows: taken where there is no cookie, or with `renew`."""
    return answer


@router.post("/v1/m", include_in_schema=False)
async def series(answer: Answered) -> Response:
    """Counts of Segment's SDK about itself."""
    return answer

"""Image requests: `GET /v1/pixel.gif`, `/v1/pixel/{type}` and `/pixel/v1/{type}`. The answer is always an image."""

from __future__ import annotations

from cdp.errors import CdpError
from ingest.answers import Answer, failed
from ingest.browser.id_cookie import known_id
from ingest.doors.door import Hall, Request, admitted
from ingest.keys import WriteKeyError
from ingest.metrics import FIGURES
from ingest.sources import pixel

HEADERS = (
    (b"content-type", b"image/gif"),
    # An image that is kept somewhere on the way is an open that nobody sees.
    (b"cache-control", b"no-store, no-cache, must-revalidate, private, max-age=0"),
    (b"pragma", b"no-cache"),
    (b"expires", b"0"),
    (b"cross-origin-resource-policy", b"cross-origin"),
)
SEEN = Answer(200, pixel.GIF, HEADERS)


class PixelDoor:
    """Takes one event of a query string."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall

    async def answer(self, request: Request) -> Answer:
        """The image; its status tells what became of the event. HEAD, by which scanners look at links, records none."""
        if request.scope["method"] == "HEAD":
            return SEEN
        try:
            await self._take(request)
        except CdpError as error:
            FIGURES.refused[error.code] += 1
            told = failed(error)
            retry = [header for header in told.headers if header[0] == b"retry-after"]
            return Answer(told.status, pixel.GIF, [*HEADERS, *retry])
        return SEEN

    async def _take(self, request: Request) -> None:
        parameters = pixel.parameters_of(request.scope["query_string"])
        event = pixel.event_of(parameters)
        inner = event.pop("writeKey", "")
        write_key = request.parameter("writeKey") or self._hall.sources.basic(
            request.headers.get(b"authorization", b"")
        )
        if not write_key and not (isinstance(inner, str) and inner):
            raise WriteKeyError("No write key: send it as `writeKey` in the query.", code="no_write_key")
        source = admitted(self._hall.sources.of(write_key or inner), request)
        if request.route.kind is not None:
            event["type"] = request.route.kind
        pixel.seen_by(event, request.header)
        pixel.opened_mail(event)
        pixel.somebody(event, known_id(request.header(b"cookie"), source.key) if source.body.id_cookie else "")
        receipt = request.receipt(source, self._hall.platform.clock.now())
        if pixel.fetched_by_mail(event, request.header):
            receipt = receipt._replace(ip=None)
        await self._hall.intake.take(source, pixel.opened(event), receipt)

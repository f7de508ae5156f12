"""Image requests `GET /pixel/v1/{track,page}`: the event stands in the query, and the answer is always an image."""

from __future__ import annotations

from cdp.errors import CdpError, InvalidError
from ingest.answers import Answer, failed
from ingest.doors.door import Hall, Request, admitted
from ingest.keys import WriteKeyError
from ingest.metrics import FIGURES
from ingest.sources import pixel
from ingest.sources.segment import Refusal

GIF = (b"content-type", b"image/gif")


class PixelDoor:
    """Takes one event of a query string."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall

    async def answer(self, request: Request) -> Answer:
        """The image; its status tells what became of the event."""
        try:
            await self._take(request)
        except CdpError as error:
            FIGURES.refused[error.code] += 1
            return failed(error)._replace(body=pixel.GIF, headers=(GIF,))
        return Answer(200, pixel.GIF, (GIF,))

    async def _take(self, request: Request) -> None:
        write_key = request.parameter("writeKey") or self._hall.sources.basic(
            request.headers.get(b"authorization", b"")
        )
        if not write_key:
            raise WriteKeyError("No write key: send it as `writeKey` in the query.", code="no_write_key")
        source = admitted(self._hall.sources.of(write_key), request)
        kind = request.route.kind
        assert kind is not None
        opened = self._hall.intake.reader.open_single(pixel.event_of(request.scope["query_string"]), kind)
        if isinstance(opened, Refusal):
            raise InvalidError(opened.message, path=opened.path, code=opened.code)
        await self._hall.intake.take(source, opened, request.receipt(source, self._hall.platform.clock.now()))

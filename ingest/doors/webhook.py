"""Webhooks of other platforms: `POST /v1/webhooks/{source}`, and the requests by which they try the address."""

from __future__ import annotations

import asyncio

from cdp.errors import InvalidError, TransientError
from cdp.records import encode
from ingest.answers import Answer, refused
from ingest.doors.door import Hall, Request
from ingest.intake import Taken
from ingest.metrics import FIGURES
from ingest.source import Source
from ingest.sources.segment import Opened, made
from ingest.webhooks import payloads
from ingest.webhooks.events import Item, holds
from ingest.webhooks.expressions import expression
from ingest.webhooks.functions import scalar_text
from ingest.webhooks.graph import Graph, NotFetchedError
from ingest.webhooks.payloads import Payload
from ingest.webhooks.presets import Handshake
from ingest.webhooks.signatures import SignatureError, same, verify
from ingest.webhooks.templates import text
from ingest.webhooks.webhook import Webhook

PLAIN = ((b"content-type", b"text/plain; charset=utf-8"), (b"x-content-type-options", b"nosniff"))
LONGEST_ECHO = 1_000
FETCHED_AT_ONCE = 5


class WebhookDoor:
    """Takes the webhooks of sources that have one."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall
        self._clock = hall.platform.clock
        self._graph = Graph(hall.platform.settings.webhooks)

    async def answer(self, request: Request) -> Answer:
        """Take one request.

        1. which source, and how its webhook is          4. ask the platform for what it only announced
        2. a platform that tries the address is answered   5. make events, hand them to the intake, wait until durable
        3. who sends: the signature or the secret

        What is signed and cannot be understood goes to quarantine and is answered 200: the platform would repeat it
        for nothing, and then give up.
        """
        source = self._hall.sources.named(request.route.argument)
        if source is None:
            return refused(404, "unknown_source", "There is no such source.")
        webhook = source.body.webhook
        if webhook is None or not source.body.enabled:
            return refused(404, "no_webhook", "This source takes no webhooks: define its `webhook`, and enable it.")
        if source.trouble:
            raise TransientError("The secrets of this source cannot be opened now.", code="secrets_closed")
        payload = payloads.read(await self._payload(request), webhook.body_kind)
        handshake = _handshake(webhook, payload, source)
        if handshake is not None:
            return self._shaken(handshake, webhook, payload, source)
        if payload.method != "POST":
            return refused(405, "method_not_allowed", "Use POST here.", more=[(b"allow", b"POST, OPTIONS")])
        verify(webhook.scheme, payload, payload.scope(source.key), self._clock.now())
        if not payload.raw.strip():
            raise InvalidError("The request has no body.", code="empty_body")
        return await self._take(request, source, webhook, payload)

    async def _payload(self, request: Request) -> Payload:
        method = request.scope["method"]
        is_post = method == "POST"
        raw = await request.body(self._hall) if is_post else b""
        query: bytes = request.scope["query_string"]
        rest = request.scope["path"] + (f"?{query.decode('latin-1')}" if query else "")
        public = self._hall.platform.settings.http.public_url
        urls = payloads.addresses(*([public.rstrip("/") + rest] if public else []), request.url + rest)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers.items()}
        return Payload("POST" if is_post else "GET", urls, headers, payloads.parameters(query), raw)

    def _shaken(self, handshake: Handshake, webhook: Webhook, payload: Payload, source: Source) -> Answer:
        """The answer to a platform that tries the address. Raises `SignatureError` when it does not prove itself."""
        scope = payload.scope(source.key)
        if handshake.proof == "secret":
            verify(webhook.scheme, payload, scope, self._clock.now())
        if handshake.proof == "verify_token":
            shown = scalar_text(expression(handshake.token or "null")(scope))
            wanted = webhook.verify_token.get_secret_value() if webhook.verify_token else ""
            if not wanted or not same(shown, wanted):
                raise SignatureError("The verify token is not the one of this source.", code="wrong_verify_token")
        said = text(handshake.answer)(scope) if handshake.answer else None
        return Answer(200, (said or "OK")[:LONGEST_ECHO].encode(errors="replace"), PLAIN)

    async def _take(self, request: Request, source: Source, webhook: Webhook, payload: Payload) -> Answer:
        receipt = request.receipt(source, self._clock.now())._replace(ip=None)  # the platform's, nobody's
        if not payload.readable:
            taken = await self._hall.intake.take(source, Opened([payload.raw], "track", vouched=True), receipt)
            return _answer(receipt.trace_id, taken, 0)
        items, missing = await self._fetched(webhook, webhook.maker.items(payload, source.key))
        events = [one.event for item in items for one in webhook.maker.made(item)]
        stored = [event for event in events if event is not None]
        taken = await self._hall.intake.take(source, _opened(stored, payload), receipt) if stored else Taken(0, [])
        ignored = len(events) - len(stored)
        FIGURES.events[source.key, "ignored"] += ignored
        if missing is not None:
            raise missing
        return _answer(receipt.trace_id, taken, ignored)

    async def _fetched(self, webhook: Webhook, items: list[Item]) -> tuple[list[Item], NotFetchedError | None]:
        """The parts with what the platform gave for them as `$fetched`, and why others are missing.

        Those that are there are taken all the same: when all are announced again, these are known.
        """
        fetch, token = webhook.fetch, webhook.access_token
        if fetch is None or token is None:
            return items, None
        gate, errors = asyncio.Semaphore(FETCHED_AT_ONCE), list[NotFetchedError]()

        async def fetched(item: Item) -> Item | None:
            if not holds(fetch.when, item.scope):
                return item
            async with gate:
                if errors:  # all will come again: ask no more of who is away
                    return None
                try:
                    node_id = scalar_text(expression(fetch.id)(item.scope))
                    node = await self._graph.node(node_id, fetch.fields, token.get_secret_value())
                except NotFetchedError as error:
                    errors.append(error)
                    return None
            return item._replace(scope={**item.scope, "fetched": node})

        found = await asyncio.gather(*map(fetched, items))
        return [item for item in found if item is not None], errors[0] if errors else None


def _handshake(webhook: Webhook, payload: Payload, source: Source) -> Handshake | None:
    scope = payload.scope(source.key)
    return next(
        (shake for shake in webhook.handshakes if shake.method == payload.method and holds(shake.when, scope)), None
    )


def _opened(events: list[dict[str, object]], payload: Payload) -> Opened:
    try:
        return made(events, vouched=True)
    except RecursionError:  # too deep to be written again: keep what came
        return Opened([payload.raw], "track", vouched=True)


def _answer(trace_id: str, taken: Taken, ignored: int) -> Answer:
    counts = {"accepted": taken.accepted, "ignored": ignored}
    body = {"success": True, "trace_id": trace_id, **counts, "results": taken.results}
    return Answer(200, encode(body))

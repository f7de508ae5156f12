"""Images whose address is an event."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.errors import InvalidError, TransientError
from ingest.collector import Collector
from ingest.sources import pixel
from ingest.testing import Client, Reply, stored
from tests.ingest.conftest import WRITE_KEY

IMAGE = b"GIF89a"
DEEP = base64.b64encode(b'{"a":' * 900 + b"1" + b"}" * 900).decode()
BROWSER = {
    "User-Agent": "Mozilla/5.0 (Windows NT 10.0) Chrome/130.0.0.0",
    "Referer": "https://shop.vn/p/1?utm_source=zalo",
}


@pytest.fixture
def visitor(collector: Collector) -> Client:
    """Somebody whose browser or mail program loads an image."""
    return Client(collector)


async def load(
    visitor: Client, path: str = "/v1/pixel.gif", method: str = "GET", headers: Any = None, **query: str
) -> Reply:
    """Load the image."""
    return await visitor.ask(method, f"{path}?{urlencode({'writeKey': WRITE_KEY, **query})}", headers)


async def test_a_mail_is_opened(visitor: Client, log: Any) -> None:
    """What the address says becomes an event: the short names of the Segment spec's e-mail events included."""
    reply = await load(
        visitor, userId="lan", email_id="tet-2027", campaign_name="Tết", utm_source="mail", headers=BROWSER
    )
    assert (reply.status, reply.headers["content-type"], reply.body[:6]) == (200, "image/gif", IMAGE)
    assert "no-store" in reply.headers["cache-control"]
    [one] = await stored(log)
    assert one.event.type == "track"
    assert {name: one.body[name] for name in ("event", "userId", "properties")} == {
        "event": "Email Opened",
        "userId": "lan",
        "properties": {"email_id": "tet-2027", "campaign_name": "Tết"},
    }
    assert one.body["context"] == {
        "campaign": {"source": "mail"},
        "userAgent": BROWSER["User-Agent"],
        "page": {"url": BROWSER["Referer"]},
    }


async def test_a_page_without_script(visitor: Client, log: Any) -> None:
    """Without a word the image is a page view, of a stranger of its own each time."""
    assert (await load(visitor, headers=BROWSER)).status == 200
    assert (await load(visitor, headers=BROWSER)).status == 200
    found = await stored(log)
    assert [(one.event.type, one.body["properties"]) for one in found] == [("page", {"url": BROWSER["Referer"]})] * 2
    assert len({one.body["anonymousId"] for one in found}) == 2


async def test_an_address_is_one_device(visitor: Client, log: Any) -> None:
    """Where an e-mail address is all that is known, its opens share an id."""
    for address in ("lan@shop.vn", "Lan@Shop.VN ", "nam@shop.vn"):
        assert (await load(visitor, email=address, email_id="1")).status == 200
    ids = [one.body["anonymousId"] for one in await stored(log)]
    assert (len(ids), len(set(ids))) == (3, 2)


@pytest.mark.parametrize("kind", ["track", "page", "identify", "screen", "group", "alias"])
@pytest.mark.parametrize("alphabet", [base64.b64encode, base64.urlsafe_b64encode])
async def test_segment_shape(visitor: Client, log: Any, kind: str, alphabet: Any) -> None:
    """`/v1/pixel/{type}?data=` takes base64 of JSON in either alphabet, its write key inside."""
    event = {
        **{"writeKey": WRITE_KEY, "userId": "lan?>", "event": "Mở thư", "groupId": "g", "previousId": "p"},
        **{"properties": {"subject": "Chúc mừng năm mới ~~~"}, "traits": {"plan": "vàng"}},
    }
    coded = alphabet(json.dumps(event).encode()).decode().rstrip("=")
    reply = await visitor.ask("GET", f"/v1/pixel/{kind}?data={coded}")
    assert (reply.status, reply.body[:6]) == (200, IMAGE)
    [one] = await stored(log)
    assert one.event.type == kind
    assert (one.body["userId"], one.body["properties"]) == ("lan?>", event["properties"])
    assert "writeKey" not in one.body


async def test_mail_services(visitor: Client, log: Any) -> None:
    """A mail service's fetch is flagged, its address is not taken for the reader's."""
    for agent in (
        "Mozilla/5.0",
        "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    ):
        await load(visitor, userId="lan", email_id="1", headers={"User-Agent": agent})
    found = await stored(log)
    assert [one.body["context"]["mail_proxy"] for one in found] == [
        {"name": "Apple Mail Privacy Protection", "prefetch": True},
        {"name": "Gmail", "prefetch": False},
    ]
    assert [one.batch.ip for one in found] == [None, None]


async def test_prefetched(visitor: Client, log: Any) -> None:
    """What a browser loads ahead says so."""
    await load(visitor, headers={"Sec-Purpose": "prefetch;prerender"})
    [one] = await stored(log)
    assert one.body["context"]["prefetch"] is True


async def test_scanners_leave_no_trace(visitor: Client, log: Any) -> None:
    """HEAD gets the headers, and records nothing."""
    reply = await load(visitor, method="HEAD", userId="lan", email_id="1")
    assert (reply.status, reply.headers["content-type"]) == (200, "image/gif")
    assert await stored(log) == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 401),
        ("writeKey=unknown", 401),
        (f"writeKey={WRITE_KEY}&data=%25%25", 400),
        (f"writeKey={WRITE_KEY}&data=W10=", 400),
        (f"writeKey={WRITE_KEY}&data={base64.b64encode(b'[' * 9000).decode()}", 400),
        (f"writeKey={WRITE_KEY}&data={DEEP}", 200),
        (f"writeKey={WRITE_KEY}&{'a.' * 9000}a=1", 200),
        (f"writeKey={WRITE_KEY}&event=x&event.y=1&properties=z&properties.email_id=1&context=q", 200),
        (f"writeKey={WRITE_KEY}&event=%ff%00%ED%A0%80", 200),
        (f"writeKey={WRITE_KEY}&type=nonsense", 200),
    ],
)
async def test_always_an_image(visitor: Client, query: str, status: int) -> None:
    """Whatever comes is answered by an image, whose status tells what became of it."""
    reply = await visitor.ask("GET", f"/v1/pixel.gif?{query}")
    assert (reply.status, reply.headers["content-type"], reply.body[:6]) == (status, "image/gif", IMAGE)
    assert "no-store" in reply.headers["cache-control"]


async def test_while_the_log_is_away(visitor: Client, log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The status says 503; the image comes all the same."""

    async def append(drafts: Any) -> list[int]:
        raise TransientError("away")

    monkeypatch.setattr(log, "append", append)
    reply = await load(visitor, userId="lan", email_id="1")
    assert (reply.status, reply.body[:6], reply.headers["retry-after"]) == (503, IMAGE, "1")


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=9)), max_size=9) | st.just([("data", "e30=")]))
def test_any_parameters(parameters: pixel.Parameters) -> None:
    """Any parameters describe an event, or are refused with a reason."""
    try:
        event = pixel.event_of(parameters)
    except InvalidError as error:
        assert error.path == "data"
        return
    pixel.opened_mail(event)
    pixel.somebody(event)
    assert pixel.opened(event)

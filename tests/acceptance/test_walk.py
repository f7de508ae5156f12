"""The walk: a real event from an official SDK to a person, a segment and a signed delivery, embedded and on Kafka."""

from __future__ import annotations

import base64
import functools
import http.server
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.receiver import Receiver
from tests.acceptance.tail import Tail
from tests.processes import WRITE_KEY, Embedded, Installation, Scaled, events
from tests.waiting import until

SECRET = "whsec_" + base64.b64encode(b"the receiver and we know this one").decode()
BUYERS = {
    "name": "Buyers",
    "conditions": {
        "all": [
            {"event": "Order Completed", "count": {"at_least": 1}, "within": "30d"},
            {"trait": "email", "is": "is_set"},
        ]
    },
}


@pytest.fixture(scope="module", params=["embedded", pytest.param("scaled", marks=pytest.mark.kafka)])
def installation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The running product, in either mode."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    running: Installation
    if request.param == "embedded":
        running = Embedded(folder)
    else:
        running = Scaled(
            folder,
            kafka=request.getfixturevalue("kafka_bootstrap"),
            state=request.getfixturevalue("valkey_url"),
            warehouse=request.getfixturevalue("clickhouse_server"),
        )
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def receiver(installation: Installation) -> Iterator[Receiver]:
    """A webhook destination that hears who enters `buyers`."""
    listening = Receiver(SECRET)
    for path, body in {
        "segments/buyers": BUYERS,
        "destinations/hook": {"connector": "webhook", "settings": {"url": listening.url, "secret": SECRET}},
        "syncs/buyers-to-hook": {"segment": "buyers", "destination": "hook"},
    }.items():
        answer = installation.api("PUT", f"/api/v1/{path}", json=body)
        assert answer.is_success, answer.text
    yield listening
    listening.close()


@pytest.fixture
def tail(installation: Installation) -> Iterator[Tail]:
    """The tail, open."""
    opened = Tail(installation)
    yield opened
    opened.close()


def person(installation: Installation, identifier: str) -> dict[str, Any]:
    """The profile."""
    answer = installation.api("GET", f"/api/v1/profiles/{identifier}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def assert_walked(
    installation: Installation, receiver: Receiver, tail: Tail, *, user: str, device: str, email: str
) -> None:
    """What holds at the end of the story, whoever told it."""
    profile = until(lambda: "buyers" in (found := person(installation, f"user_id:{user}"))["segments"] and found)
    identifiers = {(one["type"], one["value"]) for one in profile["identifiers"]}
    assert {("user_id", user), ("email", email)} <= identifiers
    assert person(installation, f"anonymous_id:{device}")["profile_id"] == profile["profile_id"]
    assert person(installation, f"email:{email}")["profile_id"] == profile["profile_id"]

    stored = until(
        lambda: [e for e in events(installation) if e["profile_id"] == profile["profile_id"] and e["type"] == "page"]
    )
    assert {event["anonymousId"] for event in stored} == {device}, "the anonymous history belongs to the person"

    delivered = until(lambda: [one for one in receiver.accepted if one["data"]["profile_id"] == profile["profile_id"]])
    assert delivered[0]["type"] == "segment.entered"
    assert delivered[0]["data"]["segment"] == "buyers"
    assert receiver.refused == []
    trace_id = delivered[0]["data"]["trace_id"]
    until(lambda: tail.stages(trace_id) >= {"raw", "resolved", "membership", "delivery"})


def test_python_sdk(installation: Installation, receiver: Receiver, tail: Tail) -> None:
    """segment-analytics-python: anonymous pages, identify and an order become one person, a member, a delivery."""
    from segment.analytics.client import Client

    user, device = f"py-{uuid.uuid4().hex[:8]}", str(uuid.uuid4())
    email = f"{user}@example.com"
    errors: list[Exception] = []
    client = Client(WRITE_KEY, host=installation.collector_url, on_error=lambda error, _: errors.append(error))
    client.page(anonymous_id=device, name="Trang chủ", properties={"path": "/"})
    client.page(anonymous_id=device, name="Áo dài", properties={"path": "/ao-dai"})
    client.identify(user, {"email": email.upper(), "name": "Nguyễn Thị Lan"}, anonymous_id=device)
    client.track(user, "Order Completed", {"total": 1_850_000, "currency": "VND"}, anonymous_id=device)
    client.shutdown()

    assert errors == []
    assert_walked(installation, receiver, tail, user=user, device=device, email=email)


@pytest.mark.browser
def test_browser_sdk(installation: Installation, receiver: Receiver, tail: Tail, shop_page: str, browser: Any) -> None:
    """@segment/analytics-next in Chromium, its settings from the collector: the same story, the same end."""
    user = f"js-{uuid.uuid4().hex[:8]}"
    email = f"{user}@example.com"
    page = browser.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{shop_page}?collector={installation.collector_url}&key={WRITE_KEY}")
    device = page.evaluate("analytics.ready().then(() => analytics.instance.user().anonymousId())")
    page.evaluate(
        """async ([user, email]) => {
            await analytics.page('Áo dài');
            await analytics.identify(user, {email: email, name: 'Trần Văn Hùng'});
            await analytics.track('Order Completed', {total: 1850000, currency: 'VND'});
        }""",
        [user, email],
    )

    assert problems == []
    assert_walked(installation, receiver, tail, user=user, device=device, email=email)
    page.close()


@pytest.fixture(scope="module")
def shop_page(analytics_next: Path) -> Iterator[str]:
    """The address of a shop's page with Segment's official SDK, on an origin that is not the collector's."""
    handler = functools.partial(QuietFiles, directory=str(analytics_next))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/shop.html"
    server.shutdown()
    server.server_close()


class QuietFiles(http.server.SimpleHTTPRequestHandler):
    """Serves the page and the SDK, and says nothing."""

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""

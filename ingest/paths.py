"""The paths of the collector, and what stands behind each. Trailing and doubled slashes do not matter."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from ingest.sources.segment import Kind

Work = Literal["events", "pixel", "click", "series", "settings", "source_config", "script", "cookie", "webhook"]

LETTERS: dict[str, Kind] = {
    "t": "track",
    "i": "identify",
    "p": "page",
    "s": "screen",
    "g": "group",
    "a": "alias",
}
# RudderStack's merge joins two identifiers.
KINDS: tuple[Kind, ...] = (*LETTERS.values(), "merge")
BATCHES = ("/v1/batch", "/v1/b", "/v1/import", "/v1/batch/b", "/batch", "/b", "/beacon/v1/batch")
PIXELS: tuple[Kind, ...] = ("track", "page")

SETTINGS = re.compile(r"(?:/v1)?(?:/projects)+/([^/]+)/settings")
WEBHOOK = re.compile(r"/v1/webhooks/([^/]+)")
FILE = re.compile(rb"(?:^|&)kind=")
BUILD = re.compile(r"/cdp/([0-9a-f]+)\.js")
SLASHES = re.compile(r"/{2,}")
# What is answered here even where nothing is: so that a web page can read the 404.
OURS = re.compile(r"/+(?:(?:v1|beacon|pixel|projects|sourceConfig|cdp|api/s)(?:/|$)|(?:b|batch|cdp\.js)/*$)")


class Route(NamedTuple):
    """What stands behind a path. `kind` of None takes batches; `argument` is what a path says in its
    last, or only, variable part."""

    name: str
    work: Work
    kind: Kind | None = None
    argument: str = ""

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods it answers, beside OPTIONS; the first is the one to use."""
        if self.work in ("webhook", "cookie"):
            return ("POST", "GET", "HEAD")
        return ("POST",) if self.work in ("events", "series") else ("GET", "HEAD")


def _routes() -> dict[str, Route]:
    singles = {f"/v1/{kind}": Route(f"/v1/{kind}", "events", kind) for kind in KINDS}
    letters = {f"/v1/{letter}": Route(f"/v1/{letter}", "events", kind) for letter, kind in LETTERS.items()}
    jitsu = {
        f"/api/s/{way}{kind}": Route(f"/api/s/{way}{kind}", "events", kind)
        for kind in LETTERS.values()
        for way in ("", "s2s/")
    }
    batches = {path: Route(path, "events") for path in BATCHES}
    pixels = {f"/pixel/v1/{kind}": Route(f"/pixel/v1/{kind}", "pixel", kind) for kind in PIXELS}
    pixels |= {f"/v1/pixel/{kind}": Route(f"/v1/pixel/{kind}", "pixel", kind) for kind in LETTERS.values()}
    others = {
        "/v1/m": Route("/v1/m", "series"),
        "/v1/pixel.gif": Route("/v1/pixel.gif", "pixel"),
        "/v1/click": Route("/v1/click", "click"),
        "/sourceConfig": Route("/sourceConfig", "source_config"),
        "/cdp.js": Route("/cdp.js", "script"),
        "/v1/id": Route("/v1/id", "cookie"),
    }
    return singles | letters | jitsu | batches | pixels | others


ROUTES = _routes()


def is_ours(path: str) -> bool:
    """Whether the collector answers the path."""
    return path in ROUTES or OURS.match(path) is not None


def is_file(path: str, query: bytes) -> bool:
    """Whether a request brings a file for the API (`ingest.routes.imports`), and no batch of events."""
    return path == "/v1/import" and FILE.search(query) is not None


def route_of(path: str) -> Route | None:
    """What stands behind a path; None for nothing."""
    if (found := ROUTES.get(path)) is not None:
        return found
    plain = SLASHES.sub("/", path).rstrip("/")
    if (found := ROUTES.get(plain)) is not None:
        return found
    if build := BUILD.fullmatch(plain):
        return Route("/cdp/{build}.js", "script", argument=build[1])
    if settings := SETTINGS.fullmatch(plain):
        return Route("/v1/projects/{write_key}/settings", "settings", argument=settings[1])
    if webhook := WEBHOOK.fullmatch(plain):
        return Route("/v1/webhooks/{source}", "webhook", argument=webhook[1])
    return None

"""Builds of the script for web pages, and the lines that load one.

`cdp.js` is made of `source/` by `npm run build` in this folder; a test holds it to that. It is small because every
page pays for it. A page may load it by two addresses: `/cdp.js`, always the newest, or `/cdp/<hash>.js`, one build for
ever, whose `integrity` the browser checks (W3C Subresource Integrity). So builds of earlier releases stay in
`released/`.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from html import escape
from importlib.resources import files
from typing import NamedTuple

FOLDER = files("ingest.browser")
HASH_CHARS = 20


class Build(NamedTuple):
    """One build: the start of its SHA-256 in hex, its bytes plain and gzipped, and what `integrity` says."""

    hash: str
    plain: bytes
    zipped: bytes
    integrity: str


def build_of(plain: bytes) -> Build:
    """The build that a script is."""
    digest = base64.b64encode(hashlib.sha384(plain).digest()).decode()
    return Build(
        hashlib.sha256(plain).hexdigest()[:HASH_CHARS],
        plain,
        gzip.compress(plain, compresslevel=9, mtime=0),
        f"sha384-{digest}",
    )


def _released() -> list[Build]:
    folder = FOLDER.joinpath("released")
    scripts = [file for file in folder.iterdir() if file.name.endswith(".js")] if folder.is_dir() else []
    return [build_of(script.read_bytes()) for script in scripts]


CURRENT = build_of(FOLDER.joinpath("cdp.js").read_bytes())
BUILDS = {build.hash: build for build in (*_released(), CURRENT)}

# Keeps the calls that a page makes before the script is there, in their order.
STUB = FOLDER.joinpath("stub.js").read_text("utf-8").strip()


def snippet(address: str, write_key: str) -> str:
    """The lines to paste into a page's head. `address` is this service's URL as browsers reach it."""
    source = escape(f"{address.rstrip('/')}/cdp/{CURRENT.hash}.js")
    return (
        f"<script>{STUB}</script>\n"
        f'<script async src="{source}" integrity="{CURRENT.integrity}" crossorigin="anonymous" '
        f'data-write-key="{escape(write_key)}"></script>'
    )

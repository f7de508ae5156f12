"""The script as it is handed out: made of its sources, small, cached, pinned; and the snippet that loads it."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ingest.browser.builds import BUILDS, CURRENT, build_of, snippet
from ingest.collector import Collector
from ingest.testing import Client
from tests.parts import missing

FOLDER = Path(__file__).parents[3] / "ingest" / "browser"
LARGEST = 6_000


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the script's folder with the tools that make it, from npm."""
    if shutil.which("npm") is None:
        missing("npm, to make cdp.js")
    folder = tmp_path_factory.mktemp("browser") / "script"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True)
    return folder


@pytest.mark.browser
def test_the_script_is_what_its_sources_make(tools: Path) -> None:
    """Byte for byte; after a change run `npm ci && npm run build` in ingest/browser."""
    subprocess.run(["npm", "run", "--silent", "build"], cwd=tools, check=True)
    assert (tools / "cdp.js").read_bytes() == CURRENT.plain


@pytest.mark.browser
def test_the_sources_hold_their_types(tools: Path) -> None:
    """TypeScript's compiler finds nothing, in its strict mode."""
    checked = subprocess.run(["npm", "run", "--silent", "check"], cwd=tools, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_the_script_is_small_and_keeps_to_strict_policies() -> None:
    """Under 6 KB as it is sent, with nothing in it that a strict content security policy forbids."""
    assert len(CURRENT.zipped) < LARGEST
    text = CURRENT.plain.decode()
    assert not re.search(r"\beval\(|new Function\b|innerHTML|document\.write|\.style\b|sourceMappingURL", text)


async def test_the_newest_build(collector: Collector) -> None:
    """Cached for an hour, zipped for those who can, and not sent twice."""
    client = Client(collector)
    plain = await client.ask("GET", "/cdp.js")
    small = await client.ask("GET", "/cdp.js", {"Accept-Encoding": "gzip, br"})
    assert plain.headers["content-type"] == "text/javascript; charset=utf-8"
    assert plain.headers["cache-control"] == "public, max-age=3600, stale-while-revalidate=86400"
    assert (small.headers["content-encoding"], small.body) == ("gzip", CURRENT.zipped)
    assert "Accept-Encoding" in small.headers["vary"]
    again = await client.ask("GET", "/cdp.js", {"If-None-Match": plain.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


async def test_one_build_for_ever(collector: Collector) -> None:
    """At the address of its hash, which never changes; readable for a page that checks it; 404 for what never was."""
    client = Client(collector)
    for path in (f"/cdp/{CURRENT.hash}.js", f"//cdp//{CURRENT.hash}.js"):
        answer = await client.ask("GET", path, {"Origin": "https://shop.vn"})
        assert (answer.status, answer.body) == (200, CURRENT.plain)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["access-control-allow-origin"] == "https://shop.vn"
    unknown = await client.ask("GET", "/cdp/0123abcd.js", {"Origin": "https://shop.vn"})
    assert (unknown.status, unknown.json()["code"]) == (404, "no_such_build")
    assert "max-age" not in unknown.headers.get("cache-control", "")
    assert (await client.ask("GET", "/cdp/nothing")).status == 404


async def test_pages_that_pinned_an_earlier_build_go_on(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was released is served beside the newest."""
    earlier = build_of(b"/* the first */")
    monkeypatch.setitem(BUILDS, earlier.hash, earlier)
    assert (await Client(collector).ask("GET", f"/cdp/{earlier.hash}.js")).body == earlier.plain


def test_the_snippet() -> None:
    """The stub, then one build, with the hash that browsers check; whatever is in the write key stays in its quotes."""
    lines = snippet("https://cdp.shop.vn/", 'wk_"><script>&')
    digest = base64.b64encode(hashlib.sha384(CURRENT.plain).digest()).decode()
    assert f'src="https://cdp.shop.vn/cdp/{CURRENT.hash}.js" integrity="sha384-{digest}"' in lines
    assert 'crossorigin="anonymous"' in lines
    assert 'data-write-key="wk_&quot;&gt;&lt;script&gt;&amp;"' in lines
    assert lines.count("<script") == 2

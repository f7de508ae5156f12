"""The whole product in this process, and somebody who brings it files."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from cdp.settings import Settings
from cdp.wiring import Service, running
from ingest.imports.job import KIND
from ingest.testing import ensure_source
from tests.waiting import eventually

ROLES = ["collector", "resolver", "loader", "api"]
NUMBERS = itertools.count(1)


class Shop:
    """Somebody with files, and the product."""

    def __init__(self, service: Service, client: httpx.AsyncClient, source: str = "pos", begin: int = 20) -> None:
        self.service = service
        self.client = client
        self.source = source
        self._begin = begin
        self._jobs = len(service.platform.registry.all(KIND))

    def customers(self, count: int) -> list[list[str]]:
        """A list of customers whom no other test has."""
        numbers = range(self._begin, self._begin + count)
        return [["Mã KH", "Họ tên", "SĐT"], *([f"KH{n}", f"Khách {n}", f"0905{n:06d}"] for n in numbers)]

    async def bring(self, content: bytes, path: str = "/api/v1/imports", **query: Any) -> httpx.Response:
        """Send a file."""
        params = {"source": self.source, "name": "file.csv", **query}
        return await self.client.post(path, params=params, content=content)

    async def get(self, path: str) -> Any:
        """An answer, decoded."""
        answer = await self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def until(self, key: str, *states: str) -> dict[str, Any]:
        """Wait until an import is in one of these states."""

        async def there() -> dict[str, Any] | None:
            job: dict[str, Any] = await self.get(f"/api/v1/imports/{key}")
            return job if job["state"] in states else None

        found = await eventually(there, 60)
        assert found is not None
        return found

    async def imported(self, content: bytes, **query: Any) -> dict[str, Any]:
        """Send a file, and wait until its import has ended."""
        answer = await self.bring(content, **query)
        assert answer.status_code in (200, 201), answer.text
        return await self.until(answer.json()["key"], "finished", "failed", "ready")

    async def stored(self) -> list[dict[str, Any]]:
        """Every stored event of the source."""
        answer = await self.client.get("/api/v1/events", params={"source": self.source, "limit": 100_000})
        return [httpx.Response(200, content=line).json() for line in answer.text.splitlines()]

    def jobs(self) -> int:
        """How many imports there are since this began."""
        return len(self.service.platform.registry.all(KIND)) - self._jobs


@pytest.fixture
def anywhere(settings: Settings) -> Settings:
    """Settings that listen on any port."""
    return settings.model_copy(update={"http": settings.http.model_copy(update={"port": 0})})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def product(short_folder: Path, chdb_folder: Path) -> AsyncIterator[Service]:
    """The product from end to end, for all tests of a module."""
    unique = uuid.uuid4().hex[:12]
    everything = Settings.load(
        data_dir=short_folder / unique,
        http={"port": 0},
        warehouse={"dsn": f"chdb://{chdb_folder}", "database": f"test_{unique}", "handles": 2},
    )
    async with running(everything, ROLES, say=lambda _: None) as service:
        yield service


@pytest_asyncio.fixture(loop_scope="module")
async def shop(product: Service) -> AsyncIterator[Shop]:
    """Somebody with a source and customers of their own."""
    number = next(NUMBERS)
    async with opened(product, f"pos-{number}", number * 1_000) as found:
        yield found


@asynccontextmanager
async def opened(service: Service, source: str = "pos", begin: int = 20) -> AsyncIterator[Shop]:
    """Somebody who comes to a running product."""
    platform, begins = service.platform, service.credentials
    await ensure_source(platform.registry, f"wk_{source}", "test", clock=platform.clock, key=source)
    headers = {"Authorization": f"Bearer {begins.admin_token}"}
    async with httpx.AsyncClient(base_url=begins.url, headers=headers, timeout=30) as client:
        yield Shop(service, client, source, begin)

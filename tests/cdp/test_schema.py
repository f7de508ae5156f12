"""Tests of the whole API against its own description: schemathesis asks what the document allows, and what not."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from cdp.settings import Settings
from cdp.wiring import running

# Endless by nature, or (referential and connector-specific rules) stricter than JSON Schema can say.
OPTIONS = [
    "--exclude-path=/api/v1/tail",
    "--exclude-checks=positive_data_acceptance",
    "--max-examples=6",
    "--seed=1",
    "--generation-database=none",
    "--no-color",
]


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_the_api_is_as_its_document_says(settings: Settings) -> None:
    """No answer is a 500, undocumented, of another shape than described, or given to one who may not have it."""
    anywhere = settings.model_copy(update={"http": settings.http.model_copy(update={"port": 0})})
    async with running(anywhere, ["collector", "api"], say=lambda _: None) as service:
        begin = service.credentials
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{begin.url}/openapi.json", *OPTIONS]
        command += ["--header", f"Authorization: Bearer {begin.admin_token}"]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=380)

    assert done.returncode == 0, done.stdout[-20_000:]

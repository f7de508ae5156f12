"""Parameters that several routes of this wing take."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Query

from cdp.auth import platform
from cdp.errors import InvalidError
from cdp.records import encode
from cdp.service import Platform


def encoded(value: Any, path: str) -> bytes:
    """A value of a request as JSON again. Raises `InvalidError` for half a character, which JSON can name."""
    try:
        return encode(value)
    except UnicodeEncodeError:
        raise InvalidError("A text in it holds half of a surrogate pair, which is no character.", path=path) from None


SLUG = r"^[a-z0-9][a-z0-9_-]{0,63}$"

Opened = Annotated[Platform, Depends(platform)]
Limit = Annotated[int, Query(ge=1, le=1_000, description="Most items to return.")]
After = Annotated[str, Query(max_length=200, description="The cursor `next` of the page before.")]
SourceKey = Annotated[str, Path(pattern=SLUG, description="The source's key.", examples=["shop-web"])]

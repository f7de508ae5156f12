"""The id of a browser that the collector keeps in a cookie: its switch per source, what is believed, and what is set.

A cookie that a server sets outlives what browsers let scripts keep (Safari forgets that after seven days), and all
pages that reach the collector under one name get the same id. It belongs to one source, scripts cannot read it, and it
is only told to pages that the source names.
"""

from __future__ import annotations

import re
from http.cookies import CookieError, SimpleCookie
from typing import Annotated
from uuid import uuid4

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

DAY = 86_400
# What the script makes, and what other SDKs make: UUIDs, hex, base36.
ID = re.compile(r"[A-Za-z0-9._:-]{8,100}")


class IdCookie(BaseModel):
    """A cookie with the browser's id, `GET` and `POST /v1/id`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: int = Field(395, ge=1, le=400, description="How long browsers keep it after the last visit.")


def _for_named_pages(cookie: IdCookie | None, info: ValidationInfo) -> IdCookie | None:
    if cookie and not [origin for origin in info.data.get("allowed_origins", ()) if origin != "null"]:
        raise ValueError("needs `allowed_origins`: the id is only told to pages that are named")
    return cookie


OfferedCookie = Annotated[IdCookie | None, AfterValidator(_for_named_pages)]


def name_of(source: str) -> str:
    """The cookie's name: each source has its own. Browsers take `__Host-` only from this host itself, over https."""
    return f"__Host-cdp_{source}"


def known_id(cookies: str, source: str) -> str:
    """The id in a `Cookie` header; empty without one that is an id."""
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(cookies)
    except CookieError:
        return ""
    found = jar.get(name_of(source))
    return believed(found.value) if found else ""


def believed(value: object) -> str:
    """A value if it is an id, else empty."""
    return value if isinstance(value, str) and ID.fullmatch(value) else ""


def new_id() -> str:
    """An id that nobody has."""
    return uuid4().hex


def set_cookie(cookie: IdCookie, source: str, value: str) -> str:
    """The value of the `Set-Cookie` header."""
    return f"{name_of(source)}={value}; Path=/; Max-Age={cookie.days * DAY}; Secure; HttpOnly; SameSite=Lax"

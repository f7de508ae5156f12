"""Where `GET /v1/click` may lead to: hosts that a source allows, and the target of a link, held against them.

A target is taken only where every reader of URLs understands it alike, browsers (WHATWG) and RFC 3986 both: printable
text `http(s)://HOST[:PORT]` and then nothing or `/`, `?` or `#`; no user, no backslash, no control character. What goes
out is not that text but a URL made from its checked parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated
from urllib.parse import quote, urlencode

import idna
from pydantic import AfterValidator, Field

LONGEST = 4_096

PORTS = {"http": "80", "https": "443"}
SHAPE = re.compile(r"(?i:(https?))://([^/?#]+)([/?#].*)?")
PLACE = re.compile(r"([^:@\[\]%]+)(?::([0-9]{1,5}))?")
LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
HOST = re.compile(rf"{LABEL}(?:\.{LABEL})*")
# A wildcard for a whole top-level domain would be none of the source's own.
ALLOWED = re.compile(rf"(?:\*\.{LABEL}(?:\.{LABEL})+|{LABEL}(?:\.{LABEL})*)(?::[0-9]{{1,5}})?")
BROKEN = re.compile(r"[\x00-\x1f\x7f\\]")
# What stays as it is in a path, query or fragment; anything else is percent-encoded, as browsers do.
SAFE = "/?#[]@!$&'()*+,;=:%-._~|"


def host_pattern(text: str) -> str:
    """A host as a source names it, in lower case and ASCII. Raises `ValueError` for what is none."""
    star, rest = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    name, colon, port = rest.strip().partition(":")
    host = star + (ascii_host(name) or name) + colon + port
    if not ALLOWED.fullmatch(host):
        raise ValueError(f"{text!r} is no host: write shop.vn, *.shop.vn or shop.vn:8443, without https:// and path")
    return host


RedirectHost = Annotated[str, Field(max_length=300), AfterValidator(host_pattern)]


def target_of(text: str, allowed: Iterable[str]) -> str | None:
    """The URL to send a visitor to, in ASCII; None for what is none, or leads to a host that is not allowed.

    Bytes that are no UTF-8 come as `surrogateescape` has them, and go out as they came.
    """
    text = text.strip(" ")
    parts = SHAPE.fullmatch(text) if len(text) <= LONGEST and not BROKEN.search(text) else None
    place = PLACE.fullmatch(parts[2]) if parts else None
    host = ascii_host(place[1]) if place else None
    if parts is None or place is None or host is None:
        return None
    scheme, port = parts[1].lower(), (place[2] or "").lstrip("0")
    shown = host if port in ("", PORTS[scheme]) else f"{host}:{port}"
    if not any(covers(pattern, shown) for pattern in allowed):
        return None
    try:
        return f"{scheme}://{shown}{quote(parts[3] or '/', safe=SAFE, errors='surrogateescape')}"
    except UnicodeEncodeError:
        return None


def covers(pattern: str, host: str) -> bool:
    """Whether a host, with its port unless that is the usual one, is what a source allows."""
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def ascii_host(name: str) -> str | None:
    """A host's name as it goes over the wire; None for what is none, an address written as a number included."""
    try:
        host = name.lower() if name.isascii() else idna.encode(name, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        return None
    return host if len(host) <= 253 and HOST.fullmatch(host) else None


def with_parameters(url: str, parameters: dict[str, str]) -> str:
    """A URL with these parameters at the end of its query, before the fragment."""
    if not parameters:
        return url
    before, mark, fragment = url.partition("#")
    joint = "" if before.endswith(("?", "&")) else "&" if "?" in before else "?"
    return f"{before}{joint}{urlencode(parameters)}{mark}{fragment}"

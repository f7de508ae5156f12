"""The web pages that may send to a source: origins, exact or with a wildcard for subdomains.

    https://shop.vn          this host, no other
    https://*.shop.vn        www.shop.vn and a.b.shop.vn, not shop.vn itself
    http://localhost:3000    a port that is not the scheme's own is part of the origin
    null                     pages without an origin: files, sandboxed frames

A browser writes an origin in one form (RFC 6454, 6.2): lower case, the default port left out, names in ASCII. What
people write is brought into that form, so that `https://Áodài.VN:443` is what a page there sends.

This keeps mistakes out, not attackers: whoever is no browser sends any origin, or none. Write keys are public, and a
request without an `Origin` header passes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<stars>\*\.)?(?P<host>[^\s/:?#@*\[\]]+|\[[0-9a-f:.]+\])(?::(?P<port>\d{1,5}))?"
)
PORTS = {"http": "80", "https": "443"}
NO_ORIGIN = "null"


class Origins:
    """A set of origins and of wildcards. `in` asks whether a page may send."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        """`allowed` as `canonical` gives them."""
        self._allowed = frozenset(allowed)

    def __len__(self) -> int:
        return len(self._allowed)

    def __contains__(self, origin: str) -> bool:
        """Whether a request with this `Origin` header is from a page that may send."""
        origin = origin.lower()
        return origin in self._allowed or any(parent in self._allowed for parent in _parents(origin))

    def __repr__(self) -> str:
        return f"Origins({sorted(self._allowed)})"


def canonical(written: str) -> str:
    """An origin or a wildcard as people write it → as browsers send it. Raises `ValueError` for what is neither."""
    text = written.strip().lower()
    if text == NO_ORIGIN:
        return text
    found = ORIGIN.fullmatch(text.removesuffix("/"))
    if found is None:
        raise ValueError("must be an origin such as https://shop.vn, https://*.shop.vn (its subdomains), or null")
    port = "" if found["port"] in (None, PORTS[found["scheme"]]) else f":{found['port']}"
    return f"{found['scheme']}://{found['stars'] or ''}{_ascii(found['host'])}{port}"


def _ascii(host: str) -> str:
    """A host's name as it goes over the wire. Raises `ValueError` for a name that cannot be."""
    return host if host.isascii() else host.encode("idna").decode()


def _parents(origin: str) -> Iterator[str]:
    """The wildcards that would let an origin in: `https://a.b.vn` → `https://*.b.vn`, `https://*.vn`."""
    scheme, separator, rest = origin.partition("://")
    while separator and (rest := rest.partition(".")[2]):
        yield f"{scheme}://*.{rest}"

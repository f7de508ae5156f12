"""Every error of the product, sorted by what its reader must do.

CdpError
├── InvalidError(path)          the input is wrong: correct it at `path` and send it again
│   └── NotFoundError           what was named does not exist
├── ConflictError               somebody else changed it first: read it again, then retry
├── ForbiddenError              the token is missing, unknown or lacks a scope
├── MisconfiguredError          the operator must change a setting; retrying cannot help
├── PermanentError              the other side refused for good: set the record aside
└── TransientError(retry_after) try again later; nothing is wrong with the input
"""

from __future__ import annotations


class CdpError(Exception):
    """The root of everything this product raises on purpose.

    `code` is a stable word for machines; the message says what was wrong and what to do.
    """

    code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class InvalidError(CdpError):
    """The input is wrong. `path` leads into it, for example `batch[3].event` or `conditions[0].op`."""

    code = "invalid"

    def __init__(self, message: str, *, path: str = "", code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.path = path


class NotFoundError(InvalidError):
    """What was named does not exist (any more)."""

    code = "not_found"


class ConflictError(CdpError):
    """The thing changed since it was read, or a thing of that name exists already."""

    code = "conflict"


class ForbiddenError(CdpError):
    """The caller may not do this. Never says whether the token or the thing was at fault."""

    code = "forbidden"


class MisconfiguredError(CdpError):
    """A setting is wrong or a needed part is not installed; the message names it and the remedy."""

    code = "misconfigured"


class PermanentError(CdpError):
    """The other side refused for good; the record goes aside with this reason."""

    code = "refused"


class TransientError(CdpError):
    """The other side is away or busy. `retry_after` is in seconds."""

    code = "unavailable"

    def __init__(self, message: str, *, retry_after: float = 1.0, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after

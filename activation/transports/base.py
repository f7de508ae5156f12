"""What every transport does."""

from __future__ import annotations

from typing import Protocol, TypeVar

from activation.requests import Reply

R_contra = TypeVar("R_contra", contravariant=True)


class Transport(Protocol[R_contra]):
    """Carries the requests of one destination. `activation.testing.TransportContract` examines it."""

    async def send(self, request: R_contra) -> Reply:
        """Carry out one request, and return what came back, whatever it says.

        Raises `TransientError` when nothing usable came back in time (whether it arrived is then unknown),
        `MisconfiguredError` when a setting must change first, `PermanentError` when the request can never be sent.
        """
        ...

    async def close(self) -> None:
        """Let go of connections and files within a few seconds."""
        ...

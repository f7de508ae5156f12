"""The command line: `cdp up` runs the product, everything else talks to the running one through its API."""

from __future__ import annotations


def main() -> None:
    """The command `cdp`."""
    from cdp.cli.commands import run  # here, so that a part of this package can be imported without all of it

    run()

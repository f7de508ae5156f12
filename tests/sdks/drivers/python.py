"""Performs plays with an SDK for Python: all at once, each told to a client of its own.

python python.py <sdk> <plays.json>       prints one line of JSON a play, {"name", "errors"}
"""

from __future__ import annotations

import importlib
import json
import sys
import threading
from datetime import datetime
from typing import Any

MODULES = {
    "segment": "segment.analytics.client",
    "rudder": "rudderstack.analytics.client",
    "customerio": "customerio.analytics.client",
}


def perform(sdk: str, play: dict[str, Any]) -> None:
    """Tell an SDK the play's calls, and wait until it is done with them."""
    errors: list[str] = []
    make = importlib.import_module(MODULES[sdk]).Client
    client = make(
        play["write_key"], host=play["url"], on_error=lambda error, _: errors.append(str(error)), **play["options"]
    )
    for call in play["calls"]:
        tell(client, **call)
    client.shutdown()
    print(json.dumps({"name": play["name"], "errors": errors}), flush=True)


def tell(client: Any, type: str, **call: Any) -> None:
    """Make one call."""
    names = {"userId": "user_id", "anonymousId": "anonymous_id", "groupId": "group_id", "previousId": "previous_id"}
    arguments = {names.get(name, name): value for name, value in call.items()}
    if "timestamp" in arguments:
        arguments["timestamp"] = datetime.fromisoformat(arguments["timestamp"].replace("Z", "+00:00"))
    getattr(client, type)(**arguments)


def main(sdk: str, path: str) -> None:
    """Perform all plays."""
    with open(path) as file:
        plays = json.load(file)
    threads = [threading.Thread(target=perform, args=(sdk, play)) for play in plays]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Calls about message batches over plain HTTP, with the replies as they came."""

from __future__ import annotations

import json
import time
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from producer.simulator.process import RunningSimulator

_HEADERS = {"x-api-key": "k", "anthropic-version": "2026-10-21"}
_PATH = "/v1/messages/batches"
_MODEL = "claude-opus-4-7"


def call(simulator: RunningSimulator, method: str, path: str = "", body: Any = None, *, patience_s: float = 10) -> Any:
    """Call and return the status, the headers and the body, or the exception of a broken reply."""
    address = urlsplit(simulator.url)
    with closing(HTTPConnection(str(address.hostname), address.port, timeout=patience_s)) as connection:
        try:
            connection.request(method, _PATH + path, None if body is None else json.dumps(body), _HEADERS)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        except (HTTPException, OSError) as error:
            return type(error), {}, getattr(error, "partial", b"")


def create(simulator: RunningSimulator, count: int = 4, **more: Any) -> Any:
    """Create a message batch of small requests, and return the reply."""
    params = {"model": _MODEL, "max_tokens": 100}
    requests = [
        {
            "custom_id": f"item-{number}",
            "params": {**params, "messages": [{"role": "user", "content": f"{number} bridges were closed."}]},
        }
        for number in range(count)
    ]
    return call(simulator, "POST", body={"requests": requests}, **more)


def created_id(simulator: RunningSimulator, count: int = 4) -> str:
    """Create a message batch that must be taken, and return its id."""
    status, _, body = create(simulator, count)
    assert status == 200, body
    return str(json.loads(body)["id"])


def until(simulator: RunningSimulator, state: str = "ended", position: int = -1) -> dict[str, Any]:
    """Wait for the state of a message batch by the simulator's own list, which no fault reaches."""
    end = time.monotonic() + 20
    while (batch := simulator.batches()[position])["processing_status"] != state:
        assert time.monotonic() < end, batch
        time.sleep(0.02)
    return batch


def lines_of(simulator: RunningSimulator, batch_id: str) -> list[bytes]:
    """Download the results, split at line ends alone."""
    status, _, body = call(simulator, "GET", f"/{batch_id}/results")
    assert status == 200, body
    return list(body.split(b"\n"))


def custom_ids_of(lines: list[bytes]) -> list[str]:
    """Read the custom_ids of results, sorted."""
    return sorted(json.loads(line)["custom_id"] for line in lines if line)

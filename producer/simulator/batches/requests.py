"""The body of a create: the rules that the API checks at once. The items themselves are checked as they run."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from producer.simulator.request.checks import RefusedError, invalid, read_json
from producer.simulator.request.errors import ERRORS

if TYPE_CHECKING:
    from producer.simulator.answer.batch_script import BatchSettings

_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}", re.ASCII)
_LONGEST_ID = 64


@dataclass(frozen=True, slots=True)
class Item:
    """A request of a message batch: its id, and the body that a live request would have."""

    custom_id: str
    body: bytes


def read_items(raw: bytes, settings: BatchSettings) -> list[Item]:
    """Check a create in the API's order: size, JSON, number of requests, fields, custom_ids."""
    if len(raw) > settings.most_bytes:
        raise RefusedError("413", ERRORS["413"])
    body = read_json(raw)
    requests = body.get("requests") if isinstance(body, dict) else None
    if requests is None:
        raise invalid("requests: Field required")
    if not isinstance(requests, list):
        raise invalid("requests: Input should be a valid list")
    if not requests:
        raise invalid("requests: List should have at least 1 item after validation, not 0")
    if len(requests) > settings.most_requests:
        raise RefusedError("413", ERRORS["413"])
    items = [_item(each, f"requests.{position}") for position, each in enumerate(requests)]
    seen: set[str] = set()
    for item in items:
        if item.custom_id in seen:
            raise invalid(f"requests: custom_id must be unique within a batch, found duplicate: {item.custom_id}")
        seen.add(item.custom_id)
    return items


def _item(request: Any, where: str) -> Item:
    if not isinstance(request, dict):
        raise invalid(f"{where}: Input should be a valid dictionary")
    for name, kind, words in (("custom_id", str, "string"), ("params", dict, "dictionary")):
        if name not in request:
            raise invalid(f"{where}.{name}: Field required")
        if not isinstance(request[name], kind):
            raise invalid(f"{where}.{name}: Input should be a valid {words}")
    custom_id = request["custom_id"]
    if len(custom_id) > _LONGEST_ID:
        raise invalid(f"{where}.custom_id: String should have at most {_LONGEST_ID} characters")
    if not _CUSTOM_ID.fullmatch(custom_id):
        raise invalid(f"{where}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")
    return Item(custom_id, json.dumps(request["params"], separators=(",", ":")).encode())

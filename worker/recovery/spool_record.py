"""A kept reply as one line of JSON, and back; the last field is a checksum of the bytes before.

All characters outside ASCII are escaped, so any answer survives. The checksum finds a changed digit, which would still
be JSON, and would enter the ledger as an exact cost.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from models.job.values import Closing, DecisionRecord, Ending, SpooledReply
from models.money.pricing import Parts
from models.money.usage import Usage
from models.outcome import CostStatus, Outcome, State

_VERSION = 2
_LINE = re.compile(rb'(.*),"checksum":"([0-9a-f]{16})"\}\n?', re.DOTALL)


def to_line(kept: SpooledReply) -> bytes:
    """Return the reply as a line, with its line end."""
    entry = {"v": _VERSION, **_fields(kept)}
    text = json.dumps(entry, default=_plain, separators=(",", ":")).encode()
    return text.removesuffix(b"}") + b',"checksum":"' + _checksum(text) + b'"}\n'


def from_line(line: bytes) -> SpooledReply:
    """Read a line, with its end or without. Raises ValueError with the reason if the line is no line of ours."""
    parts = _LINE.fullmatch(line)
    if parts is None:
        raise ValueError("the line has no checksum: it was cut, or another program wrote it")
    if not is_whole(line):
        raise ValueError("the checksum is not that of the line: the line was changed")
    with suppress(KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return _kept(json.loads(line))
    raise ValueError("the line is whole and holds no reply: another program wrote it")


def is_whole(line: bytes) -> bool:
    """Return whether a line is unchanged, but for its end."""
    parts = _LINE.fullmatch(line)
    return parts is not None and parts[2] == _checksum(parts[1] + b"}")


def _checksum(text: bytes) -> bytes:
    return blake2b(text, digest_size=8).hexdigest().encode()


def _kept(entry: Any) -> SpooledReply:
    if entry["v"] != _VERSION:
        raise ValueError(f"version {entry['v']}, this worker reads {_VERSION}")
    closing, ending = _closing(entry["closing"]), entry["ending"] and _ending(entry["ending"])
    return SpooledReply(job_id=entry["job_id"], token=entry["token"], closing=closing, ending=ending)


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _plain(value: object) -> Any:
    match value:
        case Decimal():
            return str(value)
        case datetime():
            return value.isoformat()
        case Closing() | Ending() | DecisionRecord() | Parts() | Usage():
            return _fields(value)
        case Mapping():
            return dict(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _closing(entry: dict[str, Any]) -> Closing:
    parts, usage = entry["parts"], entry["usage"]
    known = {
        "outcome": Outcome(entry["outcome"]),
        "cost_status": CostStatus(entry["cost_status"]),
        **{name: None if entry.get(name) is None else Decimal(entry[name]) for name in ("cost_usd", "least_usd")},
        "parts": parts and Parts(**{name: Decimal(part) for name, part in parts.items()}),
        "usage": usage and Usage(**usage),
    }
    return Closing(**entry | known)


def _ending(entry: dict[str, Any]) -> Ending:
    known = {
        "state": State(entry["state"]),
        "given_up": {int(rung): reason for rung, reason in entry["given_up"].items()},
        "decisions": tuple(
            DecisionRecord(**one | {"at": datetime.fromisoformat(one["at"])}) for one in entry["decisions"]
        ),
    }
    return Ending(**entry | known)

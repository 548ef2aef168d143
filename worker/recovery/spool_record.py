"""A kept reply as one line of JSON, and back; the last field is a checksum of the bytes before.

All characters outside ASCII are escaped, so any answer survives. The checksum finds a changed digit, which would still
be JSON, and would enter the ledger as an exact cost. The version before ignores the checksum.
"""

import json
import re
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

_VERSION = 1
_USED = ("is_sure", "asked_1h")  # of a usage, once its cost is known; the version before does not know these
_LINE = re.compile(rb'(.*),"checksum":"([0-9a-f]{16})"\}\n?', re.DOTALL)
_BESIDE = ("decisions", "raised_max_tokens")  # of an ending, beside the fields that the version before reads


def to_line(kept: SpooledReply) -> bytes:
    """Return the reply as a line, with its line end."""
    closing = _fields(kept.closing)
    closing["usage"] = None if kept.closing.usage is None else _usage_fields(kept.closing.usage)
    parts, error = closing.pop("parts"), closing.pop("error")
    entry = {
        "v": _VERSION,
        "job": kept.job_id,
        "token": kept.token,
        "closing": closing,
        "parts": None if parts is None else _fields(parts),  # beside the fields that the version before reads
        "error": error,
        "ending": None if kept.ending is None else _ending_fields(kept.ending),
        "decisions": [_fields(decided) for decided in kept.ending.decisions] if kept.ending else [],
        "raised_max_tokens": kept.ending and kept.ending.raised_max_tokens,
    }
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
        message = f"version {entry['v']}, this worker reads {_VERSION}"
        raise ValueError(message)
    ending = entry["ending"]
    return SpooledReply(
        job_id=entry["job"],
        token=entry["token"],
        closing=_closing({**entry["closing"], "error": entry.get("error")}, entry.get("parts")),
        ending=None if ending is None else _ending(ending, entry),
    )


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _usage_fields(usage: Usage) -> dict[str, Any]:
    return {name: value for name, value in _fields(usage).items() if name not in _USED}


def _ending_fields(ending: Ending) -> dict[str, Any]:
    return {name: value for name, value in _fields(ending).items() if name not in _BESIDE}


def _plain(value: object) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return dict(value)  # type: ignore[call-overload]  # a Mapping; anything else is a TypeError, as it should be


def _closing(entry: dict[str, Any], parts: dict[str, str] | None) -> Closing:
    usage = entry["usage"]
    return Closing(
        **{
            **entry,
            "outcome": Outcome(entry["outcome"]),
            "cost_status": CostStatus(entry["cost_status"]),
            "cost_usd": None if entry["cost_usd"] is None else Decimal(entry["cost_usd"]),
            "parts": None if parts is None else Parts(**{name: Decimal(part) for name, part in parts.items()}),
            "usage": None if usage is None else Usage(**usage),
        }
    )


def _ending(entry: dict[str, Any], beside: dict[str, Any]) -> Ending:
    given_up = {int(rung): reason for rung, reason in entry["given_up"].items()}
    decisions = tuple(
        DecisionRecord(**{**one, "at": datetime.fromisoformat(one["at"])}) for one in beside.get("decisions", ())
    )
    return Ending(
        **{**entry, "state": State(entry["state"]), "given_up": given_up},
        decisions=decisions,
        raised_max_tokens=beside.get("raised_max_tokens"),
    )

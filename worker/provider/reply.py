"""The reply: the bytes as received, and their meaning."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from models.money.usage import Usage
from models.outcome import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A complete HTTP response; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    latency_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """No complete response. `unreachable`: no byte of the request can have left; else the call may be billed."""

    how: Literal["unreachable", "cut", "timed_out"]
    detail: str
    latency_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A Message with its usage: answered, truncated, refused, unfinished, unclear, empty or invalid.

    `flaw` is the reason why the answer fails its job, in our words and never in the answer's. `category` and
    `explanation` are the provider's reason for a refusal. `stop_reason` is empty if the API sends none.
    """

    outcome: Outcome
    message: Mapping[str, Any]
    usage: Usage
    served_model: str
    stop_reason: str
    message_id: str | None
    request_id: str | None
    latency_ms: int
    flaw: str = ""
    category: str = ""
    explanation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """No Message. `message` is the provider's own sentence, or ours about the connection.

    `per_minute` is the limit that an over_limit request exceeds, in tokens.
    """

    outcome: Outcome
    message: str
    latency_ms: int
    http_status: int | None = None
    error_type: str | None = None
    error_code: str | None = None
    retry_after_s: float | None = None
    per_minute: int | None = None
    request_id: str | None = None

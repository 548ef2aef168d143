"""The reply: the bytes as received, and their meaning."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from models.chain.cloud_error import Cloud
from models.money.usage import Usage
from models.outcome import Outcome

REQUEST_IDS = ("request-id", "x-amzn-requestid", "apim-request-id", "x-request-id")  # the API's, then those of clouds


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """The known part of a message whose stream broke, or ended without the last usage.

    `usage` is the last seen, in the API's own form. `has_output`: the answer had begun, so its tokens are billed.
    """

    message_id: str | None
    served_model: str
    usage: Mapping[str, Any]
    has_output: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A complete HTTP response; header names are lower case.

    `begun` is the known part of a stream whose message is whole, and whose last usage never came. `cloud` has the
    endpoint that was called: its words count as the API's own. `is_direct`: a compatible server sent this. Errors in
    JSON are then that server's own, and a Message may lack its usage.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    latency_ms: int
    begun: Begun | None = None
    is_direct: bool = False
    cloud: Cloud | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """No complete response.

    No byte of an `unreachable`, `unauthorized` or `bad_request` call can have left; the others may be billed.
    `headers`, `begun` and `error_type` are those of a stream that broke. `deadline` is the time that passed.
    """

    how: Literal["unreachable", "unauthorized", "cut", "timed_out", "malformed", "bad_request"]
    detail: str
    latency_ms: int
    headers: Mapping[str, str] = field(default_factory=dict)
    begun: Begun | None = None
    error_type: str | None = None
    deadline: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A Message with its usage: answered, truncated, refused, unfinished, unclear, empty or invalid.

    `flaw` is the reason why the answer fails its job, in our words and never in the answer's. `category` and
    `explanation` are the provider's reason for a refusal. `stop_reason` is empty if the API sends none. `is_part`: the
    last usage never came; `is_least`: the usage is then billed at least.
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
    is_part: bool = False
    is_least: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """No Message. `message` is the provider's own sentence, or ours about the connection.

    `per_minute` is the limit that an over_limit request exceeds, in tokens. `usage` is the last seen of a stream that
    broke; `is_least`: that usage is billed at least. `deadline` is the time that passed before a timed_out call ended.
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
    message_id: str | None = None
    served_model: str | None = None
    usage: Usage | None = None
    is_least: bool = False
    deadline: str | None = None

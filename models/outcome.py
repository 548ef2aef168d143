"""The words for the end of a job and of an attempt. They are the values in the ledger's columns."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class State(StrEnum):
    """The state of a job."""

    QUEUED = "queued"  # accepted; a message was or will be sent -> running, cancelled
    RUNNING = "running"  # one worker holds its lease -> succeeded, failed, waiting, cancelled
    WAITING = "waiting"  # parked until due_at -> running, cancelled
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN_STATES = (State.QUEUED, State.RUNNING, State.WAITING)
FINAL_STATES = (State.SUCCEEDED, State.FAILED, State.CANCELLED)
WAITS_FOR_PARTS = "parts"  # the outcome of a waiting job that is made of others' answers
HALF_PRICE = "half_price"  # the lane of message batches; the outcome of a job that waits for a place in one
IN_BATCH = "message_batch"  # the outcome of a waiting job whose request is in a message batch
AT_HALF_PRICE = (HALF_PRICE, IN_BATCH)
MOVED = "moved"  # the outcome of a job that goes live: its message batch gave no answer
PART_FAILED = "part_failed"  # of a step that stops if a part has no answer: no attempt was made
OVER_BUDGET = "over_budget"  # the outcome of a job that fits under no cap: no attempt was made


# Reasons to give a rung up that are the provider's word. v_primary_health blames a model for these alone.
PROVIDER_WORDS = (
    *(
        "circuit_open",
        "endpoint_out",
        "limited",
        "rate_limited",
        "ramp_limited",
        "overloaded",
        "server_error",
        "timed_out",
        "cut",
    ),
    *("unreachable", "malformed", "model_missing"),
)


class Outcome(StrEnum):
    """The end of one attempt."""

    ANSWERED = "answered"
    TRUNCATED = "truncated"  # 200, stopped at max_tokens or at the end of the context window
    REFUSED = "refused"  # 200 with stop_reason refusal, or 400 of the model's output filter
    UNFINISHED = "unfinished"  # 200 with pause_turn: the turn is sent back to go on
    UNCLEAR = "unclear"  # 200 with an unknown stop reason
    EMPTY = "empty"  # 200 without a word
    INVALID = "invalid"  # 200 that fails the checks of its job
    MALFORMED = "malformed"  # 200 that is not a Message: error body, HTML, no usage, bad JSON
    UNREACHABLE = "unreachable"  # no byte of the request left this machine
    CUT = "cut"  # the connection broke after bytes had left
    TIMED_OUT = "timed_out"  # our deadline passed after bytes may have left, or a gateway's (504, 524)
    BAD_REQUEST = "bad_request"
    REJECTED = "rejected"  # a 4xx of the API that no rule knows
    BLOCKED = "blocked"  # a 4xx of something in between: a firewall, a proxy, a gateway
    REDIRECTED = "redirected"  # 3xx: the address in ANTHROPIC_BASE_URL is wrong
    TOO_LONG = "too_long"  # the prompt exceeds this model's context window
    TOO_LARGE = "too_large"  # 413: the request exceeds the API's limit for any model
    SPEND_LIMIT = "spend_limit"
    UNAUTHORIZED = "unauthorized"  # 401, 402, 403, 400 for an account that is off: about the key, not about the job
    MODEL_MISSING = "model_missing"
    MODEL_DENIED = "model_denied"  # 401, 403 that name a model: the key may not use this model
    RATE_LIMITED = "rate_limited"
    RAMP_LIMITED = "ramp_limited"
    OVER_LIMIT = "over_limit"  # 429 of a request that needs more than a limit takes in a minute
    SERVER_ERROR = "server_error"
    OVERLOADED = "overloaded"
    NOT_RUN = "not_run"  # an item that never ran: its message batch was cancelled, expired or lost; free
    UNKNOWN = "unknown"  # its worker was lost; written by the rescue, and replaced if a reply turns up after all
    LATE = "late"  # the attempt ended after its job was finished, cancelled or given to another worker


class Reason(StrEnum):
    """The reason why an attempt was made on its rung."""

    START = "start"
    RETRY = "retry"
    FALLBACK = "fallback"  # down (or, with nothing left below, up) for availability
    CLIMB = "climb"  # up for quality
    RAISE = "raise"  # the same rung with more max_tokens, since the answer was cut there
    CONTINUE = "continue"  # the same rung: its turn was paused and is sent back to go on
    RESUME = "resume"  # back from waiting
    LATE = "late"  # live, since the message batch of the job gave no answer
    REBUY = "rebuy"  # bought again, though the earlier call may have been billed


class OnUnknown(StrEnum):
    """The choice for a job whose worker was lost during a call, which may have been billed."""

    HOLD = "hold"  # the job waits until a person releases or drops it
    REBUY = "rebuy"  # the job is bought again, once


# The choice for a job whose endpoint refuses the key: to wait there, or to step to another endpoint.
OnKeyTrouble = Literal["wait", "step"]


class CostStatus(StrEnum):
    """The ledger's certainty of an attempt's cost."""

    EXACT = "exact"
    FREE = "free"  # HTTP errors, refusals without output, nothing sent
    ESTIMATED = "estimated"  # a total and its parts disagree in its usage: the larger counts
    AT_LEAST = "at_least"  # a stream that broke: cost is NULL, and the usage that was seen costs `least_nano_usd`
    UNKNOWN = "unknown"  # cut, timed out, killed, or no price: cost is NULL


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The reason why a job has failed before any model was asked."""

    outcome: Outcome
    error: str

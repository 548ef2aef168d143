"""Admission control: whether a request may leave now. Acquired before the request, released after the request."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

PAUSED = "paused"  # the key is refused, or its money is spent: nobody calls
CIRCUIT_OPEN = "circuit_open"  # the model is out of rotation
LIMITED = "limited"  # its group's rate limits are used up
FULL = "full"  # as many calls are in flight as it takes
RETRIES_SPENT = "retries_spent"  # the fleet has repeated as much as it may


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request that wants to leave.

    Tokens are estimates: the input that no cache holds, and what will be written. After `hold_s` without an end its
    worker is lost. `patience_s` is how long it would still wait for this model: told to come back sooner, it will, and
    is promised what it needs. `has_waited`: it was, and is back, ahead of newcomers. `queue_s` is the same for a place
    among the calls in flight, which is our own limit; None: as long as for the model's.
    `job` is the job that asks. `is_again`: an earlier call of the job on this model ended in a server error.
    """

    ticket: str
    job: str
    model: str
    group: str
    input_tokens: int
    output_tokens: int
    hold_s: float
    patience_s: float
    queue_s: float | None = None
    is_urgent: bool = False
    is_retry: bool = False
    has_waited: bool = False
    is_again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """It may leave, after `after_s` (at most 1 s): what it needs is taken. A probe is alone on its model."""

    after_s: float = 0.0
    is_probe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """It may not leave now; after `wait_s` it may. `details` are what a person wants to know of it."""

    wait_s: float
    reason: str
    details: Mapping[str, float | str] = field(default_factory=dict)


How = Literal[
    "well",
    "limited",
    "ramped",
    "overloaded",
    "server_error",
    "timed_out",
    "unreachable",
    "missing",
    "key_refused",
    "not_sent",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a request that was let through ended, told once; `not_sent`: it did not leave after all.

    Tokens are those billed, None where that is not known: input no cache held, and output. `limits` holds for each kind
    ("requests", "input", "output") the limit per minute and what remains of it, as the reply's headers tell.
    `is_slow`: the reply is good, and its model is far slower than its normal. `is_again` is the request's.
    `is_own_fault`: the failure tells of the job's own request, not of the model.
    """

    ticket: str
    model: str
    group: str
    how: How
    latency_ms: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    retry_after_s: float | None = None
    limits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    is_slow: bool = False
    is_again: bool = False
    is_own_fault: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How many requests could leave a model soon; closed: none, until it is back."""

    free: int
    is_closed: bool


# What an end made of its model's circuit breaker; key_works: the key was refused to this request, and answers others.
Change = Literal["", "opened", "closed", "key_works"]


class Admission(Protocol):
    """Decides for the whole fleet which request leaves when."""

    def acquire(self, need: Request) -> Granted | Denied:
        """Let a request through, or say when to come back."""
        ...

    def release(self, ended: Result) -> Change:
        """Note how a request that was let through ended; returns what that made of its model's cooldown."""
        ...

    def capacity(self, models: Mapping[str, str], *, horizon_s: float) -> Mapping[str, Capacity]:
        """Tell for each model, given with its group, how many requests could leave within `horizon_s`."""
        ...

"""The decisions after a rung, a job's position in the chain, and the operator's choices, as values."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from models.chain.chain import Chain, RungRange
from models.outcome import OVER_BUDGET, OnKeyTrouble, Outcome, Reason

WINDOW_FULL = "model_context_window_exceeded"  # the stop reason of an answer that needs a larger window
CUTTING = frozenset({"max_tokens", WINDOW_FULL})
NO_TIME = "; the next chance would come after the job's deadline"
UNFIT = "unfit"  # passed over: the request does not fit this model
SAME_LIMIT = "same_limit"  # passed over: the model shares the limit that has just run out
WAITED = "waited"  # not given up yet: the job has used up its patience with this rung
WOKEN = "woken"  # ... or has not: the dispatcher saw room, and cut the wait short
HAS_WAITED = frozenset({WAITED, WOKEN})
OVER_TODAY = "over_today"  # passed over: a cap of this day is used up; OVER_BUDGET: the batch's cap
RESERVED = "reserved"  # passed over: calls in flight reserve the rest of a cap, and may free a part
ABOUT_MONEY = frozenset({OVER_BUDGET, OVER_TODAY, RESERVED})
ENDPOINT_OUT = "endpoint_out"  # passed over: no model of the endpoint is well
DENIED = frozenset(
    {"limited", "full", "circuit_open", SAME_LIMIT, ENDPOINT_OUT}
)  # passed over: admission control denied the call
DOUBTED = "doubted"  # this rung refused the key once, and other requests get answers
PASSING = HAS_WAITED | ABOUT_MONEY  # forgotten when the job comes back


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The job keeps the reply and succeeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The job calls the same rung once more, at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryLonger:
    """The job calls the same rung once more, with this larger max_tokens: the answer was cut."""

    max_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Continue:
    """The job sends the `content` of a paused turn back to the same rung, and the model goes on."""

    content: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """The job goes to another rung. `given_up` maps each rung left behind to the reason; `waits`: see ChainPosition."""

    rung: int
    reason: Reason
    given_up: Mapping[int, str]
    waits: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """The job waits `after_s` seconds, and comes back at `rung`."""

    after_s: float
    rung: int
    given_up: Mapping[int, str]
    rounds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The job fails: no other model and no wait cures the failure."""

    because: str = ""


Decision = Answered | Retry | RetryLonger | Continue | Fallback | Park | Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainPosition:
    """A job's position in the chain. `retries` counts those on this rung; `rounds` counts vain rounds of the chain.

    `waits` maps rungs left in this walk to the seconds until they may be free, if known.
    `passes` counts the paused passes of the turn on this rung; `content` holds the blocks of all passes.
    """

    rung: int
    given_up: Mapping[int, str]
    rounds: int
    retries: int = 0
    waits: Mapping[int, float] = field(default_factory=dict)
    passes: int = 0
    content: tuple[Mapping[str, Any], ...] = ()

    def parked(self, *, after_s: float) -> Park:
        """Return the decision to come back to this position."""
        return Park(after_s=after_s, rung=self.rung, given_up=self.given_up, rounds=self.rounds)

    def marked(self, reason: str) -> "ChainPosition":
        """Return the position with this reason for the rung."""
        return replace(self, given_up={**self.given_up, self.rung: reason})

    def unmarked(self) -> "ChainPosition":
        """Return the position without a reason for the rung."""
        return replace(self, given_up={rung: reason for rung, reason in self.given_up.items() if rung != self.rung})


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The operator's choices. `time_left_s` is 0 for a caller who stands by; `queue_s` bounds a wait for our limit."""

    chain: Chain
    span: RungRange
    climbs: Collection[Outcome]
    patience_s: float
    key_pause_s: float
    time_left_s: float
    draw: Callable[[], float]
    window_of: Callable[[str], int | None]
    queue_s: float = 0.0
    until_tomorrow_s: float | None = None  # None: a job over a day's cap does not wait for the next
    on_key_trouble: OnKeyTrouble = "wait"

    @property
    def can_park(self) -> bool:
        """Return whether the job may go back to its queue. A caller who stands by has no queue."""
        return self.time_left_s > 0

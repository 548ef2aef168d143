"""The ways on after an attempt or instead of one, a job's place in its chain, and the operator's choices, as values."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from models.chain.chain import Chain, RungRange
from models.outcome import OVER_BUDGET, Outcome, Reason

WINDOW_FULL = "model_context_window_exceeded"  # the stop reason of an answer that only a larger window ends
CUTTING = frozenset({"max_tokens", WINDOW_FULL})
NO_TIME = "; the next chance would come after the job's deadline"
UNFIT = "unfit"  # passed over: the request does not fit this model
SAME_LIMIT = "same_limit"  # passed over: it draws on the bucket that has just run dry
WAITED = "waited"  # not given up yet: the job has used its patience with the rung it stands at
OVER_TODAY = "over_today"  # passed over: a cap of this day is used up; OVER_BUDGET: its batch's is
RESERVED = "reserved"  # passed over: calls in flight hold what is left under a cap, and may give some of it back
ABOUT_MONEY = frozenset({OVER_BUDGET, OVER_TODAY, RESERVED})
DENIED = frozenset({"limited", "full", "circuit_open", SAME_LIMIT})  # left without a call, by admission control
DOUBTED = "doubted"  # the key was refused here once, and answers others
PASSING = frozenset({WAITED, *ABOUT_MONEY})  # looked at anew whenever the job comes back


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The reply is kept and the job succeeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The same rung once more, at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryLonger:
    """The same rung once more, with this max_tokens: its answer was cut at fewer."""

    max_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Continue:
    """The same rung once more: its turn was paused, and `content` is sent back to have the model go on."""

    content: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """Another rung; `given_up` holds those left behind by now, with the reason of each; `waits`: as in Place."""

    rung: int
    reason: Reason
    given_up: Mapping[int, str]
    waits: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """Nothing can be called now, but in `after_s` it can; the job comes back at `rung`."""

    after_s: float
    rung: int
    given_up: Mapping[int, str]
    rounds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The job fails: no other model and no waiting cures it."""

    because: str = ""


Decision = Answered | Retry | RetryLonger | Continue | Fallback | Park | Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainPosition:
    """A job's place in its chain. `retries` counts those on this rung; `rounds` those of the whole chain.

    `waits` tells of rungs left in this walk in how many seconds they may be free again, where that is known.
    `passes` counts the paused passes of the turn on this rung, and `content` holds the blocks of all of them.
    """

    rung: int
    given_up: Mapping[int, str]
    rounds: int
    retries: int = 0
    waits: Mapping[int, float] = field(default_factory=dict)
    passes: int = 0
    content: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The operator's choices. `time_left_s` is 0 for a caller who stands by; `queue_s` is for a place in flight."""

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

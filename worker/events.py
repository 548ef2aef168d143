"""What happens to jobs, as values. Code tells them; logs.py words them."""

from collections.abc import Callable
from dataclasses import dataclass

from models.life import Claim, Closing, Ending, Opening


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A delivery came for a job that somebody else has, or that is finished."""

    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptClosed:
    """A request ended, one way or another, and its cost is written down."""

    claim: Claim
    opening: Opening
    closing: Closing


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnded:
    """A walk is over: the job is finished, or parked."""

    claim: Claim
    ending: Ending


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLost:
    """The job was finished, cancelled or taken over while we worked on it; what it cost is still written down."""

    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPaused:
    """The provider refuses our key, or its money is spent: calling stops for everybody until it is cured."""

    outcome: str
    said: str
    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsSent:
    """The clock put messages into a rung's queue."""

    rung: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockFailed:
    """The broker or the ledger was away for a tick; the next one asks again."""

    said: str


Event = Dropped | AttemptClosed | JobEnded | JobLost | KeyPaused | JobsSent | ClockFailed
Tell = Callable[[Event], None]

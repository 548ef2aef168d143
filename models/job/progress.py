"""The progress of a batch and the lines of a receipt, as values."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from models.outcome import FINAL_STATES, State

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The progress of a batch: its jobs by state, and the cost of its attempts so far.

    `cost_usd` sums the known costs; `unknown_costs` counts the ended attempts of unknown cost. `held` counts the jobs
    that wait for a person. `half_price` counts the waiting jobs in the lane of message batches. `over_budget` counts
    the jobs that failed or wait because they fit under no cap. `blocked` counts the waiting steps with a part that has
    not ended. `cap_usd` is the batch's own. `reserved_usd` is the worst case of calls in flight or of unknown cost.
    """

    batch_id: str
    name: str | None
    created_at: datetime
    job_count: int
    states: dict[str, int]
    held: int
    over_budget: int
    attempts: int
    cost_usd: Decimal
    unknown_costs: int
    cap_usd: Decimal | None = None
    reserved_usd: Decimal = _ZERO
    blocked: int = 0
    half_price: int = 0

    @property
    def finished(self) -> int:
        """The number of jobs that have ended, well or not."""
        return sum(self.states.get(state, 0) for state in FINAL_STATES)

    @property
    def is_finished(self) -> bool:
        """True once no job of the batch can change any more."""
        return self.finished == self.job_count

    @property
    def is_settled(self) -> bool:
        """True once every job has ended, or waits for a person, or for a job that does."""
        return self.finished + self.held + self.blocked == self.job_count

    @property
    def is_untouched(self) -> bool:
        """True until a worker has taken up any job of the batch."""
        return self.states.get(State.QUEUED, 0) + self.blocked == self.job_count

    @property
    def succeeded(self) -> int:
        """The number of jobs that have their answer."""
        return self.states.get(State.SUCCEEDED, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLine:
    """One line of the receipt: one model at one fallback depth in one lane. Latency in ms, None if no attempt ended.

    `open` attempts have not ended; their cost is among the unknown ones. `not_run` counts items of message batches that
    never ran. Such items are free, and have no latency.
    """

    model: str
    fallback_depth: int
    lane: str
    attempts: int
    answered: int
    not_run: int
    open: int
    p50_ms: int | None
    cost_usd: Decimal
    unknown_costs: int

    @property
    def failed(self) -> int:
        """The number of attempts that ran, and ended without an answer."""
        return self.attempts - self.answered - self.not_run - self.open


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheUse:
    """The tokens of a batch that the provider's prompt cache held, and the money saved.

    `saved_usd` is below zero if writes cost more than reads saved. Attempts of unknown cost are counted beside it.
    """

    input_tokens: int
    read_tokens: int
    saved_usd: Decimal
    unknown_costs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfPriceUse:
    """The purchases of a batch at half price, its jobs that moved to live calls, and answers bought twice.

    `saved_usd` compares `cost_usd` with live calls of the same usage. Attempts of unknown cost are counted beside both,
    `open` items of message batches among them. `never_packed` jobs went live without an item.
    """

    attempts: int
    open: int
    unknown_costs: int
    cost_usd: Decimal
    saved_usd: Decimal
    moved_late: int
    moved_errored: int
    moved_expired: int
    moved_lost: int
    overlapped: int
    overlapped_usd: Decimal
    never_packed: int = 0

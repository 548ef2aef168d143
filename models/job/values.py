"""A job's life as values: the input of the ledger, and the ledger's answers to the worker."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from models.chain.chain import RungRange
from models.job.call_tree import TREE, CallTreePlace
from models.money.pricing import Parts
from models.money.usage import Usage
from models.outcome import CostStatus, OnUnknown, Outcome, Reason, Refused, State


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job as the producer makes it; `params` are Messages API parameters without the model.

    Terms are None if the worker's settings hold. `patience_s` bounds the wait for a rung's limits. `climb_on` names the
    outcomes that a better model tries again. `expects` tests an answer. `deadline_s` replaces the batch's. `prefix`
    names the system prompt shared with the batch, `start_reason` explains the start. `branch` is the place in a tree of
    calls, if any. A `refused` job has failed from the start. `headers` are the caller's version and betas. A job with
    `live_from_s` waits for a message batch, at half price. After so many seconds the job goes live at the latest.
    """

    id: str
    seq: int
    prompt_id: str
    task: str | None
    params: Mapping[str, Any]
    span: RungRange
    start_model: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    on_unknown: OnUnknown | None = None
    is_urgent: bool = False
    patience_s: float | None = None
    climb_on: frozenset[Outcome] | None = None
    expects: Mapping[str, Any] | None = None
    prefix: str | None = None
    start_reason: str | None = None
    deadline_s: float | None = None
    branch: CallTreePlace | None = None
    refused: Refused | None = None
    headers: Mapping[str, str] | None = None
    live_from_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """A batch as the producer makes it; all its jobs end by `deadline_s` seconds from now, or fail.

    `weight` is the batch's share of the fleet beside other batches: twice the weight, twice the jobs.
    """

    id: str
    name: str | None
    key: str | None
    content_sha256: str | None
    task: str | None
    tags: Mapping[str, str]
    deadline_s: float
    max_cost_usd: Decimal | None = None
    weight: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsent:
    """A job that should have a message in its rung's queue. If `deliveries` changes, a worker received the message."""

    id: str
    rung: int
    deliveries: int = 0
    is_urgent: bool = False


BATCH = "batch:"  # the beginning of a batch's budget scope


def batch_scope(batch_id: str) -> str:
    """Return the budget scope of a batch."""
    return f"{BATCH}{batch_id}"


def is_for_good(scope: str) -> bool:
    """Return whether a scope has one budget, and not one for each day."""
    return scope.startswith((BATCH, TREE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """The most that a scope may cost: a batch or tree for good, a day, task or tag by the UTC day.

    `cap_usd` is None for a batch: the ledger has that cap since the batch was written.
    """

    scope: str
    cap_usd: Decimal | None

    @property
    def is_daily(self) -> bool:
        """Return whether each day has a cap of its own."""
        return not is_for_good(self.scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverCap:
    """A call that was not opened, since it could pass a cap; all in USD.

    `gone_usd` is spent, with the worst case of calls whose end nobody saw. `reserved_usd` is the worst case of calls in
    flight, `needs_usd` that of this call.
    """

    cap: Cap
    cap_usd: Decimal
    gone_usd: Decimal
    reserved_usd: Decimal
    needs_usd: Decimal

    @property
    def may_fit_later(self) -> bool:
        """Return whether there may be room once the calls in flight have ended."""
        return self.gone_usd + self.needs_usd <= self.cap_usd

    @property
    def may_fit_tomorrow(self) -> bool:
        """Return whether the cap is a day's, and wide enough for this call alone."""
        return self.cap.is_daily and self.needs_usd <= self.cap_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A job that is ours until its lease ends. `given_up` has the reason for each rung left behind.

    `deadline_s` counts from the moment of the claim, as does `day_left_s`, the seconds left of the ledger's UTC day.
    `tags` are its batch's; `has_cap`: the batch has a cap of its own. The terms, from `is_urgent` on, are as in NewJob.
    `raised_max_tokens` is the max_tokens raised once after a truncated answer. `is_moved`: the job comes from a message
    batch without an answer.
    """

    job_id: str
    batch_id: str | None
    prompt_id: str
    task: str | None
    token: int
    params: Mapping[str, Any]
    span: RungRange
    rung: int
    given_up: Mapping[int, str]
    rounds: int
    attempt_count: int
    deadline_s: float
    is_rebuy: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    has_cap: bool = False
    day_left_s: float = 86_400.0
    is_urgent: bool = False
    patience_s: float | None = None
    climb_on: frozenset[Outcome] | None = None
    expects: Mapping[str, Any] | None = None
    prefix: str | None = None
    raised_max_tokens: int | None = None
    tree: str | None = None
    headers: Mapping[str, str] | None = None
    is_moved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """The attempt row written before a request leaves. `number` counts from 1 within the job.

    `worst_case_usd` is reserved under each of the caps, in the order of their scopes. None: no bound, and no cap.
    `waited_ms` is the wait in a worker for a turn. `max_tokens` is None if unchanged. `note` names changed parameters.
    `message_batch_id` is that of an item of a message batch, at half price.
    """

    id: str
    number: int
    rung: int
    fallback_depth: int
    reason: Reason
    model: str
    worst_case_usd: Decimal | None = None
    caps: tuple[Cap, ...] = ()
    is_probe: bool = False
    waited_ms: int | None = None
    max_tokens: int | None = None
    note: str | None = None
    message_batch_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """The end of an attempt, as written into its row. `cost_usd` is None if the status is unknown or at_least.

    `parts` sum to the cost if a price was known. `error` is the provider's words, or the problem of the answer.
    """

    attempt_id: str
    outcome: Outcome
    cost_usd: Decimal | None
    cost_status: CostStatus
    latency_ms: int
    least_usd: Decimal | None = None  # the cost of the usage seen, if the status is at_least
    parts: Parts | None = None
    price_source: str | None = None
    http_status: int | None = None
    error_type: str | None = None
    error_code: str | None = None
    error: str | None = None
    retry_after_ms: int | None = None
    served_model: str | None = None
    stop_reason: str | None = None
    message_id: str | None = None
    request_id: str | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """One decision of a walk other than "the answer is kept", for later questions.

    `attempt_count` is the number of the job's attempts by then. `decision` is skip, wait, retry, fallback, climb, park
    or stop. `reason` is a word of Outcome or names the obstacle. `details` are the figures behind the decision.
    """

    attempt_count: int
    at: datetime
    rung: int
    model: str
    decision: str
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The state of a job after a walk: finished, or waiting for `due_in_s`.

    `outcome` is a word of Outcome, or the reason why no attempt was made. `message` is the API's Message: the answer,
    or else the last turn without an answer. `decisions` are those of the whole walk, in order.
    """

    state: State
    outcome: str
    error: str | None
    rung: int
    given_up: Mapping[int, str]
    rounds: int
    due_in_s: float | None = None
    message: Mapping[str, Any] | None = None
    is_truncated: bool = False
    model_used: str | None = None
    fallback_depth: int | None = None
    raised_max_tokens: int | None = None
    decisions: tuple[DecisionRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SpooledReply:
    """The result of a call in the spool, before the ledger has a row. `ending` is None if the job went on."""

    job_id: str
    token: int
    closing: Closing
    ending: Ending | None

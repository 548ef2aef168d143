"""The wording of every log line. No line contains a prompt, an answer or a key."""

import logging
from collections.abc import Callable, Mapping
from logging import CRITICAL, ERROR, INFO, WARNING
from typing import Any

from models.chain.chain import short_name
from models.job.primary_health import DEGRADED, UNRELIABLE
from models.outcome import Outcome, State
from models.queue.redis_keys import queue_name
from models.rung_name import DEFAULT_ENDPOINT, endpoint_of
from worker import events

_LOG = logging.getLogger("stepdown")
_FORMAT = "%(asctime)s %(levelname)s %(message)s"
_LEVELS = {UNRELIABLE: ERROR, DEGRADED: WARNING}
_OTHERS = "see what else writes into this Redis"
_CHATTY = ("celery.app.trace", "celery.worker.strategy", "httpx2", "anthropic")


def configure() -> None:
    """Log to stderr from INFO. Celery's two lines a task are left out, since ours hold more."""
    logging.basicConfig(format=_FORMAT, level=INFO)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(WARNING)


def log(event: events.Event) -> None:
    """Write the line of one event. A job that succeeded has none: its attempt has a line."""
    level, line = LINES[type(event)](event)
    if line:
        _LOG.log(level, line)


def _attempt(event: events.AttemptClosed) -> tuple[int, str]:
    opening, closing = event.opening, event.closing
    cost = "unknown" if closing.cost_usd is None else f"${closing.cost_usd:f}"
    return INFO, (
        f"job {event.claim.job_id}: attempt {opening.number} ({opening.reason}) on {short_name(opening.model)} "
        f"d{opening.fallback_depth}: {closing.outcome} in {closing.latency_ms} ms, cost {cost}"
    )


def _ended(event: events.JobEnded) -> tuple[int, str]:
    ending, job_id = event.ending, event.claim.job_id
    if ending.state is State.WAITING:
        return INFO, f"job {job_id}: waits {ending.due_in_s:.1f} s ({ending.outcome})"
    return WARNING, f"job {job_id}: failed ({ending.outcome})" if ending.state is State.FAILED else ""


def _key_paused(event: events.KeyPaused) -> tuple[int, str]:
    is_usual = event.endpoint == DEFAULT_ENDPOINT
    address = "ANTHROPIC_BASE_URL" if is_usual else f"base_url of [{event.endpoint}] in ENDPOINTS_FILE"
    mend = address if event.outcome == Outcome.REDIRECTED else "the key or its limit"
    key = "the key" if is_usual else f"the key of endpoint {event.endpoint}"
    return ERROR, f"{key} is paused for {event.for_s:.0f} s ({event.outcome}): jobs wait, none fails; mend {mend}"


def _passed(event: events.WorstCasePassed) -> tuple[int, str]:
    closing, worst = event.closing, event.opening.worst_case_usd
    cost = f"${closing.cost_usd}" if closing.cost_usd is not None else f"at least ${closing.least_usd}"
    amounts = f"attempt {event.opening.id} cost {cost}, and at most ${worst} were reserved"
    return ERROR, f"{amounts}: caps may be passed by the difference"


LINES: Mapping[type[events.Event], Callable[[Any], tuple[int, str]]] = {
    events.AttemptClosed: _attempt,
    events.WorstCasePassed: _passed,
    events.JobEnded: _ended,
    events.KeyPaused: _key_paused,
    events.PrimaryJudged: lambda e: (_LEVELS.get(e.verdict.verdict, INFO), f"health: {e.verdict.in_words()}"),
    events.DeliveryDropped: lambda e: (INFO, f"job {e.job_id}: delivery dropped, it is finished or somebody else's"),
    events.JobLost: lambda e: (
        WARNING,
        f"job {e.job_id}: finished, cancelled or taken over while it ran; its cost is kept",
    ),
    events.MessageDiscarded: lambda e: (
        WARNING,
        f"a value in a queue that is no message was discarded ({e.message}; the {e.count}. of its kind: {_OTHERS})",
    ),
    events.JobsSent: lambda e: (INFO, f"dispatcher: {e.count} jobs sent to {queue_name(e.lane)}"),
    events.JobsLate: lambda e: (
        WARNING,
        f"dispatcher: {e.count} jobs of {queue_name(e.lane)} are due, the first for {e.late_s:.0f} s",
    ),
    events.StepsReleased: lambda e: (
        INFO,
        f"dispatcher: the parts of {e.asked + e.stopped} steps have ended; {e.asked} are asked, {e.stopped} fail",
    ),
    events.TimerFailed: lambda e: (WARNING, f"{e.name}: {e.message}"),
    events.MessagesLost: lambda e: (
        WARNING,
        f"dispatcher: {queue_name(e.lane)} lost {e.count} messages; they are sent again",
    ),
    events.DaysRolled: lambda e: (INFO, f"rollup: {e.count} days added up, {e.first} to {e.last}"),
    events.ReplyKept: lambda e: (
        WARNING,
        f"job {e.job_id}: the ledger is away; what came of its call is kept here until it is back",
    ),
    events.SpoolFailed: lambda e: (
        ERROR,
        f"a reply could not be written to this disk ({e.message}); it is in memory until the ledger has it",
    ),
    events.RepliesReplayed: lambda e: (INFO, f"{e.count} replies kept on disk are in the ledger now"),
    events.RepliesSetAside: lambda e: (
        ERROR,
        f"{e.count} damaged lines of the spool are set aside in {e.path}: {e.message}; see `stepdown doctor`",
    ),
    events.SpoolUnreadable: lambda e: (
        ERROR,
        f"{e.path} cannot be read ({e.message}): its replies wait there; let this user read it",
    ),
    events.Rescued: lambda e: (
        WARNING,
        f"job {e.job_id}: its worker was lost; now {e.rescue.state}"
        + (f" ({e.rescue.outcome})" if e.rescue.outcome else ""),
    ),
    events.BatchPaused: lambda e: (
        ERROR,
        f"batch {e.batch_id}: paused, {e.count} jobs wait for a person: {e.because}",
    ),
    events.DiskLow: lambda e: (
        ERROR,
        f"{e.free_mb} MB are free, {e.needed_mb} are needed (MIN_FREE_MB): no job is claimed until then",
    ),
    events.WorkerEnds: lambda e: (CRITICAL, f"the worker ends: {e.message}"),
    events.CircuitOpened: lambda e: (
        WARNING,
        f"{short_name(e.model)} is out of rotation for all workers ({e.how}): one probe at a time",
    ),
    events.CircuitClosed: lambda e: (INFO, f"{short_name(e.model)} is back in rotation"),
    events.EndpointOut: lambda e: (
        WARNING,
        f"endpoint {endpoint_of(e.model)} is out of rotation for all workers ({e.how}): one probe at a time",
    ),
    events.EndpointBack: lambda e: (INFO, f"endpoint {endpoint_of(e.model)} is back in rotation"),
    events.RedisLost: lambda e: (
        WARNING,
        f"Redis is away ({e.message}): this worker keeps to its part of the limits, 1 of {e.workers}",
    ),
    events.RedisRecovered: lambda e: (
        INFO,
        f"Redis is back: limits are shared again; it was told of {e.untold} calls that ended meanwhile",
    ),
    events.MessageBatchMade: lambda e: (
        INFO,
        f"message batch {e.batch_id}: {e.count} jobs for {short_name(e.model)} at half price",
    ),
    events.LeftForLive: lambda e: (
        INFO,
        f"{e.count} jobs that asked for half price go live: too little time, or no message batch takes them",
    ),
    events.MessageBatchEnded: lambda e: (
        INFO,
        f"message batch {e.batch_id} of {short_name(e.model)} ended: "
        + ", ".join(f"{count} {kind}" for kind, count in sorted(e.counts.items())),
    ),
    events.MessageBatchStray: lambda e: (
        WARNING,
        f"message batch {e.batch_id} was taken for lost and is {e.provider_id}: it is cancelled; its cost is kept",
    ),
    events.ResultsUnreadable: lambda e: (
        WARNING,
        f"message batch {e.batch_id}: {e.message}; its results are downloaded again",
    ),
}

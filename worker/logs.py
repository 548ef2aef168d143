"""The wording of every log line. No line contains a prompt, an answer or a key."""

import logging
from typing import assert_never

from models.chain.chain import short_name
from models.job.primary_health import DEGRADED, UNRELIABLE
from models.job.values import Rescue
from models.outcome import Outcome, State
from models.queue.redis_keys import queue_name
from worker.events import (
    AttemptClosed,
    BatchPaused,
    CircuitClosed,
    CircuitOpened,
    DaysRolled,
    DeliveryDropped,
    DiskLow,
    Event,
    JobEnded,
    JobLost,
    JobsLate,
    JobsSent,
    KeyPaused,
    MessageDiscarded,
    MessagesLost,
    PrimaryJudged,
    RedisLost,
    RedisRecovered,
    RepliesReplayed,
    RepliesSetAside,
    ReplyKept,
    Rescued,
    SpoolFailed,
    SpoolUnreadable,
    StepsReleased,
    TimerFailed,
    WorkerEnds,
    WorstCasePassed,
)

DispatcherEvent = JobsSent | JobsLate | StepsReleased | TimerFailed | MessagesLost | DaysRolled
AdmissionEvent = CircuitOpened | CircuitClosed | RedisLost | RedisRecovered
HaltEvent = Rescued | BatchPaused | DiskLow | WorkerEnds
FaultEvent = ReplyKept | SpoolFailed | RepliesSetAside | SpoolUnreadable | RepliesReplayed | HaltEvent
_LOG = logging.getLogger("stepdown")
_FORMAT = "%(asctime)s %(levelname)s %(message)s"
_LEVELS = {UNRELIABLE: logging.ERROR, DEGRADED: logging.WARNING}
_CHATTY = ("celery.app.trace", "celery.worker.strategy", "httpx2", "anthropic")


def configure() -> None:
    """Log to stderr from INFO. Celery's two lines a task are left out, since ours hold more."""
    logging.basicConfig(format=_FORMAT, level=logging.INFO)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def log(event: Event) -> None:
    """Word one event."""
    match event:
        case AttemptClosed():
            _LOG.info(_attempt_line(event))
        case WorstCasePassed(opening=opening, closing=closing):
            _LOG.error(
                "attempt %s cost $%s, and at most $%s were reserved: caps may be passed by the difference",
                opening.id,
                closing.cost_usd,
                opening.worst_case_usd,
            )
        case JobEnded():
            _log_ended(event)
        case DeliveryDropped() | JobLost() | MessageDiscarded():
            _log_not_ours(event)
        case KeyPaused(outcome=outcome, for_s=for_s):
            mend = "ANTHROPIC_BASE_URL" if outcome == Outcome.REDIRECTED else "the key or its limit"
            _LOG.error("the key is paused for %.0f s (%s): jobs wait, none fails; mend %s", for_s, outcome, mend)
        case PrimaryJudged(verdict=verdict):
            _LOG.log(_LEVELS.get(verdict.verdict, logging.INFO), "health: %s", verdict.in_words())
        case JobsSent() | JobsLate() | StepsReleased() | TimerFailed() | MessagesLost() | DaysRolled():
            _log_clock(event)
        case CircuitOpened() | CircuitClosed() | RedisLost() | RedisRecovered():
            _log_turn(event)
        case _:
            _log_fault(event)


def _log_not_ours(event: DeliveryDropped | JobLost | MessageDiscarded) -> None:
    match event:
        case MessageDiscarded(message=message, count=count):
            message = f"{message}; the {count}. of its kind: see what else writes into this Redis"
            _LOG.warning("a value in a queue that is no message was discarded (%s)", message)
        case DeliveryDropped(job_id=job_id):
            _LOG.info("job %s: delivery dropped, it is finished or somebody else's", job_id)
        case JobLost(job_id=job_id):
            _LOG.warning("job %s: finished, cancelled or taken over while it ran; its cost is kept", job_id)
        case _:
            assert_never(event)


def _log_clock(event: DispatcherEvent) -> None:
    match event:
        case JobsSent(lane=lane, count=count):
            _LOG.info("dispatcher: %d jobs sent to %s", count, queue_name(lane))
        case JobsLate(lane=lane, count=count, late_s=late_s):
            _LOG.warning("dispatcher: %d jobs of %s are due, the first for %.0f s", count, queue_name(lane), late_s)
        case StepsReleased(asked=asked, stopped=stopped):
            _LOG.info(
                "dispatcher: the parts of %d steps have ended; %d are asked, %d fail", asked + stopped, asked, stopped
            )
        case TimerFailed(name=name, message=message):
            _LOG.warning("%s: %s", name, message)
        case MessagesLost(lane=lane, count=count):
            _LOG.warning("dispatcher: %s lost %d messages; they are sent again", queue_name(lane), count)
        case DaysRolled(first=first, last=last, count=count):
            _LOG.info("rollup: %d days added up, %s to %s", count, first, last)
        case _:
            assert_never(event)


def _log_fault(event: FaultEvent) -> None:
    match event:
        case ReplyKept(job_id=job_id):
            _LOG.warning("job %s: the ledger is away; what came of its call is kept here until it is back", job_id)
        case SpoolFailed(message=message):
            _LOG.error(
                "a reply could not be written to this disk (%s); it is in memory until the ledger has it", message
            )
        case RepliesReplayed(count=count):
            _LOG.info("%d replies kept on disk are in the ledger now", count)
        case RepliesSetAside(path=path, count=count, message=message):
            _LOG.error(
                "%d damaged lines of the spool are set aside in %s: %s; see `stepdown doctor`", count, path, message
            )
        case SpoolUnreadable(path=path, message=message):
            _LOG.error("%s cannot be read (%s): its replies wait there; let this user read it", path, message)
        case Rescued() | BatchPaused() | DiskLow() | WorkerEnds():
            _log_halt(event)
        case _:
            assert_never(event)


def _log_halt(event: HaltEvent) -> None:
    match event:
        case Rescued(job_id=job_id, rescue=rescue):
            _LOG.warning("job %s: its worker was lost; now %s%s", job_id, rescue.state, _because(rescue))
        case BatchPaused(batch_id=batch_id, because=because, count=count):
            _LOG.error("batch %s: paused, %d jobs wait for a person: %s", batch_id, count, because)
        case DiskLow(free_mb=free_mb, needed_mb=needed_mb):
            _LOG.error("%d MB are free, %d are needed (MIN_FREE_MB): no job is claimed until then", free_mb, needed_mb)
        case WorkerEnds(message=message):
            _LOG.critical("the worker ends: %s", message)
        case _:
            assert_never(event)


def _log_turn(event: AdmissionEvent) -> None:
    match event:
        case CircuitOpened(model=model, how=how):
            _LOG.warning("%s is out of rotation for all workers (%s): one probe at a time", short_name(model), how)
        case CircuitClosed(model=model):
            _LOG.info("%s is back in rotation", short_name(model))
        case RedisLost(message=message, workers=workers):
            _LOG.warning("Redis is away (%s): this worker keeps to its part of the limits, 1 of %d", message, workers)
        case RedisRecovered(untold=untold):
            _LOG.info("Redis is back: limits are shared again; it was told of %d calls that ended meanwhile", untold)
        case _:
            assert_never(event)


def _because(rescue: Rescue) -> str:
    return f" ({rescue.outcome})" if rescue.outcome else ""


def _attempt_line(event: AttemptClosed) -> str:
    opening, closing = event.opening, event.closing
    cost = "unknown" if closing.cost_usd is None else f"${closing.cost_usd:f}"
    return (
        f"job {event.claim.job_id}: attempt {opening.number} ({opening.reason}) on {short_name(opening.model)} "
        f"d{opening.fallback_depth}: {closing.outcome} in {closing.latency_ms} ms, cost {cost}"
    )


def _log_ended(event: JobEnded) -> None:
    ending, job_id = event.ending, event.claim.job_id
    if ending.state is State.WAITING:
        _LOG.info("job %s: waits %.1f s (%s)", job_id, ending.due_in_s, ending.outcome)
    elif ending.state is State.FAILED:
        _LOG.warning("job %s: failed (%s)", job_id, ending.outcome)

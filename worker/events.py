"""Events of jobs and of the worker, as values. The code reports events; logs.py has their wording."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

from models.job.primary_health import PrimaryHealth
from models.job.strays import Rescue
from models.job.values import Claim, Closing, Ending, Opening
from models.queue.redis_keys import Lane
from models.rung_name import DEFAULT_ENDPOINT


class Event:
    """An event. Each kind has a line in `logs`."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryDropped(Event):
    """A delivery came for a job that another worker has, or that is finished."""

    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptClosed(Event):
    """A request ended, in success or failure, and the cost is in the ledger."""

    claim: Claim
    opening: Opening
    closing: Closing


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstCasePassed(Event):
    """A call cost more than its reserve: caps may be passed by the difference, and take no more calls."""

    opening: Opening
    closing: Closing


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnded(Event):
    """A walk is over: the job is finished, or parked."""

    claim: Claim
    ending: Ending


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLost(Event):
    """The job was finished, cancelled or taken over while we worked; the cost of our call is still recorded."""

    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPaused(Event):
    """An endpoint refuses our key, or the money is spent: no worker calls there until the key works again."""

    outcome: str
    message: str
    for_s: float
    endpoint: str = DEFAULT_ENDPOINT


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsSent(Event):
    """The clock put messages into a queue."""

    lane: Lane
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsLate(Event):
    """Waiting jobs are long due without a message: their queue is full, or no dispatcher was there."""

    lane: Lane
    count: int
    late_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFailed(Event):
    """The broker or the ledger was away at a tick of this timer; the next tick asks again."""

    name: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyKept(Event):
    """The ledger is away: a call's end is on this disk, or in memory if the call was free."""

    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolFailed(Event):
    """A reply could not be written to this machine's disk, and is in memory until the ledger has the reply."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RepliesSetAside(Event):
    """Lines of a dead worker's spool are damaged: each may be a paid reply that the ledger will lack."""

    path: str
    count: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolUnreadable(Event):
    """A file of the spool cannot be read: the replies stay in the file."""

    path: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RepliesReplayed(Event):
    """Replies that were kept on disk are in the ledger now."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescued(Event):
    """A job was taken from a lost worker."""

    job_id: str
    rescue: Rescue


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsReleased(Event):
    """Steps whose parts have all ended are asked now, or failed since a part of theirs has no answer."""

    asked: int
    stopped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesLost(Event):
    """A queue is empty though these jobs were sent: they are sent again."""

    lane: Lane
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDiscarded(Event):
    """There were values in queues that are no messages of ours, so many alike since this worker began."""

    message: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPaused(Event):
    """So many jobs of a batch failed alike that the others wait for a person."""

    batch_id: str
    because: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskLow(Event):
    """There is no room to keep replies: no job is claimed until there is."""

    free_mb: int
    needed_mb: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerEnds(Event):
    """This worker can work no more, and ends; no wait would help."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PrimaryJudged(Event):
    """The jobs that start at a model get their answers too deep in the chain, or no longer do."""

    verdict: PrimaryHealth


@dataclass(frozen=True, slots=True, kw_only=True)
class DaysRolled(Event):
    """The attempts of these finished days were added up, for the first time or anew."""

    first: date
    last: date
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerChanged(Event):
    """A call to this model opened or closed a circuit breaker of the fleet; `how` is its end."""

    model: str
    how: str


class CircuitOpened(BreakerChanged):
    """A model is out of rotation, but for one probe at a time."""


class CircuitClosed(BreakerChanged):
    """A probe was answered: the model is in rotation again."""


class EndpointOut(BreakerChanged):
    """The whole endpoint of a model is out of rotation, but for one probe at a time."""


class EndpointBack(BreakerChanged):
    """A probe was answered: the endpoint is in rotation again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisLost(Event):
    """Redis is away: this worker keeps to its part of the last known limits."""

    message: str
    workers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisRecovered(Event):
    """Redis is back: limits are shared again, and knows of the calls that ended meanwhile."""

    untold: int


Report = Callable[[Event], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageBatchMade(Event):
    """Waiting jobs were taken into a message batch; its create may leave."""

    batch_id: str
    model: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftForLive(Event):
    """Jobs that asked for half the price go live: without time, or with a request that no message batch takes."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageBatchEnded(Event):
    """The results of a message batch are in the ledger. `counts` are by the provider's kinds."""

    batch_id: str
    model: str
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageBatchStray(Event):
    """A message batch that was taken for lost is in the provider's list, and is cancelled."""

    batch_id: str
    provider_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsUnreadable(Event):
    """The results of a message batch are not those of its items, or cannot be read: they are downloaded again."""

    batch_id: str
    message: str

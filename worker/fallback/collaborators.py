"""The collaborators of a walk, as Protocols where they do I/O, and the operator's choices."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from models.chain.capabilities import Capabilities, capabilities_of
from models.chain.chain import Chain
from models.chain.deadline import Deadline
from models.job.values import Claim, Closing, Ending, Opening, OverCap
from models.money.pricing import Prices
from models.money.worst_case import WorstCase
from models.outcome import OnKeyTrouble, Outcome
from worker.admission.admission import Admission
from worker.admission.cache_warmup import CacheWarmup
from worker.admission.forecast import Forecast
from worker.events import Report
from worker.fallback.caps import Caps
from worker.provider.reply import Broken, Received
from worker.provider.stream import OnEvent

Listener = Callable[[Claim, Opening], OnEvent | None]
InThread = Callable[..., Awaitable[Any]]  # calls a function that would block the loop, as asyncio.to_thread does
AROUND_A_CALL_S = 30.0  # transactions before and after the call


class Provider(Protocol):
    """Sends one request, once, and returns the response that came by the deadline."""

    async def call(
        self,
        rung: str,
        params: Mapping[str, Any],
        *,
        attempt_id: str,
        job_id: str,
        deadline: Deadline,
        headers: Mapping[str, str] | None = None,
        on_event: OnEvent | None = None,
    ) -> Received | Broken:
        """Call the model of a rung. `headers` name the version of the API and the betas; None: those of the SDK.

        `on_event` receives each event of a stream at once. No fault of the network or the provider raises.
        """

    def served(self, rung: str, model: str) -> str:
        """Return the name of the model that answered on a rung, whose reply names a model."""

    async def cut(self) -> None:
        """End the calls in flight."""


class Ledger(Protocol):
    """Records attempts before and after the request."""

    async def claim(self, job_id: str, *, lease_s: float) -> Claim | None:
        """Take a job. Returns None if another worker has the job, or the job is finished."""

    async def open_attempt(self, claim: Claim, opening: Opening) -> bool | OverCap:
        """Commit the attempt and the worst case. Returns False if the job is no longer ours."""

    async def over_cap(self, opening: Opening) -> OverCap | None:
        """Return a cap that has no room for the attempt, even if the calls in flight cost nothing. Writes nothing."""

    async def close_attempt(self, claim: Claim, closing: Closing) -> None:
        """Record the end of an attempt, while the job goes on."""

    async def finish(self, claim: Claim, ending: Ending, closing: Closing | None) -> Ending | None:
        """Commit the job's ending with the last attempt's. Returns the ending, None if the job is no longer ours."""


def nobody(_claim: Claim, _opening: Opening) -> None:
    """Listen to no attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collaborators:
    """The collaborators of a walk, built once at the entry point. `now` is UTC; `draw` returns numbers from 0 to 1.

    `call_timeout_s` is the least time for a call. A call's ticket lapses `AROUND_A_CALL_S` after the deadline.
    `listener` returns the function that receives the events of an attempt's stream, None if nobody listens.
    """

    chain: Chain
    provider: Provider
    ledger: Ledger
    admission: Admission
    expected: Forecast
    prices: Prices
    caps: Caps
    worst_case_usd: WorstCase
    report: Report
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[object]]
    in_thread: InThread
    draw: Callable[[], float]
    window_of: Callable[[str], int | None]
    climbs: frozenset[Outcome]
    patience_s: float
    key_pause_s: float
    on_key_trouble: OnKeyTrouble
    call_timeout_s: float
    is_stopping: Callable[[], bool] = lambda: False
    capabilities_of: Callable[[str], Capabilities] = capabilities_of
    listener: Listener = nobody
    warming: CacheWarmup | None = None  # None: no request is marked for the cache

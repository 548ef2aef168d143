"""What a walk works with: its collaborators as Protocols, and the operator's choices."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from models.chain.capabilities import Capabilities, capabilities_of
from models.chain.chain import Chain
from models.chain.deadline import Deadline
from models.job.values import Claim, Closing, Ending, Opening, OverCap
from models.money.pricing import Prices
from models.money.worst_case import WorstCase
from models.outcome import Outcome
from worker.admission.admission import Admission
from worker.admission.cache_warmup import CacheWarmup
from worker.admission.forecast import Forecast
from worker.events import Report
from worker.fallback.caps import Caps
from worker.provider.reply import Broken, Received

AROUND_A_CALL_S = 30.0  # transactions before and after the call


class Provider(Protocol):
    """Sends one request, once, and says what came back by the deadline."""

    def call(
        self,
        model: str,
        params: Mapping[str, Any],
        *,
        attempt_id: str,
        job_id: str,
        deadline: Deadline,
        headers: Mapping[str, str] | None = None,
    ) -> Received | Broken:
        """Ask the model under a version of the API and betas, none for the SDK's own.

        Never raises for anything the network or the provider does.
        """
        ...

    def cut(self) -> None:
        """End the calls in flight."""
        ...


class Ledger(Protocol):
    """Writes attempts down before and after their request."""

    def open_attempt(self, claim: Claim, opening: Opening) -> bool | OverCap:
        """Commit the attempt and what it may cost; False: the job is no longer ours; or it does not fit under a cap."""
        ...

    def over_cap(self, opening: Opening) -> OverCap | None:
        """Tell a cap that has no room for the attempt, whatever becomes of those in flight; nothing is written."""
        ...

    def close_attempt(self, claim: Claim, closing: Closing) -> None:
        """Write how it ended, while the job goes on."""
        ...

    def finish(self, claim: Claim, ending: Ending, closing: Closing | None) -> bool:
        """Write how it ended and where that leaves the job, in one commit; False: the job was no longer ours."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Collaborators:
    """All a walk works with, built once at the entry point. `now` is UTC; `draw` gives numbers from 0 to 1.

    `call_timeout_s` is the least time a call is given. A call's ticket lapses `AROUND_A_CALL_S` after its deadline.
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
    sleep: Callable[[float], None]
    draw: Callable[[], float]
    window_of: Callable[[str], int | None]
    climbs: frozenset[Outcome]
    patience_s: float
    key_pause_s: float
    call_timeout_s: float
    is_stopping: Callable[[], bool] = lambda: False
    capabilities_of: Callable[[str], Capabilities] = capabilities_of
    warming: CacheWarmup | None = None  # None: nothing is marked for the cache

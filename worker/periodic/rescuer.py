"""The rescuer: finds jobs of lost workers, and rescues them. Every worker looks; the ledger lets one worker rescue."""

from collections.abc import Callable
from dataclasses import dataclass, field

from models.errors import LedgerError
from models.job.strays import Stray
from models.ledger.leases import Leases
from worker.events import Report, Rescued
from worker.recovery.rescue import RescuePolicy, rescue_of

_AT_ONCE = 200


@dataclass(slots=True, kw_only=True)
class Rescuer:
    """Rescues, but not before the ledger was there for a whole lease: others could not renew theirs either.

    `clock` is monotonic. A look that came late (a frozen ledger, a stopped process) counts as an absence.
    """

    strays: Leases
    policy: RescuePolicy
    lease_s: float
    every_s: float
    clock: Callable[[], float]
    report: Report
    _there_since: float | None = field(default=None, init=False)
    _looked_at: float = field(default=0.0, init=False)

    def look(self) -> int:
        """Rescue all jobs that can be rescued. Returns their number. Raises LedgerError."""
        started = self.clock()
        if self._there_since is None or started - self._looked_at > 3 * self.every_s:
            self._there_since = started
        try:
            found = self.strays.strays(limit=_AT_ONCE)
            # An answer that came late was asked before a freeze: no worker could renew meanwhile.
            is_prompt = self.clock() - started <= self.every_s
            is_trusted = is_prompt and self.clock() - self._there_since >= self.lease_s
            count = sum(self._take(stray) for stray in found) if is_trusted else 0
            if is_trusted:
                self.strays.mark_cancelled_unknown(limit=_AT_ONCE)
        except LedgerError:
            self._there_since = None
            raise
        self._looked_at = self.clock()
        if self._looked_at - started > 3 * self.every_s:
            self._there_since = None
        return count

    def _take(self, stray: Stray) -> bool:
        rescue = rescue_of(stray, self.policy)
        is_ours = self.strays.rescue(stray, rescue)
        if is_ours:
            self.report(Rescued(job_id=stray.job_id, rescue=rescue))
        return is_ours

"""The jobs that this process works on. While the process lives, their leases are renewed."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Protocol

from models.job.values import Claim


class Claims(Protocol):
    """Gives a job to one worker at a time."""

    def claim(self, job_id: str, *, lease_s: float) -> Claim | None:
        """Claim the job. Returns None if another worker has the job, or if the job is finished."""
        ...


class Renews(Protocol):
    """Holds jobs for a worker that lives."""

    def renew(self, claims: Iterable[Claim], *, lease_s: float) -> None:
        """Hold them for so long from now."""
        ...


class Heartbeat:
    """Safe for threads. `beat` is called three times a lease: two may fail."""

    def __init__(self, leases: Renews, *, lease_s: float) -> None:
        self._leases = leases
        self._claims: dict[str, Claim] = {}
        self._lock = Lock()
        self.lease_s = lease_s

    @contextmanager
    def holding(self, claim: Claim) -> Iterator[None]:
        """Renew this claim's lease until the end of the block."""
        with self._lock:
            self._claims[claim.job_id] = claim
        try:
            yield
        finally:
            with self._lock:
                if self._claims.get(claim.job_id) is claim:  # the job may be ordered anew, and claimed here again
                    del self._claims[claim.job_id]

    def beat(self) -> None:
        """Renew the leases of all claims in hand. Raises LedgerError."""
        with self._lock:
            claims = list(self._claims.values())
        self._leases.renew(claims, lease_s=self.lease_s)

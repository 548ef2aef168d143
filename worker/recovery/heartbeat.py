"""The jobs that this process works on. While the process lives, their leases are renewed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock

from models.job.values import Claim


class Heartbeat:
    """Renews leases; safe for threads. A timer calls `beat` three times a lease: two calls may fail."""

    def __init__(self, renew: Callable[[Sequence[Claim]], object], *, lease_s: float) -> None:
        self._renew = renew
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
        """Renew the leases of the claims in hand. Raises LedgerError."""
        with self._lock:
            claims = list(self._claims.values())
        self._renew(claims)

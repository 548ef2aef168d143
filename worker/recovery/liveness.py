"""The liveness of this worker: proves every few seconds that the worker claims jobs, or else shuts the intake."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from models.errors import StepdownError
from worker.intake import Intake
from worker.recovery.heartbeat import Claims

_NOBODY = ""  # the id of no job: the ledger is asked as usual, and returns no claim
_LEASE_S = 1.0


class Proofs(Protocol):
    """Keeps the proofs of liveness for other programs."""

    def check(self) -> None:
        """Raise an error if this machine can keep no proof."""
        ...

    def leave(self) -> None:
        """Keep a proof with the present time."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Liveness:
    """Checks the ledger and the disk in turn. `listens` returns whether Celery receives from the broker."""

    intake: Intake
    claims: Claims
    proofs: Proofs
    listens: Callable[[], bool]

    def beat(self) -> None:
        """Leave a proof if all is well. Raises StepdownError if a check fails: intake is shut until all is well."""
        try:
            self.claims.claim(_NOBODY, lease_s=_LEASE_S)
            self.proofs.check()
        except StepdownError as error:
            self.intake.shut(str(error))
            raise
        self.intake.shut(None)
        if self.intake.closed_reason() is None and self.listens():
            self.proofs.leave()

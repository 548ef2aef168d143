"""Proves every few seconds that this worker claims jobs, and has it take none while it cannot."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from models.errors import StepdownError
from worker.intake import Intake
from worker.recovery.lease import Claims

_NOBODY = ""  # the id of no job: the ledger is asked as for any other, and gives none
_LEASE_S = 1.0


class Proofs(Protocol):
    """Keeps the proofs where others look for them."""

    def check(self) -> None:
        """Raise where none could be kept on this machine."""
        ...

    def leave(self) -> None:
        """Keep one, of now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Liveness:
    """Asks the ledger and the disk in turn; `listens` tells whether Celery hears the broker."""

    intake: Intake
    claims: Claims
    proofs: Proofs
    listens: Callable[[], bool]

    def beat(self) -> None:
        """Leave a proof where all is well. Raises StepdownError where something is not: the gate is shut until then."""
        try:
            self.claims.claim(_NOBODY, lease_s=_LEASE_S)
            self.proofs.check()
        except StepdownError as error:
            self.intake.shut(str(error))
            raise
        self.intake.shut(None)
        if self.intake.closed_reason() is None and self.listens():
            self.proofs.leave()

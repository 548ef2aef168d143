"""The liveness of this worker: proves every few seconds that the worker claims jobs, or else shuts the intake."""

from collections.abc import Callable
from dataclasses import dataclass

from models.errors import StepdownError
from worker.intake import Intake

_NOBODY = ""  # the id of no job: the ledger is asked as usual, and returns no claim
_LEASE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Liveness:
    """Checks the ledger by a `claim` and the disk by `check`, then has a proof left by `leave`.

    `listens` returns whether Celery receives from the broker.
    """

    intake: Intake
    claim: Callable[..., object]
    check: Callable[[], object]
    leave: Callable[[], object]
    listens: Callable[[], bool]

    def beat(self) -> None:
        """Leave a proof if all is well. Raises StepdownError if a check fails: intake is shut until all is well."""
        try:
            self.claim(_NOBODY, lease_s=_LEASE_S)
            self.check()
        except StepdownError as error:
            self.intake.shut(str(error))
            raise
        self.intake.shut(None)
        if self.intake.closed_reason() is None and self.listens():
            self.leave()

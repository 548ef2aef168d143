"""The proof that a worker claims jobs: none is left where it could not."""

from dataclasses import dataclass

import pytest

from models.errors import LedgerError, Mistake, SettingsError, StepdownError
from models.job.values import Claim
from worker.intake import Intake
from worker.recovery.liveness import Liveness

AWAY = LedgerError("ledger sqlite:///x: disk I/O error")
READ_ONLY = SettingsError([Mistake(variable="STATE_DIR", value="/x", fix="it cannot be written")])


@dataclass(slots=True)
class Around:
    """A ledger, a disk and a consumer that a test may spoil; `left` counts the proofs."""

    ledger: StepdownError | None = None
    disk: StepdownError | None = None
    listens: bool = True
    free_mb: int = 100
    left: int = 0

    def claim(self, job_id: str, *, lease_s: float) -> Claim | None:
        assert (job_id, lease_s) == ("", 1.0)
        if self.ledger is not None:
            raise self.ledger
        return None

    def check(self) -> None:
        if self.disk is not None:
            raise self.disk

    def leave(self) -> None:
        self.left += 1


@pytest.fixture
def around() -> Around:
    """Be well."""
    return Around()


def heartbeat(around: Around) -> Liveness:
    intake = Intake(free_mb=lambda: around.free_mb, needed_mb=64, clock=lambda: 0.0, report=lambda _event: None)
    return Liveness(
        intake=intake, claim=around.claim, check=around.check, leave=around.leave, listens=lambda: around.listens
    )


def test_a_worker_that_is_well_leaves_a_proof_with_every_beat(around: Around) -> None:
    beating = heartbeat(around)
    for _ in range(3):
        beating.beat()
    assert (around.left, beating.intake.closed_reason()) == (3, None)


@pytest.mark.parametrize(("ledger", "disk"), [(AWAY, None), (None, READ_ONLY)])
def test_one_that_cannot_work_leaves_none_and_takes_no_job_until_it_can(
    around: Around, ledger: StepdownError | None, disk: StepdownError | None
) -> None:
    beating = heartbeat(around)
    around.ledger, around.disk = ledger, disk
    with pytest.raises(StepdownError):
        beating.beat()
    assert (around.left, beating.intake.closed_reason()) == (0, str(ledger or disk))
    around.ledger = around.disk = None
    beating.beat()
    assert (around.left, beating.intake.closed_reason()) == (1, None)


def test_one_that_hears_no_broker_whose_disk_is_full_or_that_stops_leaves_none(around: Around) -> None:
    for spoiled in (Around(listens=False), Around(free_mb=1)):
        heartbeat(spoiled).beat()
        assert spoiled.left == 0
    beating = heartbeat(around)
    beating.intake.close()
    beating.beat()
    assert around.left == 0

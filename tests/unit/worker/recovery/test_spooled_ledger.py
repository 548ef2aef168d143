"""The disk before the ledger: what a ledger that is away could not take is given to it later, whatever it was."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.errors import LedgerError
from models.job.values import Claim, Closing, Ending, SpooledReply
from models.outcome import CostStatus, Outcome
from tests.support.ledgers.job_values import closing, failing, parked, succeeded
from tests.support.plays.awaited import finished
from tests.support.plays.walk_scene import scene
from worker.events import Event, ReplyKept
from worker.recovery.spool import Spool
from worker.recovery.spooled_ledger import SpooledLedger


class AwayLedger:
    """A ledger that cannot be reached."""

    def __getattr__(self, _operation: str) -> Callable[..., None]:
        """Fail each operation."""
        return lambda *given: given[-1].set_exception(LedgerError("away"))


_AWAY: Any = AwayLedger()


def _claim() -> Claim:
    one = scene()
    claim = one.ledger.claim(one.job_id, lease_s=60)
    assert claim is not None
    return claim


def _write(spooled: SpooledLedger, claim: Claim, ending: Ending | None, end: Closing) -> None:
    if ending is None:
        finished(spooled.close_attempt(claim, end))
    else:
        finished(spooled.finish(claim, ending, end))


@pytest.mark.parametrize(
    ("end", "ending", "is_on_disk"),
    [
        (closing("a"), succeeded(), True),
        (closing("a", cost_usd=None, cost_status=CostStatus.UNKNOWN, usage=None), succeeded(), True),
        (failing("a", Outcome.OVERLOADED), parked(5), False),
        (failing("a", Outcome.OVERLOADED), None, False),
        (closing("a", outcome=Outcome.TRUNCATED), None, True),
    ],
)
def test_what_came_of_a_call_waits_for_the_ledger_on_disk_if_it_was_paid_for(
    tmp_path: Path, end: Closing, ending: Ending | None, is_on_disk: bool
) -> None:
    events: list[Event] = []
    claim, spool = _claim(), Spool(tmp_path, holder="here", report=print)
    spooled = SpooledLedger(_AWAY, spool, events.append)
    with pytest.raises(LedgerError):
        _write(spooled, claim, ending, end)
    assert events == [ReplyKept(job_id=claim.job_id)]
    (file,) = tmp_path.iterdir()
    assert bool(file.read_bytes()) is is_on_disk
    taken: list[SpooledReply] = []
    assert spool.replay(taken.append) == 1
    assert taken == [SpooledReply(job_id=claim.job_id, token=claim.token, closing=end, ending=ending)]
    assert spool.replay(taken.append) == 0
    spool.close()


def test_a_job_that_ends_without_a_call_leaves_nothing_behind(tmp_path: Path) -> None:
    spool = Spool(tmp_path, holder="here", report=print)
    with pytest.raises(LedgerError):
        finished(SpooledLedger(_AWAY, spool, lambda _event: None).finish(_claim(), parked(5), None))
    assert spool.replay(lambda _kept: None) == 0
    spool.close()

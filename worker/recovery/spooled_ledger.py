"""The ledger behind a disk: the end of a paid call is on disk until the commit."""

from models.database.group_thread import LoopReply
from models.errors import LedgerError
from models.job.values import Claim, Closing, Ending, Opening, OverCap, SpooledReply
from models.ledger.ledger import Ledger
from worker.events import ReplyKept, Report, SpoolFailed
from worker.recovery.failpoints import failpoint
from worker.recovery.spool import Spool, SpoolRecord


class SpooledLedger:
    """Writes the ends of paid calls through the spool. A failed request is kept in memory, to spare the disk."""

    def __init__(self, ledger: Ledger, spool: Spool, report: Report) -> None:
        self._ledger = ledger
        self._spool = spool
        self._report = report

    async def claim(self, job_id: str, *, lease_s: float) -> Claim | None:
        """Take a job. Returns None if another worker has the job, or the job is finished."""
        reply = LoopReply[Claim | None]()
        self._ledger.submit_claim(job_id, reply, lease_s=lease_s)
        return await reply

    async def open_attempt(self, claim: Claim, opening: Opening) -> bool | OverCap:
        """Commit the attempt. Returns False if the job is no longer ours, OverCap if the attempt does not fit a cap."""
        failpoint("before_open")
        reply = LoopReply[bool | OverCap]()
        self._ledger.submit_open(claim, opening, reply)
        opened = await reply
        failpoint("after_open")
        return opened

    async def over_cap(self, opening: Opening) -> OverCap | None:
        """Return a cap without room for the attempt."""
        reply = LoopReply[OverCap | None]()
        self._ledger.submit_over_cap(opening, reply)
        return await reply

    async def close_attempt(self, claim: Claim, closing: Closing) -> None:
        """Write the end of an attempt, while the job goes on."""
        record = await self._kept(claim, closing, None)
        try:
            reply = LoopReply[None]()
            self._ledger.submit_close(claim, closing, reply)
            await reply
        except LedgerError:
            self._leave(record)
            raise
        self._spool.drop(record)

    async def finish(self, claim: Claim, ending: Ending, closing: Closing | None) -> Ending | None:
        """Write the end of an attempt and the state of its job. Returns None if the job was no longer ours."""
        record = None if closing is None else await self._kept(claim, closing, ending)
        try:
            reply = LoopReply[Ending | None]()
            self._ledger.submit_finish(claim, ending, closing, reply)
            written = await reply
            failpoint("after_commit")
        except LedgerError:
            self._leave(record)
            raise
        if record is not None:
            self._spool.drop(record)
        return written

    async def _kept(self, claim: Claim, closing: Closing, ending: Ending | None) -> SpoolRecord:
        kept = SpooledReply(job_id=claim.job_id, token=claim.token, closing=closing, ending=ending)
        if closing.usage is None and (ending is None or ending.message is None):
            return SpoolRecord(kept, None)
        failpoint("after_reply")
        try:
            reply = LoopReply[SpoolRecord]()
            self._spool.submit(kept, reply)
            record = await reply
        except OSError as error:  # a full disk: the ledger may still have room, and memory keeps the reply until then
            self._report(SpoolFailed(message=str(error)))
            return SpoolRecord(kept, None)
        failpoint("after_spool")
        return record

    def _leave(self, record: SpoolRecord | None) -> None:
        if record is not None:
            self._spool.leave(record)
            self._report(ReplyKept(job_id=record.kept.job_id))

"""A worker's life taken apart into steps, which Hypothesis puts together again in any order; checked after each."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Engine, text

from models.job.map_reduce import OnFailedPart
from models.job.values import Opening
from models.ledger.ledger import Ledger
from models.outcome import FINAL_STATES, OnUnknown, Outcome, Reason
from models.reports.batch_counts import kept_counts, live_counts
from models.store import Store
from tests.faults.steps import Hand, Queue
from tests.support.ledgers.job_values import (
    closing,
    failed,
    failing,
    message,
    new_batch,
    new_job,
    new_steps,
    parked,
    succeeded,
    unknown,
)
from worker.periodic.dispatcher import Dispatcher
from worker.periodic.rescuer import Rescuer
from worker.recovery.rescue import RescuePolicy
from worker.recovery.spool import Spool

_MODEL = "claude-opus-4-7"
_TABLES = ("parts", "steps", "decisions", "turns", "answers", "attempts", "jobs", "batch_counts", "batches")
_AWAY_S = 1_000_000.0
_TOO_EARLY = """
    SELECT step.id FROM jobs AS step JOIN parts ON parts.job_id = step.id JOIN jobs AS part ON part.id = parts.part_id
    WHERE step.state <> 'cancelled' AND COALESCE(step.outcome, '') <> 'parts'
        AND part.state IN ('queued', 'running', 'waiting')
"""
End = Literal["answered", "overloaded", "cut"]


class Life(RuleBasedStateMachine):
    """The real ledger, leases, outbox, orders, spool, rescuer and dispatcher. Time passes where a rule says so."""

    engine: Engine  # given by the test

    def __init__(self) -> None:
        super().__init__()
        with self.engine.begin() as connection:
            for table in _TABLES:
                connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608 - five names from above
        self.folder = Path(tempfile.mkdtemp(prefix="stepdown-machine-"))
        self.store = Store(self.engine, worker="here")
        self.store.ledger = Ledger(self.engine, worker="here", counted_from=1)
        self.queue = Queue()
        self.hands: list[Hand] = []
        self.purchases: list[tuple[str, str]] = []  # attempt and job of each request that was billed
        self.final: dict[str, str] = {}
        self.batches: list[str] = []
        self.now_s, self.starts = 0.0, 0
        self.spool = self._new_spool()
        self.clock = Dispatcher(
            queues=self.queue,
            outbox=self.store.outbox,
            steps=self.store.steps,
            free=lambda: (1000,),
            holder="here",
            rungs=1,
            window=4,
            tick_s=1,
            live_s=900,
            clock=lambda: self.now_s,
            report=lambda _event: None,
        )
        policy = RescuePolicy(hold_above_usd=Decimal(0), worst_case_usd=lambda _model, _params, **_tier: None)
        self.rescuer = Rescuer(
            strays=self.store.leases,
            policy=policy,
            lease_s=0,
            every_s=_AWAY_S,
            clock=lambda: self.now_s,
            report=lambda _event: None,
        )

    def _new_spool(self) -> Spool:
        self.starts += 1
        spool = Spool(self.folder, holder=f"worker:{self.starts}", report=print)
        spool.replay(self.store.ledger.replay)
        return spool

    @initialize(count=st.integers(1, 6), choice=st.sampled_from([None, *OnUnknown]))
    def first_batch(self, count: int, choice: OnUnknown | None) -> None:
        """Begin with jobs."""
        self.enqueue(count, choice)

    @rule(count=st.integers(1, 3), choice=st.sampled_from([None, *OnUnknown]))
    def enqueue(self, count: int, choice: OnUnknown | None) -> None:
        """Accept a batch; its messages are the clock's."""
        jobs = [new_job(seq, on_unknown=choice) for seq in range(1, count + 1)]
        self.batches.append(self.store.ledger.enqueue(new_batch(), jobs))

    @rule(count=st.integers(1, 3), on_failed_part=st.sampled_from(OnFailedPart))
    def plan(self, count: int, on_failed_part: OnFailedPart) -> None:
        """Accept a batch with a step made of all its parts, and one made of that."""
        jobs = [new_job(seq) for seq in range(1, count + 3)]
        steps = new_steps(jobs, on_failed_part)
        self.batches.append(self.store.ledger.enqueue(new_batch(), jobs, steps))

    @rule()
    def tick(self) -> None:
        """Let the clock act, late enough that it looks for lost messages."""
        self.now_s += 20
        self.clock.tick()

    @precondition(lambda self: self.queue.messages)
    @rule(data=st.data(), again=st.booleans())
    def deliver(self, data: st.DataObject, again: bool) -> None:
        """Hear a message, whichever; it may stay in the queue and be heard again."""
        job_id = data.draw(st.sampled_from(self.queue.messages))
        if not again:
            self.queue.messages.remove(job_id)
        claim = self.store.ledger.claim(job_id, lease_s=3600)
        if claim is not None:
            self.hands.append(Hand(claim))

    def _hand(self, data: st.DataObject, has: Callable[[Hand], bool]) -> Hand | None:
        able = [hand for hand in self.hands if has(hand)]
        return data.draw(st.sampled_from(able)) if able else None

    @precondition(lambda self: self.hands)
    @rule(data=st.data())
    def open(self, data: st.DataObject) -> None:
        """Commit an attempt."""
        hand = self._hand(data, lambda one: one.opening is None)
        if hand is not None:
            self._open(hand)

    def _open(self, hand: Hand) -> None:
        reason = Reason.REBUY if hand.claim.is_rebuy else Reason.START
        opening = Opening(
            id=f"{hand.claim.job_id[-12:]}-{hand.claim.token}",
            number=hand.claim.attempt_count + 1,
            rung=0,
            fallback_depth=0,
            reason=reason,
            model=_MODEL,
        )
        if self.store.ledger.open_attempt(hand.claim, opening):
            hand.opening = opening
        else:
            self.hands.remove(hand)

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), end=st.sampled_from(["answered", "overloaded", "cut"]))
    def call(self, data: st.DataObject, end: End) -> None:
        """Send the request; what it may cost is in the purchase log from now on."""
        hand = self._hand(data, lambda one: one.opening is not None and one.closing is None)
        if hand is not None:
            self._call(hand, end)

    def _call(self, hand: Hand, end: End) -> None:
        attempt_id = hand.opening.id if hand.opening else ""
        match end:
            case "answered":
                hand.closing = closing(attempt_id, message_id=attempt_id)
                hand.ending = succeeded(message=message() | {"id": attempt_id})
            case "overloaded":
                hand.closing, hand.ending = failing(attempt_id, Outcome.OVERLOADED), parked(-1, rung=0, given_up={})
            case "cut":
                hand.closing, hand.ending = unknown(attempt_id), failed(outcome=Outcome.CUT)
        if end != "overloaded":
            self.purchases.append((attempt_id, hand.claim.job_id))

    @precondition(lambda self: self.hands)
    @rule(data=st.data())
    def keep(self, data: st.DataObject) -> None:
        """Write a reply to the disk."""
        hand = self._hand(data, lambda one: one.closing is not None and one.slip is None)
        if hand is not None and hand.is_paid:
            hand.slip = self.spool.keep(hand.kept())

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), is_away=st.booleans())
    def finish(self, data: st.DataObject, is_away: bool) -> None:
        """Commit the end; or find the ledger away, and leave the reply to the replay."""
        hand = self._hand(data, lambda one: one.closing is not None and (one.slip is not None or not one.is_paid))
        if hand is None:
            return
        if is_away:
            if hand.slip is not None:
                self.spool.leave(hand.slip)
        elif hand.ending is not None:
            self.store.ledger.finish(hand.claim, hand.ending, hand.closing)
            if hand.slip is not None:
                self.spool.drop(hand.slip)
        self.hands.remove(hand)

    @rule()
    def replay(self) -> None:
        """Give the ledger what it missed."""
        self.spool.replay(self.store.ledger.replay)

    @rule()
    def crash(self) -> None:
        """Kill the worker with all it has in hand, and start another."""
        self.hands.clear()
        self.spool.close()
        self.spool = self._new_spool()

    @rule()
    def flush(self) -> None:
        """Empty Redis."""
        self.queue.messages.clear()
        self.queue.was_emptied = True

    @rule()
    def rescue(self) -> None:
        """Have every lease end, as after a long pause, and rescue what is left; hands that are paused know nothing."""
        with self.engine.begin() as connection:
            connection.execute(text("UPDATE jobs SET lease_until = '2020-01-01 00:00:00' WHERE state = 'running'"))
        self.rescuer.look()

    @rule(data=st.data(), order=st.sampled_from(["cancel", "release", "drop", "pause"]))
    def order(self, data: st.DataObject, order: str) -> None:
        """Let a person decide over a batch."""
        batch_id, job_actions = data.draw(st.sampled_from(self.batches)), self.store.job_actions
        match order:
            case "cancel":
                job_actions.cancel(batch_id)
            case "release":
                job_actions.release(batch_id=batch_id, deadline_s=3600)
            case "drop":
                job_actions.drop(batch_id=batch_id)
            case _:
                job_actions.pause(batch_id, because="alike")

    @invariant()
    def holds(self) -> None:
        """Check I1 (an end is an end), I2, I3 and I9 of faults.md."""
        jobs = {row["id"]: row for row in self._rows("SELECT * FROM jobs")}
        attempts = {row["id"]: row for row in self._rows("SELECT * FROM attempts")}
        answers = {row["job_id"]: row for row in self._rows("SELECT job_id, attempt_id FROM answers")}
        for job_id, state in self.final.items():
            assert jobs[job_id]["state"] == state, "I1: a job that had ended went on"
        self.final = {job_id: row["state"] for job_id, row in jobs.items() if row["state"] in FINAL_STATES}
        assert {attempt for attempt, _ in self.purchases} <= set(attempts), "I2: a purchase without its row"
        for job_id, count in Counter(job for _, job in self.purchases).items():
            assert count <= 1 + jobs[job_id]["rebuys"], "I3: bought again, and not recorded"
        assert {job_id for job_id, row in jobs.items() if row["state"] == "succeeded"} == set(answers), "I9"
        assert all(attempts[row["attempt_id"]]["job_id"] == job_id for job_id, row in answers.items()), "I9"
        assert not self._rows(_TOO_EARLY), "a step was asked before its parts had ended"
        with self.engine.connect() as connection:
            for batch in connection.execute(text("SELECT id, job_count FROM batches")).mappings().all():
                assert kept_counts(connection, batch) == live_counts(connection, batch["id"])
        numbers = Counter((row["job_id"], row["attempt_no"]) for row in attempts.values())
        assert all(count == 1 for count in numbers.values())

    def teardown(self) -> None:
        """Lift every fault; then each job ends, or is held and ends once a person has decided (I8)."""
        try:
            self._settle()
        finally:
            self.spool.close()
            shutil.rmtree(self.folder)

    def _settle(self) -> None:
        self.crash()
        for _ in range(200):
            self.rescue()
            for batch_id in self.batches:
                self.store.job_actions.release(batch_id=batch_id, deadline_s=3600)
            self.tick()
            while self.queue.messages:
                claim = self.store.ledger.claim(self.queue.messages.pop(), lease_s=3600)
                if claim is not None:
                    self._answer(Hand(claim))
            if not self._rows("SELECT id FROM jobs WHERE state NOT IN ('succeeded', 'failed', 'cancelled')"):
                break
        self.holds()
        assert len(self.final) == len(self._rows("SELECT id FROM jobs")), "I1: a job is lost"

    def _answer(self, hand: Hand) -> None:
        self.hands.append(hand)
        self._open(hand)
        self._call(hand, "answered")
        assert hand.ending is not None
        assert self.store.ledger.finish(hand.claim, hand.ending, hand.closing)
        self.hands.remove(hand)

    def _rows(self, statement: str) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(statement)).mappings()]

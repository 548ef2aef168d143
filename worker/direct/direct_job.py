"""A prompt for a caller who waits: through the same walk and into the same ledger, without a queue."""

import asyncio
import atexit
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from threading import Lock
from typing import Any

from models.errors import ChainExhaustedError, InputError, TreeBudgetError
from models.ids import new_id
from models.job.answer import Answer
from models.job.call_tree import CallTreePlace, place_in_tree, tree_scope
from models.job.task_kinds import JobTerms, terms_for, within
from models.job.values import Claim, Ending, NewJob
from models.outcome import OVER_BUDGET, State
from models.reports.learned_starts import ASKED
from models.settings import load_settings
from models.text import is_storable
from worker import logs
from worker.composition import open_worker
from worker.fallback.walk import walk
from worker.provider.attempt_cost import total_usd
from worker.run import Worker

_DAY_S = 86_400.0
_LONGEST_LINE = 200  # the width of their columns in the ledger
_opening = Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectCall:
    """A caller's question. `params` are Messages API parameters without the model; `start` is a model of the chain.

    `headers` are the version of the API and the betas of the question.
    """

    params: Mapping[str, Any]
    task: str | None = None
    start: str | None = None
    parent: str | None = None
    depth: int | None = None
    headers: Mapping[str, str] | None = None


def answer_now(asked: DirectCall) -> Answer:
    """Ask the chain in order, now, and return the first answer; every attempt is a row in the ledger.

    No job is parked: if only a wait would help, ChainExhaustedError has the last failure. Raises TooDeepError before
    any row is written, TreeBudgetError, SettingsError, LedgerError.
    """
    worker = worker_of_this_process()
    return worker.loop.run(_answer(asked, worker))


async def answer_soon(asked: DirectCall) -> Answer:
    """Ask as `answer_now` does, for a caller on an event loop.

    If the caller is cancelled, the call goes on to its end, for its cost and its answer.
    """
    worker = await asyncio.to_thread(worker_of_this_process)
    return await asyncio.shield(asyncio.wrap_future(worker.loop.submit(_answer(asked, worker))))


async def _answer(asked: DirectCall, worker: Worker) -> Answer:
    claim = await asyncio.to_thread(_claimed, asked, worker)
    with worker.heartbeat.holding(claim):
        walked = await walk(claim, worker, time_left_s=0)
    ending = walked.ending
    if ending is None or ending.state is not State.SUCCEEDED or ending.message is None:
        raise _failure(claim, ending)
    return Answer(
        id=claim.job_id,
        job_id=claim.job_id,
        state=ending.state,
        message=ending.message,
        model=ending.model_used,
        fallback_depth=ending.fallback_depth,
        cost_usd=total_usd(walked.attempts),
        outcome=ending.outcome,
    )


def _claimed(asked: DirectCall, worker: Worker) -> Claim:
    job = _job(asked, worker)
    worker.store.ledger.open_single(job, deadline_s=_DAY_S)
    claim = worker.store.ledger.claim(job.id, lease_s=worker.heartbeat.lease_s)
    if claim is None:
        raise ChainExhaustedError("somebody else claimed the job", job_id=job.id)
    return claim


def check_labels(source: str, *, depth: int | None, **labels: str | None) -> None:
    """Refuse a depth or a word that the ledger could not keep. Raises InputError."""
    if depth is not None and (type(depth) is not int or depth < 0):
        raise InputError(f"{depth!r} should be a whole number, 0 or more", source=source, field="depth")
    for field, label in labels.items():
        if label is not None and not _is_line(label):
            problem = f"{label!r:.60} should be text of 1 to {_LONGEST_LINE} characters, without NUL, or be left out"
            raise InputError(problem, source=source, field=field)


def worker_of_this_process() -> Worker:
    """Open all that a call works with, once a process."""
    with _opening:  # threads whose first calls are simultaneous share one worker
        return _open_once(os.getpid())


def _job(asked: DirectCall, worker: Worker) -> NewJob:
    job_id, chain, task = new_id(), worker.chain, asked.task
    branch = _branch(job_id, asked, worker)
    terms = terms_for(task, JobTerms(), worker.settings.kinds, worker.climbs)
    start = None if asked.start is None else chain.models.index(asked.start)
    span = within(chain.span(task=task, start=start), terms, chain)
    job = NewJob(
        id=job_id,
        seq=1,
        prompt_id=job_id,
        task=task,
        params=asked.params,
        span=span,
        start_model=chain.models[span.start],
        start_reason=None if start is None else ASKED,
        patience_s=terms.patience_s,
        climb_on=terms.climb_on,
        expects=terms.expects,
        is_urgent=True,
        branch=branch,
        headers=asked.headers or None,
    )
    return worker.store.learned_starts.starting(worker.settings)(job)


def _branch(job_id: str, asked: DirectCall, worker: Worker) -> CallTreePlace:
    trees, parent = worker.store.call_trees, asked.parent
    above = [] if parent is None else trees.above(parent)
    most = worker.settings.max_depth
    branch = place_in_tree(job_id, task=asked.task, parent=parent, depth=asked.depth, above=above, most=most)
    if above and not above[0].is_in_tree:
        trees.take_root(branch.tree)
    return branch


def _failure(claim: Claim, ending: Ending | None) -> ChainExhaustedError | TreeBudgetError:
    last = ending.decisions[-1].details if ending is not None and ending.decisions else {}
    if ending is None:
        return ChainExhaustedError("cancelled meanwhile", job_id=claim.job_id)
    if ending.outcome == OVER_BUDGET and claim.tree and last.get("scope") == tree_scope(claim.tree):
        amounts = {name: Decimal(last[name]) for name in ("cap_usd", "gone_usd", "reserved_usd", "needs_usd")}
        return TreeBudgetError(claim.tree, job_id=claim.job_id, **amounts)
    return ChainExhaustedError(ending.error or ending.outcome, job_id=claim.job_id)


def _is_line(label: object) -> bool:
    return isinstance(label, str) and len(label.strip()) > 0 and len(label) <= _LONGEST_LINE and is_storable(label)


@cache
def _open_once(pid: int) -> Worker:
    """Open a worker for this process: a forked child has neither threads nor files of its parent."""
    until_exit = ExitStack()

    def close() -> None:
        if os.getpid() == pid:
            until_exit.close()

    atexit.register(close)
    return until_exit.enter_context(open_worker(load_settings(), report=logs.log))


def _forget_lock() -> None:
    # The parent may have forked while another thread held the lock.
    global _opening  # noqa: PLW0603 - a lock cannot be let go by a thread that is not there
    _opening = Lock()


os.register_at_fork(after_in_child=_forget_lock)

"""The article's function: a prompt through the same walk and into the same ledger, without a queue."""

import atexit
import os
from collections.abc import Mapping
from contextlib import ExitStack
from decimal import Decimal
from functools import cache
from threading import Lock
from typing import Any, TypedDict

from models.answer import text_of
from models.errors import ChainExhaustedError, InputError
from models.ids import new_id
from models.kinds import JobTerms, terms_for, within
from models.life import NewJob
from models.outcome import State
from models.settings import load_settings
from worker import logs
from worker.office import House, opened
from worker.receipt import total_usd
from worker.walk import walk

_DAY_S = 86_400.0
_opening = Lock()


class Result(TypedDict):
    """What came of a call. The cost in USD is exact, over all its attempts; None where one of them is unknown."""

    model_used: str
    fallback_depth: int
    estimated_cost_usd: Decimal | None
    content: str


def call_with_fallback(prompt: str, max_tokens: int = 1000, *, task: str | None = None) -> Result:
    """Ask the chain in order and return the first answer; every attempt is a row in the ledger.

    The chain begins where TASK_STARTS puts `task`, and TASKS_FILE says what else it asks. `max_tokens` counts output
    tokens. The caller stands by, so nothing is parked: where only waiting would help, ChainExhaustedError tells the
    last failure.
    Raises InputError for an empty prompt or a max_tokens below 1, SettingsError, LedgerError.
    """
    _check(prompt, max_tokens)
    house = _house()
    office = house.office
    asked = _job({"max_tokens": max_tokens, "messages": [{"role": "user", "content": prompt}]}, task, house)
    (job,) = house.books.starts.started([asked], house.settings)
    job_id = job.id
    house.books.ledger.open_single(job, deadline_s=_DAY_S)
    claim = office.claims.claim(job_id, lease_s=office.in_hand.lease_s)
    if claim is None:
        raise ChainExhaustedError("somebody else claimed the job", job_id=job_id)
    with office.in_hand.holding(claim):
        walked = walk(claim, office.desk, time_left_s=0)
    ending = walked.ending
    if ending is None or ending.state is not State.SUCCEEDED or ending.message is None:
        said = "cancelled meanwhile" if ending is None else ending.error or ending.outcome
        raise ChainExhaustedError(said, job_id=job_id)
    return Result(
        model_used=ending.model_used or "",
        fallback_depth=ending.fallback_depth or 0,
        estimated_cost_usd=total_usd(walked.attempts),
        content=text_of(ending.message),
    )


def _job(params: Mapping[str, Any], task: str | None, house: House) -> NewJob:
    job_id, chain = new_id(), house.office.desk.chain
    terms = terms_for(task, JobTerms(), house.settings.kinds, house.office.desk.climbs)
    span = within(chain.span(task=task), terms, chain)
    return NewJob(
        id=job_id,
        seq=1,
        prompt_id=job_id,
        task=task,
        params=params,
        span=span,
        start_model=chain.models[span.start],
        patience_s=terms.patience_s,
        climb_on=terms.climb_on,
        expects=terms.expects,
        is_urgent=True,
    )


def _check(prompt: str, max_tokens: int) -> None:
    if not isinstance(prompt, str) or type(max_tokens) is not int:
        raise InputError("takes a text and a whole number", source="call_with_fallback", field="prompt, max_tokens")
    if not prompt.strip():
        raise InputError("the prompt is empty", source="call_with_fallback", field="prompt")
    if any("\ud800" <= char <= "\udfff" for char in prompt):
        raise InputError("a lone surrogate cannot be sent", source="call_with_fallback", field="prompt")
    if max_tokens < 1:
        raise InputError(
            f"{max_tokens} is too few: ask for at least 1", source="call_with_fallback", field="max_tokens"
        )


def _house() -> House:
    with _opening:  # threads that call for the first time at once share one office
        return _open_once(os.getpid())


@cache
def _open_once(pid: int) -> House:
    """Open an office for this process: a forked child has none of its parent's threads and may not use its files."""
    until_exit = ExitStack()

    def close() -> None:
        if os.getpid() == pid:
            until_exit.close()

    atexit.register(close)
    return until_exit.enter_context(opened(load_settings(), tell=logs.log))


def _forget_lock() -> None:
    # The parent may have forked while another of its threads held it.
    global _opening  # noqa: PLW0603 - a lock cannot be let go by a thread that is not there
    _opening = Lock()


os.register_at_fork(after_in_child=_forget_lock)

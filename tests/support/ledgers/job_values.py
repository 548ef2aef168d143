"""Jobs, attempts and ends as tests write them: whole and plausible, and changed where the test is about it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from models.chain.chain import RungRange
from models.ids import new_id
from models.job.map_reduce import NewStep, OnFailedPart
from models.job.strays import Past, Stray
from models.job.values import Claim, Closing, Ending, NewBatch, NewJob, Opening
from models.ledger.ledger import Ledger
from models.money.usage import Usage
from models.outcome import CostStatus, Outcome, Reason, State

PARAMS = {"max_tokens": 100, "messages": [{"role": "user", "content": "Summarize: bridges were closed."}]}
SPAN = RungRange(start=0, floor=2, ceiling=0)
LEASE_S = 60.0


def new_job(seq: int = 1, **changes: Any) -> NewJob:
    """Make a job of a chain of three models."""
    job = NewJob(id=new_id(), seq=seq, prompt_id=str(seq), task=None, params=PARAMS, span=SPAN)
    return replace(job, **changes)


def new_jobs(count: int) -> list[NewJob]:
    """Make the jobs of a batch, in order."""
    return [new_job(seq) for seq in range(1, count + 1)]


def new_steps(jobs: Sequence[NewJob], on_failed_part: OnFailedPart) -> list[NewStep]:
    """Place jobs so that the last is made of the one before it, and that of all the others."""
    *parts, middle, top = (job.id for job in jobs)
    made_of = {middle: tuple(parts), top: (middle,)}
    return [
        NewStep(
            job_id=job.id,
            document=None,
            level=[*made_of].index(job.id) + 1 if job.id in made_of else 0,
            label=job.prompt_id,
            parts=made_of.get(job.id, ()),
            pieces=("Merge: ", ""),
            on_failed_part=on_failed_part,
        )
        for job in jobs
    ]


def new_batch(**changes: Any) -> NewBatch:
    """Make a batch without a key."""
    batch = NewBatch(id=new_id(), name=None, key=None, content_sha256="0" * 64, task=None, tags={}, deadline_s=86_400)
    return replace(batch, **changes)


def accepted(ledger: Ledger, count: int = 1, **changes: Any) -> tuple[str, list[str]]:
    """Enqueue a batch; returns its id and those of its jobs, in order."""
    jobs = new_jobs(count)
    return ledger.enqueue(new_batch(**changes), jobs), [job.id for job in jobs]


def claimed(ledger: Ledger, job_id: str) -> Claim:
    """Claim a job that can be claimed."""
    claim = ledger.claim(job_id, lease_s=LEASE_S)
    assert claim is not None
    return claim


def opening(number: int = 1, **changes: Any) -> Opening:
    """Make what is written before a request leaves."""
    first = Opening(id=new_id(), number=number, rung=0, fallback_depth=0, reason=Reason.START, model="claude-opus-4-7")
    return replace(first, **changes)


def closing(attempt_id: str, **changes: Any) -> Closing:
    """Make what is written after an attempt that was answered and costs a cent."""
    answered = Closing(
        attempt_id=attempt_id,
        outcome=Outcome.ANSWERED,
        cost_usd=Decimal("0.01"),
        cost_status=CostStatus.EXACT,
        price_source="by hand",
        latency_ms=1200,
        http_status=200,
        served_model="claude-opus-4-7",
        stop_reason="end_turn",
        message_id="msg_1",
        request_id="req_1",
        usage=Usage(input_tokens=1000, output_tokens=200, raw={"input_tokens": 1000, "output_tokens": 200}),
    )
    return replace(answered, **changes)


def failing(attempt_id: str, outcome: Outcome = Outcome.OVERLOADED, **changes: Any) -> Closing:
    """Make what is written after an attempt that cost nothing."""
    free = Closing(
        attempt_id=attempt_id,
        outcome=outcome,
        cost_usd=Decimal(0),
        cost_status=CostStatus.FREE,
        latency_ms=30,
        http_status=529,
        error_type="overloaded_error",
    )
    return replace(free, **changes)


def unknown(attempt_id: str, **changes: Any) -> Closing:
    """Make what is written after an attempt that may have been billed."""
    return failing(attempt_id, Outcome.TIMED_OUT, cost_usd=None, cost_status=CostStatus.UNKNOWN, **changes)


def broken(attempt_id: str, **changes: Any) -> Closing:
    """Make what is written after an attempt whose stream broke, and that is billed 0.2 cents at least."""
    seen = Usage(input_tokens=1000, output_tokens=1, raw={"input_tokens": 1000, "output_tokens": 1})
    shown = {"usage": seen, "served_model": "claude-opus-4-7", "least_usd": Decimal("0.002")}
    status, cut = CostStatus.AT_LEAST, Outcome.CUT
    return failing(attempt_id, cut, **{"cost_usd": None, "cost_status": status, "error_type": None, **shown, **changes})


def stray(*attempts: Past, **changes: Any) -> Stray:
    """Make a job whose worker was lost with these attempts behind it."""
    lost = Stray(
        job_id="job-1",
        batch_id="batch-1",
        token=1,
        params=PARAMS,
        span=SPAN,
        rung=0,
        given_up={},
        on_unknown=None,
        crashes=0,
        rebuys=0,
        attempts=attempts,
    )
    return replace(lost, **changes)


def message(text: str = "Bridges are closed.") -> dict[str, Any]:
    """Make an answer in the API's shape."""
    return {"id": "msg_1", "type": "message", "role": "assistant", "content": [{"type": "text", "text": text}]}


def succeeded(**changes: Any) -> Ending:
    """Make the end of a job with an answer."""
    end = Ending(
        state=State.SUCCEEDED,
        outcome=Outcome.ANSWERED,
        error=None,
        rung=0,
        given_up={},
        rounds=0,
        message=message(),
        model_used="claude-opus-4-7",
        fallback_depth=0,
    )
    return replace(end, **changes)


def failed(**changes: Any) -> Ending:
    """Make the end of a job that no model answers."""
    end = Ending(
        state=State.FAILED, outcome=Outcome.BAD_REQUEST, error="bad_request: no", rung=0, given_up={}, rounds=0
    )
    return replace(end, **changes)


def parked(due_in_s: float, **changes: Any) -> Ending:
    """Make the end of a walk that goes on later."""
    end = Ending(
        state=State.WAITING,
        outcome=Outcome.OVERLOADED,
        error="overloaded: later",
        rung=1,
        given_up={0: "overloaded"},
        rounds=1,
        due_in_s=due_in_s,
    )
    return replace(end, **changes)


def answered(ledger: Ledger, job_id: str, *failures: Outcome, ending: Ending | None = None, **changes: Any) -> Claim:
    """Take a job to its answer, past attempts that failed; `changes` are the last attempt's."""
    claim = claimed(ledger, job_id)
    for number, outcome in enumerate(failures, start=1):
        failure = opening(number)
        assert ledger.open_attempt(claim, failure)
        ledger.close_attempt(claim, failing(failure.id, outcome))
    last = opening(len(failures) + 1)
    assert ledger.open_attempt(claim, last)
    assert ledger.finish(claim, ending or succeeded(), closing(last.id, **changes))
    return claim


def ids_of(items: Iterable[Any]) -> list[str]:
    """List the ids of what has one."""
    return [item.id for item in items]

"""The stages of a rung from the request on: call, check the answer, release admission, decide."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from models.chain.fallback_rules import ABOUT_THE_KEY
from models.money.prompt_cache import lifetimes, marked
from models.outcome import Outcome
from models.rung_name import endpoint_of
from worker.admission.admission import Change, Request, Result, ResultKind
from worker.admission.forecast import limits_in, result_kind, uncached
from worker.events import (
    AttemptClosed,
    BreakerChanged,
    CircuitClosed,
    CircuitOpened,
    EndpointBack,
    EndpointOut,
    KeyPaused,
    WorstCasePassed,
)
from worker.fallback.check_answer import asks_nothing, check_answer
from worker.fallback.decide import decide, doubt
from worker.fallback.longer_answer import joined, longer_answer
from worker.fallback.result import message_of
from worker.fallback.rung import Call, RungContext, RungResult
from worker.fallback.wait_or_step import prefer_warm
from worker.provider.attempt_cost import closing_of
from worker.provider.classify import classify
from worker.provider.reply import Broken, Failure, Received, Reply
from worker.provider.unquoted import without_prompt

_EVENTS: Mapping[Change, type[BreakerChanged]] = {
    "opened": CircuitOpened,
    "closed": CircuitClosed,
    "endpoint_opened": EndpointOut,
    "endpoint_closed": EndpointBack,
}
_FULL, _LARGE = 0.9, 0.5  # of the limit: what remained of it, and the request's forecast, which may be twice too low


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedCall:
    """A call after its end: the response, the checked end, and the effect on the circuit breaker."""

    began_at: datetime
    received: Received | Broken
    end: Reply | Failure
    change: Change = ""


async def call_and_check(rung: RungContext, call: Call) -> EndedCall:
    """Send the request of an open attempt, and check the answer."""
    began_at = rung.worker.now()  # a call over midnight belongs to the day of its opening, as in every sum over days
    request = call.claim.params if call.spot is None else marked(call.claim.params)
    received = await rung.worker.provider.call(
        call.opening.model,
        request,
        attempt_id=call.opening.id,
        job_id=call.claim.job_id,
        deadline=call.deadline,
        headers=call.headers,
        on_event=rung.worker.listener(call.claim, call.opening),
    )
    found = without_prompt(classify(received, now=rung.worker.now(), lifetimes=lifetimes(request)), request)
    if found.served_model is not None:
        found = replace(found, served_model=rung.worker.provider.served(call.opening.model, found.served_model))
    whole = joined(found, rung.place.content, rung.place.passes)
    check = partial(check_answer, whole, call.claim.expects, asks_nothing=asks_nothing(request))
    end = await rung.worker.in_thread(check) if call.claim.expects else check()  # a pattern may take a second
    return EndedCall(began_at=began_at, received=received, end=_by_limits(end, limits_in(received), call.request))


async def release_admission(rung: RungContext, call: Call, ended: EndedCall) -> EndedCall:
    """Report the end of the call to admission control, and note the effect on the circuit breaker."""
    request, end, worker, model = call.request, ended.end, rung.worker, call.request.model
    usage = end.usage if isinstance(end, Reply) and not end.is_part else None
    if usage is not None:
        worker.expected.learn(model, call.claim.params, usage, latency_ms=end.latency_ms)
    # A call that its own stopping worker cut says nothing about the model.
    is_ours = isinstance(ended.received, Broken) and ended.received.how == "cut" and worker.is_stopping()
    how_it_ended: ResultKind = "not_sent" if is_ours else result_kind(end)
    change = await worker.admission.release(
        replace(
            result_of(request, how_it_ended),
            latency_ms=end.latency_ms,
            input_tokens=None if usage is None else uncached(usage),
            output_tokens=None if usage is None else usage.output_tokens,
            retry_after_s=_retry_after_s(end),
            limits=limits_in(ended.received),
            is_slow=worker.expected.is_slow(model, end, is_probe=call.opening.is_probe),
            is_own_fault=worker.expected.failures.add(model, request.job, how_it_ended),
        )
    )
    if event := _EVENTS.get(change):
        worker.report(event(model=model, how=result_kind(end)))
    return EndedCall(began_at=ended.began_at, received=ended.received, end=end, change=change)


async def decide_next(rung: RungContext, call: Call, ended: EndedCall) -> RungResult:
    """Price the attempt, and decide what the job does next."""
    end, worker, opening, key_works = ended.end, rung.worker, call.opening, ended.change == "key_works"
    doubted = doubt(rung.place, rung.policy) if key_works else None
    if key_works and doubted is None and isinstance(end, Failure):
        message = f"the key was refused to this request alone, and answers others: {message_of(end)}"
        end = replace(end, outcome=Outcome.REJECTED, message=message)
    closing, worst = closing_of(opening.id, end, worker.prices, at=ended.began_at), opening.worst_case_usd
    worker.report(AttemptClosed(claim=call.claim, opening=opening, closing=closing))
    known = closing.least_usd if closing.cost_usd is None else closing.cost_usd
    if known is not None and worst is not None and known > worst:
        worker.report(WorstCasePassed(opening=opening, closing=closing))
    if end.outcome in ABOUT_THE_KEY and not key_works:
        pause_s, endpoint = worker.key_pause_s, endpoint_of(opening.model)
        worker.report(KeyPaused(outcome=end.outcome, message=message_of(end), for_s=pause_s, endpoint=endpoint))
    most = worker.capabilities_of(opening.model).most_output
    longer = longer_answer(end, call.claim, most, rung.policy.climbs)
    result = RungResult(
        place=rung.place,
        decision=doubted or longer or decide(end, rung.place, rung.policy),
        end=end,
        closing=closing,
        depth=opening.fallback_depth,
        details=_details(end, call),
        wait_s=_retry_after_s(end),
    )
    return await prefer_warm(rung, call, result)


def result_of(request: Request, how_it_ended: ResultKind) -> Result:
    """Return the end of a request for admission control, without tokens and times."""
    is_again = request.is_again and how_it_ended == "server_error"
    return Result(ticket=request.ticket, model=request.model, group=request.group, how=how_it_ended, is_again=is_again)


def _retry_after_s(end: Reply | Failure) -> float | None:
    return end.retry_after_s if isinstance(end, Failure) else None


def _details(end: Reply | Failure, call: Call) -> Mapping[str, Any]:
    match end.outcome:
        case Outcome.TIMED_OUT if isinstance(end, Failure):
            return {"deadline": end.deadline or str(call.deadline)}
        case Outcome.OVER_LIMIT if isinstance(end, Failure):
            return {"needs": call.request.input_tokens, "per_minute": end.per_minute}
        case _:
            return {}


def _by_limits(end: Reply | Failure, limits: Mapping[str, tuple[int, int]], request: Request) -> Reply | Failure:
    """Return a 429 as over_limit if nothing is used up and the request is large: no wait makes room for it."""
    if not isinstance(end, Failure) or end.outcome is not Outcome.RATE_LIMITED or "input" not in limits:
        return end
    (limit, remaining), is_idle = limits["input"], all(left > 0 for _, left in limits.values())
    if not is_idle or remaining < _FULL * limit or request.input_tokens < _LARGE * limit:
        return end
    message = (
        f"the request needs about {request.input_tokens:,} input tokens, and {request.model} takes {limit:,} a minute"
    )
    return replace(
        end, outcome=Outcome.OVER_LIMIT, message=f"{message} ({end.message})", per_minute=limit, retry_after_s=None
    )

"""One request of a walk: it leaves, its end is judged and costed, admission learns of it, and the way on is chosen."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from models.chain.deadline import Deadline
from models.chain.fallback_rules import ABOUT_THE_KEY
from models.job.values import Claim, Opening
from models.money.prompt_cache import lifetimes, marked
from models.outcome import Outcome
from worker.admission.admission import Change, Request, Result, ResultKind
from worker.admission.cache_warmup import CachedPrefix
from worker.admission.forecast import limits_in, result_kind, uncached
from worker.events import AttemptClosed, CircuitClosed, CircuitOpened, KeyPaused, WorstCasePassed
from worker.fallback.check_answer import asks_nothing, check_answer
from worker.fallback.collaborators import Collaborators
from worker.fallback.decide import decide, doubt
from worker.fallback.decision import ChainPosition, Policy
from worker.fallback.longer_answer import joined, longer_answer
from worker.fallback.result import RungResult, message_of
from worker.fallback.wait_or_step import prefer_warm
from worker.provider.attempt_cost import closing_of
from worker.provider.classify import classify
from worker.provider.reply import Broken, Failure, Received, Reply
from worker.provider.unquoted import without_prompt

_FULL, _LARGE = 0.9, 0.5  # of the limit: what remained of it, and the request's forecast, which may be twice too low


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request on its way. The claim's parameters are those that are sent, but for the mark for the cache.

    `spot` is the cache it is marked for; None: it is not marked. `headers` are its version of the API and its betas.
    """

    claim: Claim
    opening: Opening
    need: Request
    deadline: Deadline
    headers: Mapping[str, str]
    spot: CachedPrefix | None = None


def make_attempt(call: Call, place: ChainPosition, policy: Policy, worker: Collaborators) -> RungResult:
    """Send the request of an open attempt; return its end, its closing and the way on."""
    began_at = worker.now()  # over midnight, its day is the one it was opened on, as in every sum over days
    claim, opening = call.claim, call.opening
    request = claim.params if call.spot is None else marked(claim.params)
    received = worker.provider.call(
        opening.model,
        request,
        attempt_id=opening.id,
        job_id=claim.job_id,
        deadline=call.deadline,
        headers=call.headers,
    )
    result = without_prompt(classify(received, now=worker.now(), lifetimes=lifetimes(request)), request)
    end = check_answer(joined(result, place.content, place.passes), claim.expects, asks_nothing=asks_nothing(request))
    end = _by_limits(end, limits_in(received), call.need)
    key_works = _release(call, received, end, worker) == "key_works"
    doubted = doubt(place, policy) if key_works else None
    if key_works and doubted is None:
        message = f"the key was refused to this request alone, and answers others: {message_of(end)}"
        end = replace(end, outcome=Outcome.REJECTED, message=message) if isinstance(end, Failure) else end
    closing = closing_of(opening.id, end, worker.prices, at=began_at)
    worker.report(AttemptClosed(claim=claim, opening=opening, closing=closing))
    worst = opening.worst_case_usd
    if closing.cost_usd is not None and worst is not None and closing.cost_usd > worst:
        worker.report(WorstCasePassed(opening=opening, closing=closing))
    if end.outcome in ABOUT_THE_KEY and not key_works:
        worker.report(KeyPaused(outcome=end.outcome, message=message_of(end), for_s=worker.key_pause_s))
    most = worker.capabilities_of(opening.model).most_output
    step = RungResult(
        place=place,
        decision=doubted or longer_answer(end, claim, most, policy.climbs) or decide(end, place, policy),
        end=end,
        closing=closing,
        depth=opening.fallback_depth,
        details=_figures(end, call),
    )
    wait_s = end.retry_after_s if isinstance(end, Failure) else None
    return prefer_warm(step, wait_s, claim, call.spot, policy, worker)


def _figures(end: Reply | Failure, call: Call) -> Mapping[str, Any]:
    match end.outcome:
        case Outcome.TIMED_OUT:
            return {"deadline": str(call.deadline)}
        case Outcome.OVER_LIMIT if isinstance(end, Failure):
            return {"needs": call.need.input_tokens, "per_minute": end.per_minute}
        case _:
            return {}


def _by_limits(end: Reply | Failure, limits: Mapping[str, tuple[int, int]], need: Request) -> Reply | Failure:
    """Return a 429 as over_limit where nothing was used up and the request is large: no wait makes room for it."""
    if not isinstance(end, Failure) or end.outcome is not Outcome.RATE_LIMITED or "input" not in limits:
        return end
    (limit, remaining), is_idle = limits["input"], all(left > 0 for _, left in limits.values())
    if not is_idle or remaining < _FULL * limit or need.input_tokens < _LARGE * limit:
        return end
    message = f"the request needs about {need.input_tokens:,} input tokens, and {need.model} takes {limit:,} a minute"
    return replace(
        end, outcome=Outcome.OVER_LIMIT, message=f"{message} ({end.message})", per_minute=limit, retry_after_s=None
    )


def _release(call: Call, received: Received | Broken, end: Reply | Failure, worker: Collaborators) -> Change:
    need, usage = call.need, end.usage if isinstance(end, Reply) else None
    if usage is not None:
        worker.expected.learn(need.model, call.claim.params, usage, latency_ms=end.latency_ms)
    # A call that was cut since its own worker stops tells nothing of its model.
    is_ours = isinstance(received, Broken) and received.how == "cut" and worker.is_stopping()
    how_it_ended: ResultKind = "not_sent" if is_ours else result_kind(end)
    changed = worker.admission.release(
        replace(
            result_of(need, how_it_ended),
            latency_ms=end.latency_ms,
            input_tokens=None if usage is None else uncached(usage),
            output_tokens=None if usage is None else usage.output_tokens,
            retry_after_s=end.retry_after_s if isinstance(end, Failure) else None,
            limits=limits_in(received),
            is_slow=worker.expected.is_slow(need.model, end, is_probe=call.opening.is_probe),
            is_own_fault=worker.expected.failures.add(need.model, need.job, how_it_ended),
        )
    )
    if changed == "opened":
        worker.report(CircuitOpened(model=need.model, how=result_kind(end)))
    if changed == "closed":
        worker.report(CircuitClosed(model=need.model))
    return changed


def result_of(need: Request, how_it_ended: ResultKind) -> Result:
    """Return the end of a request for admission control, without figures."""
    is_again = need.is_again and how_it_ended == "server_error"
    return Result(ticket=need.ticket, model=need.model, group=need.group, how=how_it_ended, is_again=is_again)

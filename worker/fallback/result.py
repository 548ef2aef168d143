"""The consequence of a rung's decision, matched in one place: the record, and the next rung or the job's ending."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from models.job.values import DecisionRecord, Ending
from models.outcome import Outcome, Reason, State
from models.rung_name import DEFAULT_ENDPOINT, endpoint_of
from worker.fallback.decision import (
    HAS_WAITED,
    Answered,
    ChainPosition,
    Continue,
    Fallback,
    Park,
    Retry,
    RetryLonger,
    Stop,
)
from worker.fallback.rung import RungContext, RungResult
from worker.provider.reply import Failure, Reply

_STEPS: Mapping[Outcome, str] = {
    Outcome.TRUNCATED: "give it more max_tokens, or let it climb (CLIMB_ON=truncated)",
    Outcome.REFUSED: "change the prompt, or let other models be asked (CLIMB_ON=refused)",
    Outcome.UNCLEAR: "look at the stop reason in the API's documentation, then run stepdown retry",
    Outcome.EMPTY: "change the prompt, or let a better model be asked (CLIMB_ON=empty)",
    Outcome.INVALID: "change the prompt or the check, or let a better model be asked (CLIMB_ON=invalid)",
    Outcome.MALFORMED: "look at ANTHROPIC_BASE_URL with stepdown doctor, then run stepdown retry",
    Outcome.UNREACHABLE: "look at ANTHROPIC_BASE_URL and the network with stepdown doctor, then run stepdown retry",
    Outcome.CUT: "look at the network, then run stepdown retry: the call may have been billed",
    Outcome.TIMED_OUT: "give calls more time (CALL_TIMEOUT_S, or the gateway's), then run stepdown retry",
    Outcome.BAD_REQUEST: "mend the request and submit it again",
    Outcome.REJECTED: "mend the request, or run stepdown retry once the API takes it",
    Outcome.BLOCKED: "something between here and the API answered: ask its operator, or look at ANTHROPIC_BASE_URL",
    Outcome.TOO_LONG: "shorten the prompt, or put a model with a larger window into MODEL_CHAIN",
    Outcome.TOO_LARGE: "make the request smaller and submit it again",
    Outcome.SPEND_LIMIT: "raise the limit or add credit at the provider, then run stepdown retry",
    Outcome.UNAUTHORIZED: "mend ANTHROPIC_API_KEY or the account at the provider, then run stepdown retry",
    Outcome.REDIRECTED: "set ANTHROPIC_BASE_URL to the address that answers, then run stepdown retry",
    Outcome.MODEL_MISSING: "look at MODEL_CHAIN and ANTHROPIC_BASE_URL with stepdown doctor, then run stepdown retry",
    Outcome.MODEL_DENIED: "have the provider open the model to this key, or take it out of MODEL_CHAIN",
    Outcome.RATE_LIMITED: "run stepdown retry later, or give the job a longer deadline",
    Outcome.RAMP_LIMITED: "run stepdown retry later, or give the job a longer deadline",
    Outcome.OVER_LIMIT: "shorten the prompt, or have the provider raise the limit, then run stepdown retry",
    Outcome.SERVER_ERROR: "run stepdown retry once the API is well",
    Outcome.OVERLOADED: "run stepdown retry later, or give the job a longer deadline",
}
_FIELDS = {"ANTHROPIC_BASE_URL": "base_url", "ANTHROPIC_API_KEY": "key"}
_MORE_ROOM = "give it more max_tokens or less thinking, or let it climb (CLIMB_ON=truncated or empty)"
_TURNS = frozenset({Outcome.REFUSED, Outcome.EMPTY, Outcome.UNFINISHED})


def follow(rung: RungContext, result: RungResult) -> tuple[DecisionRecord | None, RungContext | Ending]:
    """Return the record of the decision, and the next rung of the walk or the job's ending. An answer has no record."""
    place, models = rung.place, rung.policy.chain.models
    details: dict[str, object] = {}
    after: RungContext | Ending
    match result.decision:
        case Answered():
            return None, answered(result)
        case Retry():
            word, again = "retry", replace(place, retries=place.retries + 1)
            after = _next(rung, result, again, Reason.RETRY)
        case RetryLonger(max_tokens=max_tokens):
            word, details = "raise", {"max_tokens": max_tokens}
            longer = replace(rung, claim=replace(rung.claim, raised_max_tokens=max_tokens))
            after = _next(longer, result, place, Reason.RAISE)
        case Continue(content=content):
            word, passes = "continue", place.passes + 1
            details = {"passes": passes}
            after = _next(rung, result, replace(place, passes=passes, content=content), Reason.CONTINUE)
        case Fallback(rung=to, reason=reason, given_up=given_up, waits=waits):
            word = "skip" if result.closing is None else "climb" if reason is Reason.CLIMB else "fallback"
            details = {"to": models[to]}
            there = ChainPosition(rung=to, given_up=given_up, rounds=place.rounds, waits=waits)
            after = _next(rung, result, there, reason)
        case Park(after_s=after_s, rung=to, given_up=given_up, rounds=rounds):
            word = "wait" if given_up.get(to) in HAS_WAITED else "park"
            details = {"after_s": round(after_s, 3), "to": models[to]}
            parked = ChainPosition(rung=to, given_up=given_up, rounds=rounds)
            after = replace(_unanswered(result, parked), state=State.WAITING, due_in_s=after_s)
        case Stop(because=because):
            word, after = "stop", _unanswered(result, place.unmarked())
            after = replace(
                after, error=f"{after.error}{because}{next_step(result.end, endpoint_of(models[place.rung]))}"
            )
    return _record(rung, result, word, details), after


def answered(result: RungResult) -> Ending:
    """Return the ending of a job that keeps this rung's reply."""
    reply = result.end
    if not isinstance(reply, Reply):
        raise TypeError(f"only a reply can be kept, not {result.cause}")
    return Ending(
        state=State.SUCCEEDED,
        outcome=reply.outcome,
        error=None,
        rung=result.place.rung,
        given_up=result.place.unmarked().given_up,
        rounds=result.place.rounds,
        message=reply.message,
        is_truncated=reply.outcome in {Outcome.TRUNCATED, Outcome.UNCLEAR},
        model_used=reply.served_model,
        fallback_depth=result.depth,
    )


def whole_ending(ending: Ending, rung: RungContext, decisions: Sequence[DecisionRecord]) -> Ending:
    """Complete an ending by the facts of the whole walk."""
    error = ending.error
    if ending.outcome == Outcome.OVER_LIMIT:
        error = _over_limit_words(decisions, rung, ending.error or "")
    raised = rung.claim.raised_max_tokens
    return replace(ending, error=error, decisions=tuple(decisions), raised_max_tokens=raised)


def odd_turn_of(end: Reply | Failure | None) -> Mapping[str, Any] | None:
    """Return the API's own turn that is no answer for the chain: refused, paused or without a word."""
    return end.message if isinstance(end, Reply) and end.outcome in _TURNS else None


def next_step(end: Reply | Failure | None, endpoint: str = DEFAULT_ENDPOINT) -> str:
    """Return the advice to a person as the end of a sentence; empty without a call. The advice names the endpoint."""
    if end is None or end.outcome not in _STEPS:
        return ""
    if isinstance(end, Reply) and end.outcome is Outcome.EMPTY and end.stop_reason == "max_tokens":
        return f"; {_MORE_ROOM}"
    advice = _STEPS[end.outcome]
    for setting, field in {} if endpoint == DEFAULT_ENDPOINT else _FIELDS.items():
        advice = advice.replace(setting, f"{field} of [{endpoint}] in ENDPOINTS_FILE")
    return f"; {advice}"


def message_of(end: Reply | Failure) -> str:
    """Return the outcome of a call, and the provider's words or the flaw of the answer."""
    return f"{end.outcome}: {_words_of(end) or 'no stop reason'}"


def _record(rung: RungContext, result: RungResult, word: str, details: Mapping[str, object]) -> DecisionRecord:
    return DecisionRecord(
        attempt_count=rung.number if result.closing is not None else rung.number - 1,
        at=rung.worker.now(),
        rung=rung.place.rung,
        model=rung.model,
        decision=word,
        reason=result.reason or result.cause,
        details={**result.details, **details},
    )


def _next(rung: RungContext, result: RungResult, place: ChainPosition, reason: Reason) -> RungContext:
    if result.closing is None:
        return replace(rung, place=place, reason=reason)
    return replace(rung, place=place, reason=reason, number=rung.number + 1, last=result)


def _unanswered(result: RungResult, place: ChainPosition) -> Ending:
    return Ending(
        state=State.FAILED,
        outcome=result.cause,
        error=result.message if result.end is None else message_of(result.end),
        rung=place.rung,
        given_up=place.given_up,
        rounds=place.rounds,
    )


def _words_of(end: Reply | Failure) -> str:
    if isinstance(end, Failure):
        return end.message
    if end.outcome is not Outcome.REFUSED:
        return end.flaw or end.stop_reason
    category = f" (category {end.category})" if end.category else ""
    return f"{end.explanation or end.stop_reason}{category}"


def _over_limit_words(decisions: Sequence[DecisionRecord], rung: RungContext, error: str) -> str:
    """Return an error with the largest limit of the chain, if this walk met the limit of each rung."""
    met = {record.rung: record.details for record in decisions if record.reason == Outcome.OVER_LIMIT}
    if set(rung.claim.span.available(())) - met.keys():
        return error
    needs, most = (max(float(details[name]) for details in met.values()) for name in ("needs", "per_minute"))
    return (
        f"{Outcome.OVER_LIMIT}: the request needs about {needs:,.0f} input tokens; no model of the chain takes "
        f"more than {most:,.0f} a minute{error[error.rfind('; ') :] if '; ' in error else ''}"
    )

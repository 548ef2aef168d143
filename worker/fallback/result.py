"""One turn of a walk, and what the last one makes of its job."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from models.chain.chain import RungRange
from models.job.values import Closing, DecisionRecord, Ending
from models.outcome import Outcome, Reason, State
from worker.fallback.decision import (
    WAITED,
    Answered,
    ChainPosition,
    Continue,
    Decision,
    Fallback,
    Park,
    Retry,
    RetryLonger,
    Stop,
)
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
_MORE_ROOM = "give it more max_tokens or less thinking, or let it climb (CLIMB_ON=truncated or empty)"


_TURNS = frozenset({Outcome.REFUSED, Outcome.EMPTY, Outcome.UNFINISHED})


def next_step(end: Reply | Failure | None) -> str:
    """Return what would help, as the end of a sentence; empty where no call was made."""
    if end is None or end.outcome not in _STEPS:
        return ""
    if isinstance(end, Reply) and end.outcome is Outcome.EMPTY and end.stop_reason == "max_tokens":
        return f"; {_MORE_ROOM}"
    return f"; {_STEPS[end.outcome]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RungResult:
    """The result of one rung: the position, the end of the attempt, and the decision.

    Without an attempt, `closing` and `end` are None, `skip_reason` names the cause, and `message` becomes the job's
    error if the job ends or waits. `reason` and `details` are those of the decision.
    """

    place: ChainPosition
    decision: Decision
    end: Reply | Failure | None
    closing: Closing | None
    depth: int = 0
    skip_reason: str = ""
    message: str = ""
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


def ending_of(step: RungResult) -> Ending:
    """Lay out where a step that is the last one leaves its job."""
    place = step.place
    match step.decision:
        case Answered():
            return _answered(step)
        case Park(after_s=after_s, rung=rung, given_up=given_up, rounds=rounds):
            return Ending(
                state=State.WAITING,
                outcome=_why(step),
                error=_message_of(step),
                rung=rung,
                given_up=given_up,
                rounds=rounds,
                due_in_s=after_s,
            )
        case decision:
            return Ending(
                state=State.FAILED,
                outcome=_why(step),
                error=_message_of(step)
                + (decision.because if isinstance(decision, Stop) else "")
                + next_step(step.end),
                rung=place.rung,
                given_up=_left_behind(place),
                rounds=place.rounds,
            )


def odd_turn_of(end: Reply | Failure | None) -> Mapping[str, Any] | None:
    """Return the API's own turn where it is no answer for the chain: refused, paused or without a word."""
    return end.message if isinstance(end, Reply) and end.outcome in _TURNS else None


def decision_record(step: RungResult, models: Sequence[str], *, attempt_count: int, at: datetime) -> DecisionRecord:
    """Note a decision for whoever asks why: which, about which model, and by what figures."""
    details = dict(step.details)
    match step.decision:
        case Retry():
            word = "retry"
        case RetryLonger(max_tokens=max_tokens):
            word = "raise"
            details["max_tokens"] = max_tokens
        case Continue():
            word = "continue"
            details["passes"] = step.place.passes + 1
        case Fallback(rung=rung, reason=reason):
            word = "skip" if step.closing is None else "climb" if reason is Reason.CLIMB else "fallback"
            details["to"] = models[rung]
        case Park(after_s=after_s, rung=rung, given_up=given_up):
            word = "wait" if given_up.get(rung) == WAITED else "park"
            details |= {"after_s": round(after_s, 3), "to": models[rung]}
        case Answered() | Stop():
            word = "stop"
    return DecisionRecord(
        attempt_count=attempt_count,
        at=at,
        rung=step.place.rung,
        model=models[step.place.rung],
        decision=word,
        reason=step.reason or _why(step),
        details=details,
    )


def _answered(step: RungResult) -> Ending:
    reply = step.end
    if not isinstance(reply, Reply):
        message = f"only a reply can be kept, not {_why(step)}"
        raise TypeError(message)
    return Ending(
        state=State.SUCCEEDED,
        outcome=reply.outcome,
        error=None,
        rung=step.place.rung,
        given_up=_left_behind(step.place),
        rounds=step.place.rounds,
        message=reply.message,
        is_truncated=reply.outcome in {Outcome.TRUNCATED, Outcome.UNCLEAR},
        model_used=reply.served_model,
        fallback_depth=step.depth,
    )


def _left_behind(place: ChainPosition) -> dict[int, str]:
    return {rung: reason for rung, reason in place.given_up.items() if rung != place.rung}


def _why(step: RungResult) -> str:
    return step.skip_reason or str(step.end and step.end.outcome)


def _message_of(step: RungResult) -> str:
    return step.message if step.end is None else message_of(step.end)


def message_of(end: Reply | Failure) -> str:
    """Word how a call ended: its outcome and the provider's words, or why its answer will not do."""
    return f"{end.outcome}: {_words_of(end) or 'no stop reason'}"


def _words_of(end: Reply | Failure) -> str:
    if isinstance(end, Failure):
        return end.message
    if end.outcome is not Outcome.REFUSED:
        return end.flaw or end.stop_reason
    category = f" (category {end.category})" if end.category else ""
    return f"{end.explanation or end.stop_reason}{category}"


def over_limit_words(decisions: Sequence[DecisionRecord], span: RungRange, error: str) -> str:
    """Return an error that names the largest limit of the chain, where this walk met the limit of each rung."""
    met = {one.rung: one.details for one in decisions if one.reason == Outcome.OVER_LIMIT}
    if set(span.available(())) - met.keys():
        return error
    needs, most = (max(float(details[name]) for details in met.values()) for name in ("needs", "per_minute"))
    return (
        f"{Outcome.OVER_LIMIT}: the request needs about {needs:,.0f} input tokens; no model of the chain takes "
        f"more than {most:,.0f} a minute{error[error.rfind('; ') :] if '; ' in error else ''}"
    )

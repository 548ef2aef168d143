"""The next step for a person whose job failed: one sentence for each outcome that ends a job."""

from collections.abc import Mapping

from models.outcome import Outcome
from worker.reply import Failure, Reply

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


def next_step(end: Reply | Failure | None) -> str:
    """Return what would help, as the end of a sentence; empty where no call was made."""
    if end is None or end.outcome not in _STEPS:
        return ""
    if isinstance(end, Reply) and end.outcome is Outcome.EMPTY and end.stop_reason == "max_tokens":
        return f"; {_MORE_ROOM}"
    return f"; {_STEPS[end.outcome]}"

"""More room for an answer that was cut at max_tokens: asked for once, on the same rung, before a better model is."""

from collections.abc import Collection, Mapping
from typing import Any

from models.life import Claim
from models.outcome import Outcome
from worker.decide import Raise, climbs_for
from worker.fit import most_output
from worker.reply import Failure, Reply

_TIMES = 4
_CUT = "max_tokens"  # the stop reason; at the end of the window there is no more room to give


def request_of(claim: Claim, model: str) -> Mapping[str, Any]:
    """Give what is sent to a model: what was asked, with max_tokens raised as far as this model writes."""
    asked, raised = claim.params.get("max_tokens"), claim.raised_max_tokens
    if raised is None or not isinstance(asked, int):
        return claim.params
    return {**claim.params, "max_tokens": max(asked, min(raised, most_output(model) or raised))}


def raised_for(claim: Claim, model: str) -> int | None:
    """Tell the max_tokens a model is sent, where they are not those that the job asked for."""
    sent = request_of(claim, model).get("max_tokens")
    return sent if sent != claim.params.get("max_tokens") else None


def raising(end: Reply | Failure, claim: Claim, model: str, climbs: Collection[Outcome]) -> Raise | None:
    """Ask again with four times max_tokens, where the answer was cut there and the model is known to write more."""
    if not isinstance(end, Reply) or end.outcome is not Outcome.TRUNCATED or not climbs_for(end, climbs):
        return None
    asked, most = claim.params.get("max_tokens"), most_output(model)
    if end.stop_reason != _CUT or not isinstance(asked, int) or most is None or most <= asked:
        return None
    is_raised = claim.raised_max_tokens is not None and claim.raised_max_tokens > asked
    return None if is_raised else Raise(max_tokens=min(asked * _TIMES, most))

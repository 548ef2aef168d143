"""More room for an answer that was cut at max_tokens: asked for once, on the same rung, before a better model is."""

from collections.abc import Collection, Mapping
from typing import Any

from models.kinds import RAISED_TIMES
from models.life import Claim
from models.outcome import Outcome
from worker.decide import climbs_for
from worker.decision import Raise
from worker.reply import Failure, Reply

_MAY_BE_CUT = (Outcome.TRUNCATED, Outcome.EMPTY)
_CUT = "max_tokens"  # the stop reason; at the end of the window there is no more room to give


def request_of(claim: Claim, most_output: int | None) -> Mapping[str, Any]:
    """Give what is asked of a model: what the job asks, with max_tokens raised as far as this model writes."""
    asked, raised = claim.params.get("max_tokens"), claim.raised_max_tokens
    if raised is None or not isinstance(asked, int):
        return claim.params
    return {**claim.params, "max_tokens": max(asked, min(raised, most_output or raised))}


def raising(end: Reply | Failure, claim: Claim, most_output: int | None, climbs: Collection[Outcome]) -> Raise | None:
    """Ask again with four times max_tokens, where the answer was cut there and the model is known to write more.

    The claim's parameters are those that were sent.
    """
    if not isinstance(end, Reply) or end.outcome not in _MAY_BE_CUT or not climbs_for(end, climbs):
        return None
    sent = claim.params.get("max_tokens")
    if end.stop_reason != _CUT or not isinstance(sent, int) or most_output is None or most_output <= sent:
        return None
    return None if claim.raised_max_tokens is not None else Raise(max_tokens=min(sent * RAISED_TIMES, most_output))

"""More room for an answer that was cut at max_tokens: once, on the same rung, before a climb."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from models.job.task_kinds import RAISED_TIMES
from models.job.values import Claim
from models.outcome import Outcome
from worker.fallback.decide import climbs_for
from worker.fallback.decision import RetryLonger
from worker.provider.reply import Failure, Reply

_MAY_BE_CUT = (Outcome.TRUNCATED, Outcome.EMPTY)
_CUT = "max_tokens"  # the stop reason; at the end of the window there is no more room
MOST_PASSES = 10  # a turn that pauses for ever must not cost for ever
Blocks = Sequence[Mapping[str, Any]]


def request_of(claim: Claim, most_output: int | None) -> Mapping[str, Any]:
    """Return the job's request, with max_tokens raised as far as this model writes."""
    asked, raised = claim.params.get("max_tokens"), claim.raised_max_tokens
    if raised is None or not isinstance(asked, int):
        return claim.params
    return {**claim.params, "max_tokens": max(asked, min(raised, most_output or raised))}


def longer_answer(
    end: Reply | Failure, claim: Claim, most_output: int | None, climbs: Collection[Outcome]
) -> RetryLonger | None:
    """Retry once with four times max_tokens, if the answer was cut there and the model writes more.

    The claim has the parameters that were sent.
    """
    if not isinstance(end, Reply) or end.outcome not in _MAY_BE_CUT or not climbs_for(end, climbs):
        return None
    sent = claim.params.get("max_tokens")
    if end.stop_reason != _CUT or not isinstance(sent, int) or most_output is None or most_output <= sent:
        return None
    most = min(sent * RAISED_TIMES, most_output)
    return RetryLonger(max_tokens=most) if claim.raised_max_tokens is None else None


def may_be_replaced(claim: Claim, climbs: Collection[Outcome]) -> bool:
    """Return whether an answer that came may give way to another: nobody may read the answer before its check."""
    return bool(claim.expects or (climbs if claim.climb_on is None else claim.climb_on))


def sent_back(params: Mapping[str, Any], content: Blocks) -> Mapping[str, Any]:
    """Append the content of the paused passes, if any, to a request."""
    kept = [block for block in content if not _is_blank(block)]
    if not kept:
        return params
    return {**params, "messages": [*params["messages"], {"role": "assistant", "content": kept}]}


def joined(end: Reply | Failure, content: Blocks, passes: int) -> Reply | Failure:
    """Put the content of the earlier passes before the content of the last pass.

    A turn that is still paused after ten passes, or paused without a word, counts as truncated.
    """
    if not isinstance(end, Reply):
        return end
    whole = end if not content else replace(end, message={**end.message, "content": [*content, *_own(end)]})
    is_over = passes + 1 >= MOST_PASSES or all(_is_blank(block) for block in _own(end))
    return replace(whole, outcome=Outcome.TRUNCATED) if end.outcome is Outcome.UNFINISHED and is_over else whole


def _own(end: Reply) -> Blocks:
    content: Blocks = end.message["content"]
    return content


def _is_blank(block: Mapping[str, Any]) -> bool:
    # The API refuses a message with a blank text, even if the API wrote that text.
    return block.get("type") == "text" and not str(block.get("text") or "").strip()

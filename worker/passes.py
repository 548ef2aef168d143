"""A turn in several passes: the API pauses a long turn with tools of its own, and goes on when the turn is sent back.

Source: the SDK's documentation of `pause_turn`: the content so far is appended as the assistant's message.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from models.outcome import Outcome
from worker.reply import Failure, Reply

MOST_PASSES = 10  # a turn that pauses for ever must not be paid for ever

Blocks = Sequence[Mapping[str, Any]]


def sent_back(params: Mapping[str, Any], content: Blocks) -> Mapping[str, Any]:
    """Append the content of the paused passes to a request; without any the request stays as it is."""
    kept = [block for block in content if not _is_blank(block)]
    if not kept:
        return params
    return {**params, "messages": [*params["messages"], {"role": "assistant", "content": kept}]}


def joined(end: Reply | Failure, content: Blocks, passes: int) -> Reply | Failure:
    """Put the content of the earlier passes before that of the last one.

    A turn that is still paused after ten passes, or paused without a word, counts as cut.
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
    # The API refuses a message with a blank text, also where the API wrote it.
    return block.get("type") == "text" and not str(block.get("text") or "").strip()

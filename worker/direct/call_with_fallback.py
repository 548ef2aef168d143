"""The article's function: a prompt through the same walk and into the same ledger, without a queue."""

from decimal import Decimal
from typing import TypedDict

from models.errors import InputError
from models.job.answer import Answer
from worker.direct.direct_job import DirectCall, answer_now, answer_soon, check_labels

_HERE = "call_with_fallback"


class Result(TypedDict):
    """The result of a call. The cost in USD is exact, over all attempts; None if the cost of an attempt is unknown.

    `job_id` is the call's own id, which a call below names as its parent.
    """

    model_used: str
    fallback_depth: int
    estimated_cost_usd: Decimal | None
    content: str
    job_id: str


def call_with_fallback(
    prompt: str,
    max_tokens: int = 1000,
    *,
    task: str | None = None,
    parent: str | None = None,
    depth: int | None = None,
) -> Result:
    """Ask the chain in order and return the first answer; every attempt is a row in the ledger.

    The chain begins at the rung that TASK_STARTS has for `task`; TASKS_FILE has the other terms. `max_tokens` counts
    output tokens. The caller waits, so no job is parked. If only a wait would help, ChainExhaustedError is raised.

    `parent` puts the call into a tree. The parent is the `job_id` of another call, or an id of the caller's own run.
    Such a run is the top of a tree without a row. Give each run another id. `depth` counts calls from the top, from 1.
    The default is the parent's depth plus one, which is also the least. Raises TooDeepError beyond MAX_DEPTH, with the
    path from the top, before any request or row. Raises TreeBudgetError if every rung could pass TREE_CAP_USD. Raises
    InputError for an empty prompt, a max_tokens below 1 or text that no ledger keeps; SettingsError, LedgerError.
    """
    return _result(answer_now(_asked(prompt, max_tokens, task=task, parent=parent, depth=depth)))


async def acall_with_fallback(
    prompt: str,
    max_tokens: int = 1000,
    *,
    task: str | None = None,
    parent: str | None = None,
    depth: int | None = None,
) -> Result:
    """Ask as `call_with_fallback` does, for a caller on an event loop. Hundreds of calls share one loop of ours.

    If the caller is cancelled, the call goes on to its end, for its cost and its answer.
    """
    return _result(await answer_soon(_asked(prompt, max_tokens, task=task, parent=parent, depth=depth)))


def _asked(prompt: str, max_tokens: int, *, task: str | None, parent: str | None, depth: int | None) -> DirectCall:
    _check(prompt, max_tokens)
    check_labels(_HERE, depth=depth, task=task, parent=parent)
    params = {"max_tokens": max_tokens, "messages": [{"role": "user", "content": prompt}]}
    return DirectCall(params=params, task=task, parent=parent, depth=depth)


def _result(answer: Answer) -> Result:
    return Result(
        model_used=answer.model or "",
        fallback_depth=answer.fallback_depth or 0,
        estimated_cost_usd=answer.cost_usd,
        content=answer.text or "",
        job_id=answer.job_id,
    )


def _check(prompt: str, max_tokens: int) -> None:
    if not isinstance(prompt, str) or type(max_tokens) is not int:
        raise InputError("takes a text and a whole number", source=_HERE, field="prompt, max_tokens")
    if not prompt.strip():
        raise InputError("the prompt is empty", source=_HERE, field="prompt")
    if any("\ud800" <= char <= "\udfff" for char in prompt):
        raise InputError("a lone surrogate cannot be sent", source=_HERE, field="prompt")
    if max_tokens < 1:
        raise InputError(f"{max_tokens} is too few: ask for at least 1", source=_HERE, field="max_tokens")

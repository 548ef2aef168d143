"""The start of a prompt, its floor and its ceiling."""

from collections.abc import Callable

from models.chain.chain import Chain, RungRange, called_in
from models.errors import InputError
from models.job.task_kinds import JobTerms, within
from producer.prompt.prompt import Prompt

_NONE = JobTerms()


def span_of(
    prompt: Prompt,
    chain: Chain,
    task: str | None,
    *,
    source: str,
    line: int | None = None,
    terms: JobTerms | None = None,
) -> RungRange:
    """Return the rungs: the prompt's own start, else its task's, else the model in its params, else the primary.

    Floor and ceiling are the prompt's own, else those of its `terms`. A start by default moves between those of
    `terms`, a learned start also between the prompt's own. Raises InputError for a model outside the chain, or a start
    that is not between floor and ceiling.
    """
    task = prompt.task or task
    start = None if prompt.start is None and prompt.params is None else _start(prompt, chain, task, source, line)
    span = within(chain.span(task=task, start=start), terms or _NONE, chain, is_start_asked=start is not None)
    floor = span.floor if prompt.floor is None else _rung(prompt.floor, "floor", chain, source, line)
    ceiling = span.ceiling if prompt.ceiling is None else _rung(prompt.ceiling, "ceiling", chain, source, line)
    if task in chain.autos and not is_asked(prompt, chain, task) and ceiling <= floor:
        return RungRange(start=min(max(span.start, ceiling), floor), floor=floor, ceiling=ceiling)
    if not ceiling <= span.start <= floor:
        named = chain.models[span.start]
        fix = f"it must lie between the ceiling {chain.models[ceiling]} and the floor {chain.models[floor]}"
        raise InputError(f"{named} is the start; {fix} in MODEL_CHAIN", source=source, line=line, field="start")
    return RungRange(start=span.start, floor=floor, ceiling=ceiling)


def misplaced(
    prompt: Prompt, source: str, line: int, *, chain: Chain, task: str | None, terms: Callable[[str | None], JobTerms]
) -> InputError | None:
    """Return the mistake in a line's own models. Returns None if the line names no model or all have their place.

    `terms` are those of a task kind.
    """
    named = (prompt.start, prompt.floor, prompt.ceiling, prompt.params and prompt.params.get("model"))
    try:
        if any(named):
            span_of(prompt, chain, task, source=source, line=line, terms=terms(prompt.task or task))
    except InputError as mistake:
        return mistake
    return None


def is_asked(prompt: Prompt, chain: Chain, task: str | None) -> bool:
    """Return whether a prompt of this task kind names its own start."""
    names_model = prompt.params is not None and "model" in prompt.params
    return prompt.start is not None or (names_model and task not in chain.starts)


def _start(prompt: Prompt, chain: Chain, task: str | None, source: str, line: int | None) -> int | None:
    if prompt.start is not None:
        return _rung(prompt.start, "start", chain, source, line)
    if prompt.params is None or not is_asked(prompt, chain, task):
        return None
    model = prompt.params["model"]
    return _rung(called_in(chain.models, str(model)) or model, "params.model", chain, source, line)


def _rung(model: object, field: str, chain: Chain, source: str, line: int | None) -> int:
    if model not in chain.models:
        problem = f"{model!r} is not in MODEL_CHAIN ({', '.join(chain.models)})"
        raise InputError(problem, source=source, line=line, field=field)
    return chain.models.index(str(model))

"""Where a prompt starts in the chain, and how far it may go."""

from models.chain import Chain, Span
from models.errors import InputError
from producer.prompt import Prompt


def span_of(prompt: Prompt, chain: Chain, task: str | None, *, source: str) -> Span:
    """Choose the rungs: the prompt's own start, else its task's, else the model in its params, else the primary.

    Raises InputError for a model that is not in the chain, or a floor and ceiling the start is not between.
    """
    if (prompt.start, prompt.floor, prompt.ceiling, prompt.params) == (None, None, None, None):
        return chain.span(task=prompt.task or task)
    span = chain.span(task=prompt.task or task, start=_start(prompt, chain, prompt.task or task, source))
    floor = span.floor if prompt.floor is None else _rung(prompt.floor, "floor", chain, source)
    ceiling = span.ceiling if prompt.ceiling is None else _rung(prompt.ceiling, "ceiling", chain, source)
    if not ceiling <= span.start <= floor:
        start = chain.models[span.start]
        fix = f"it must lie between the ceiling {chain.models[ceiling]} and the floor {chain.models[floor]}"
        raise InputError(f"{start} is the start; {fix} in MODEL_CHAIN", source=source, field="start")
    return Span(start=span.start, floor=floor, ceiling=ceiling)


def _start(prompt: Prompt, chain: Chain, task: str | None, source: str) -> int | None:
    if prompt.start is not None:
        return _rung(prompt.start, "start", chain, source)
    if task in chain.starts or prompt.params is None or "model" not in prompt.params:
        return None
    return _rung(prompt.params["model"], "params.model", chain, source)


def _rung(model: object, field: str, chain: Chain, source: str) -> int:
    if model not in chain.models:
        problem = f"{model!r} is not in MODEL_CHAIN ({', '.join(chain.models)})"
        raise InputError(problem, source=source, field=field)
    return chain.models.index(str(model))

"""Makes documents a batch of prompts and steps: the template of each kind, and the room of its start models."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

from models.chain.capabilities import capabilities_of
from models.errors import InputError
from models.job.map_reduce import NewStep, OnFailedPart
from models.job.task_kinds import RAISED_TIMES, JobTerms, terms_for
from models.money.price_book import context_window
from models.outcome import Outcome
from models.settings import Settings
from producer.map_reduce.plan import Document, Outline, Planned, PromptKind, plan
from producer.prompt.arguments import BatchArguments, SubmitArguments
from producer.prompt.prompt import DEFAULT_MAX_TOKENS, Prompt
from producer.prompt.start_rung import span_of
from producer.prompt.template import Template, TemplateError, parse_template

MAP = "Summarize this text. Keep names, figures and dates.\n\n{text}"
REDUCE = "Write one summary of what these summaries tell together. Keep names, figures and dates.\n\n{text}"
MAP_TASK, SYNTHESIS_TASK = "summarize", "synthesize"
SYNTHESIS_MAX_TOKENS = 4096
_SOURCE = "summarize"
_USUAL_WINDOW = 200_000  # of an unknown model
_FILLED = 0.9  # tokens are guessed
_WORDS_ABOUT_MISSING = 4_000  # tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class SummarizeOptions:
    """A caller's options for a map and a synthesis; Producer.summarize explains each."""

    synthesize: bool = True
    map: str = MAP
    reduce: str = REDUCE
    task: str = MAP_TASK
    synthesis_task: str = SYNTHESIS_TASK
    max_tokens: int = DEFAULT_MAX_TOKENS
    synthesis_max_tokens: int = SYNTHESIS_MAX_TOKENS
    part_tokens: int | None = None
    step_tokens: int | None = None
    on_failed_part: OnFailedPart = OnFailedPart.NAME


_OWN = frozenset(field.name for field in fields(SummarizeOptions))


class SummarizeArguments(BatchArguments, total=False):
    """The same, as keywords, beside the options of any batch."""

    synthesize: bool
    map: str
    reduce: str
    task: str
    synthesis_task: str
    max_tokens: int
    synthesis_max_tokens: int
    part_tokens: int | None
    step_tokens: int | None
    on_failed_part: OnFailedPart | str


def planned(
    documents: Sequence[Document | str | tuple[str, str]], how: SummarizeOptions, settings: Settings, own: JobTerms
) -> list[Planned]:
    """Plan prompts about documents, each a Document, its text, or its id and its text. Raises InputError."""
    for name in ("max_tokens", "synthesis_max_tokens", "part_tokens", "step_tokens"):
        value = getattr(how, name)
        if value is not None and (type(value) is not int or value < 1):
            raise InputError(f"{value!r} should be a whole number, 1 or more", source=_SOURCE, field=name)
    if isinstance(documents, str):
        raise InputError("is one text; give a list of them", source=_SOURCE, field="documents")
    return plan([_document(one) for one in documents], _outline(how, settings, own))


def placed(planned: Sequence[Planned], job_ids: Sequence[str], on_failed_part: OnFailedPart) -> list[NewStep]:
    """Return the place of each job."""
    return [
        NewStep(
            job_id=job_id,
            document=one.document,
            level=one.level,
            label=one.label,
            span=one.span,
            parts=tuple(job_ids[place] for place in one.parts),
            pieces=one.pieces,
            on_failed_part=on_failed_part,
        )
        for one, job_id in zip(planned, job_ids, strict=True)
    ]


def split_options(given: SummarizeArguments) -> tuple[SummarizeOptions, SubmitArguments]:
    """Return the options of the map and the synthesis, and those of the batch. Raises InputError."""
    own: dict[str, Any] = {name: value for name, value in given.items() if name in _OWN}
    word = own.get("on_failed_part", OnFailedPart.NAME)
    try:
        how = SummarizeOptions(**own | {"on_failed_part": OnFailedPart(word)})
    except ValueError:
        problem = f"{word!r} should be {' or '.join(OnFailedPart)}"
        raise InputError(problem, source=_SOURCE, field="on_failed_part") from None
    shared = {name: value for name, value in given.items() if name not in _OWN}
    return how, cast("SubmitArguments", {**shared, "task": how.task})


def _document(given: object) -> Document:
    match given:
        case Document():
            return given
        case str():
            return Document(given)
        case (str() as name, str() as text):
            return Document(text, id=name)
    problem = f"{type(given).__name__} should be a Document, a text, or an id and a text"
    raise InputError(problem, source=_SOURCE, field="documents")


def _outline(how: SummarizeOptions, settings: Settings, own: JobTerms) -> Outline:
    part, between = _template(how.map, "map"), _template(how.reduce, "reduce")

    def asked(template: Template, task: str, max_tokens: int, most: int | None, *, is_cheap: bool) -> PromptKind:
        start, answer, room = _reach(task, max_tokens, settings, own, is_cheap=is_cheap)
        words: dict[str, Any] = {"template": template, "task": task, "max_tokens": max_tokens, "start": start}
        return PromptKind(answer=answer, room=room, most=most, **words)

    last = asked(between, how.synthesis_task, how.synthesis_max_tokens, how.step_tokens, is_cheap=False)
    return Outline(
        part=asked(part, how.task, how.max_tokens, how.part_tokens, is_cheap=True),
        between=asked(between, how.task, how.max_tokens, how.step_tokens, is_cheap=True),
        synthesis=last if how.synthesize else None,
    )


def _template(text: str, field: str) -> Template:
    try:
        return parse_template(text)
    except TemplateError as error:
        raise InputError(str(error), source=_SOURCE, field=field) from None


def _reach(
    task: str, max_tokens: int, settings: Settings, own: JobTerms, *, is_cheap: bool
) -> tuple[str | None, int, int]:
    """Return a task's start, the tokens of the longest answer, and those of the text beside the answer.

    A start of None is the task's own. A cheap task that TASK_STARTS does not know starts at the cheapest model.
    """
    chain = settings.chain
    terms = terms_for(task, own, settings.kinds, settings.climbs)
    span = span_of(Prompt(task, task=task), chain, task, source=_SOURCE, terms=terms)
    start = chain.models[span.floor] if is_cheap and task not in {*chain.starts, *chain.autos} else None
    starts = chain.models[span.ceiling : span.floor + 1] if task in chain.autos else [start or chain.models[span.start]]
    window = min(capabilities_of(model).window or context_window(model) or _USUAL_WINDOW for model in starts)
    climbs = settings.climbs if terms.climb_on is None else terms.climb_on
    raised = max_tokens * RAISED_TIMES if Outcome.TRUNCATED in climbs else max_tokens
    answer = max(max_tokens, min(raised, *(capabilities_of(model).most_output or raised for model in starts)))
    return start, answer, int(window * _FILLED) - answer - _WORDS_ABOUT_MISSING

"""Makes a batch of prompts: checked, priced, each with its rungs."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from reprlib import repr as shown
from typing import Any

from models.chain.chain import Chain
from models.errors import InputError, UnpricedModelError
from models.ids import new_id
from models.job.map_reduce import OnFailedPart
from models.job.task_kinds import JobTerms, as_entry, parse_terms, terms_for
from models.job.values import NewBatch, NewJob, Unsent
from models.money.cap_settings import usd
from models.money.price_book import PriceBook
from models.money.pricing import Price
from models.outcome import OnUnknown
from models.reports.learned_starts import ASKED, LearnedStarts
from models.schema.job import job_row
from models.settings import Settings
from producer.files.prompts import Judge, PromptFile
from producer.prompt.check_prompt import check, check_labels
from producer.prompt.prompt import Prompt
from producer.prompt.row_buffer import Laid
from producer.prompt.start_rung import is_asked, misplaced, span_of
from producer.submit.idempotency import Content
from producer.submit.shared_prefixes import Prefixes

MOST_WEIGHT = 100
_MOST_URGENT = 10_000  # sent at once; the dispatcher sends the others


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """A caller's options for a whole batch; Producer.submit explains each."""

    task: str | None
    name: str | None
    key: str | None
    tags: Mapping[str, str]
    on_unknown: OnUnknown | None
    max_cost_usd: Decimal | None
    is_urgent: bool = False
    weight: int = 1
    own: JobTerms = JobTerms()  # noqa: RUF009 - frozen
    on_failed_part: OnFailedPart | None = None


def terms_of(  # noqa: PLR0913 - each is a word of the caller's
    *,
    task: str | None,
    name: str | None,
    key: str | None,
    tags: Mapping[str, str] | None,
    on_unknown: OnUnknown | None,
    max_cost_usd: Decimal | str | float | None,
    urgent: bool,
    weight: int,
    terms: JobTerms | None,
    on_failed_part: OnFailedPart | None = None,
) -> SubmitOptions:
    """Collect the caller's options. Raises InputError."""
    return SubmitOptions(
        task=task,
        name=name,
        key=key,
        tags=tags or {},
        on_unknown=on_unknown,
        max_cost_usd=max_cost(max_cost_usd),
        is_urgent=urgent,
        weight=weight,
        own=terms or JobTerms(),
        on_failed_part=on_failed_part,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LaidOut:
    """A batch before its write: the jobs as rows, and the jobs that may have a message at once."""

    batch: NewBatch
    count: int
    characters: int
    first: Sequence[Unsent]
    rows: Callable[[], Iterator[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Checked:
    """Prompts that are checked while read: one after the other, without keeping any."""

    prompts: Iterable[Prompt]

    def __iter__(self) -> Iterator[Prompt]:
        return iter(self.prompts)


@contextmanager
def laid_out(
    prompts: Iterable[Prompt] | PromptFile, settings: Settings, terms: SubmitOptions, starts: LearnedStarts
) -> Iterator[LaidOut]:
    """Prepare a batch for a block, on disk if large: no row is written before the last prompt is checked.

    Raises InputError or InputMistakes for prompts that cannot be sent or kept.
    """
    if mistake := check_labels(name=terms.name, key=terms.key, task=terms.task, tags=terms.tags):
        raise mistake
    if type(terms.weight) is not int or not 1 <= terms.weight <= MOST_WEIGHT:
        problem = f"{terms.weight!r} should be a whole number from 1 to {MOST_WEIGHT}"
        raise InputError(problem, source="submit", field="weight")
    terms = with_own(terms, settings.chain)
    with Laid() as buffered:
        yield _lay(_jobs(prompts, settings, terms), settings, terms, starts, buffered)


def with_own(terms: SubmitOptions, chain: Chain) -> SubmitOptions:
    """Check the caller's terms of all jobs. Raises InputError."""
    own, problems = parse_terms(as_entry(terms.own), chain.models)
    if problems:
        field, problem = problems[0]
        raise InputError(problem, source="submit", field=field)
    return replace(terms, own=own)


def max_cost(given: Decimal | str | float | None, *, source: str = "submit") -> Decimal | None:
    """Read the cap of a batch, in USD. Raises InputError."""
    if given is None:
        return None
    try:
        return usd(str(given))
    except ValueError as error:
        raise InputError(str(error), source=source, field="max_cost") from None


def require_prices(settings: Settings, dated: Mapping[str, Sequence[Price]]) -> None:
    """Raise UnpricedModelError if a model of the chain has no price today. `dated` are prices that a person set."""
    if unpriced := PriceBook(settings.price_overrides, dated).unpriced(settings.chain.models):
        raise UnpricedModelError(unpriced)


def _lay(
    jobs: Iterable[NewJob], settings: Settings, terms: SubmitOptions, starts: LearnedStarts, buffered: Laid
) -> LaidOut:
    batch_id = new_id()
    content = None if terms.key is None else Content(settings.climbs, terms.max_cost_usd, terms.on_failed_part)
    starting = starts.starting(settings)
    first = _First(settings.queue_window)
    prefixes = Prefixes(settings.chain.models if settings.prompt_cache == "on" else ())
    columns: tuple[str, ...] = ()
    for asked in jobs:
        if content is not None:  # the digest leaves learned starts out
            content.add(asked)
        job = starting(asked) if asked.refused is None else asked
        if job.refused is None:
            first.add(job)
        row = job_row(batch_id, job) | {"prefix": prefixes.named(job.params)}
        columns = columns or tuple(row)
        buffered.add((*row.values(),), characters=len(row["params"]) + len(row["columns"]))
    batch = NewBatch(
        id=batch_id,
        name=terms.name,
        key=None if terms.key is None else str(terms.key),
        content_sha256=None if content is None else content.hexdigest(),
        task=terms.task,
        tags=terms.tags,
        deadline_s=terms.own.deadline_s or settings.job_deadline_s,
        max_cost_usd=terms.max_cost_usd,
        weight=terms.weight,
    )
    return LaidOut(
        batch=batch,
        count=buffered.count,
        characters=buffered.characters,
        first=first.jobs,
        rows=lambda: _rows(buffered, columns, prefixes),
    )


def _rows(buffered: Laid, columns: Sequence[str], prefixes: Prefixes) -> Iterator[dict[str, Any]]:
    shared = prefixes.shared()
    for values in buffered:
        row = dict(zip(columns, values, strict=True))
        if row["prefix"] is not None:
            row["prefix"] = shared(row["prefix"])
        yield row


@dataclass(slots=True)
class _First:
    """The first jobs of each rung, and the first that are urgent: no queue has room for more."""

    window: int
    jobs: list[Unsent] = field(default_factory=list)
    counts: Counter[int | None] = field(default_factory=Counter)

    def add(self, job: NewJob) -> None:
        lane = None if job.is_urgent else job.span.start
        self.counts[lane] += 1
        if self.counts[lane] <= (_MOST_URGENT if job.is_urgent else self.window):
            self.jobs.append(Unsent(id=job.id, rung=job.span.start, is_urgent=job.is_urgent))


def _jobs(prompts: Iterable[Prompt] | PromptFile, settings: Settings, terms: SubmitOptions) -> Iterator[NewJob]:
    asked = cache(lambda task: terms_for(task, terms.own, settings.kinds, settings.climbs))

    def judge(prompt: Prompt, source: str, line: int) -> InputError | None:
        own = asked(prompt.task or terms.task)
        return misplaced(prompt, settings.chain, terms.task, source=source, line=line, terms=own)

    seq = 0
    for prompt in _checked(prompts, judge):
        seq += 1
        yield _job(prompt, seq, settings.chain, terms, asked(prompt.task or terms.task))
    if not seq:
        raise InputError("no prompts: give at least one", source="submit")


def _checked(prompts: Iterable[Prompt] | PromptFile, judge: Judge) -> Iterator[Prompt]:
    if isinstance(prompts, PromptFile):
        return replace(prompts, judge=judge).prompts()
    if isinstance(prompts, Checked):
        return _each_once(prompts)
    return _each_once(_each_checked(prompts))


def _each_checked(prompts: Iterable[Prompt]) -> Iterator[Prompt]:
    for seq, prompt in enumerate(prompts, start=1):
        if not isinstance(prompt, Prompt):
            raise InputError(
                f"{shown(prompt)} should be a Prompt, as in Prompt('Summarize: ...')", source=f"prompt {seq}"
            )
        if mistake := check(prompt, source=f"prompt {seq}", line=None):
            raise mistake
        yield prompt


def _each_once(prompts: Iterable[Prompt]) -> Iterator[Prompt]:
    known: dict[str, int] = {}
    for seq, prompt in enumerate(prompts, start=1):
        prompt_id = _id(prompt, seq)
        if (first := known.setdefault(prompt_id, seq)) != seq:
            problem = f"{prompt_id!r} was prompt {first}'s; ids are unique in a batch"
            raise InputError(problem, source=f"prompt {seq}", field="id")
        yield prompt


def _id(prompt: Prompt, seq: int) -> str:
    return prompt.id if prompt.id is not None else str(seq)


def _job(prompt: Prompt, seq: int, chain: Chain, terms: SubmitOptions, asked: JobTerms) -> NewJob:
    span = span_of(prompt, chain, terms.task, source=f"prompt {seq}", terms=asked)
    return NewJob(
        refused=prompt.refused,
        id=new_id(),
        seq=seq,
        prompt_id=_id(prompt, seq),
        task=prompt.task or terms.task,
        params=prompt.request() if prompt.refused is None else {},
        span=span,
        start_model=chain.models[span.start],
        columns=prompt.columns,
        on_unknown=terms.on_unknown,
        is_urgent=terms.is_urgent,
        start_reason=ASKED if is_asked(prompt, chain, prompt.task or terms.task) else None,
        patience_s=asked.patience_s,
        climb_on=asked.climb_on,
        expects=asked.expects,
        deadline_s=asked.deadline_s,
        headers=prompt.headers or None,
    )

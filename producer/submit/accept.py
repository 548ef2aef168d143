"""Makes a batch of prompts: checked, priced, each with its rungs."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from reprlib import repr as shown
from typing import Any, NamedTuple

from models.errors import InputError, UnpricedModelError
from models.ids import new_ids
from models.job.task_kinds import JobTerms, terms_for
from models.job.values import NewBatch, NewJob, Unsent
from models.money.pricing import Price
from models.reports.learned_starts import ASKED, LearnedStarts, is_auto
from models.schema.columns import escaped_json
from models.schema.job import JobRow, shared_columns
from models.settings import Settings
from producer.files.prompts import Judge, PromptFile
from producer.prompt.check_prompt import check
from producer.prompt.prompt import Prompt
from producer.prompt.row_buffer import Laid
from producer.prompt.start_rung import is_asked, misplaced, span_of
from producer.submit.checked_options import SubmitOptions
from producer.submit.content_digest import Content
from producer.submit.shared_prefixes import Prefixes

_MOST_KNOWN = 1000
_MOST_URGENT = 10_000  # sent at once; the dispatcher sends the others


@dataclass(frozen=True, slots=True, kw_only=True)
class LaidOut:
    """A batch before its write: the jobs as rows, and the jobs that may have a message at once."""

    batch: NewBatch
    buffered: Laid
    first: Sequence[Unsent]
    prefixes: Prefixes
    half_price: Mapping[tuple[int, float], int]  # jobs of the lane by rung, and by the seconds until they go live

    def rows(self) -> Iterator[JobRow]:
        """Read the rows in order. A prefix that no other job shares is left out."""
        shared = self.prefixes.shared()
        for row in map(JobRow._make, self.buffered):
            yield row if row.prefix is None else row._replace(prefix=shared(row.prefix))


class Prepared(NamedTuple):
    """A batch of one job before its write: the job as a row, and as a message."""

    batch: NewBatch
    row: JobRow
    job: Unsent


@dataclass(frozen=True, slots=True)
class Checked:
    """Prompts that are checked while read: one after the other, without keeping any."""

    prompts: Iterable[Prompt]

    def __iter__(self) -> Iterator[Prompt]:
        return iter(self.prompts)


@contextmanager
def laid_out(
    prompts: Iterable[Prompt] | PromptFile, settings: Settings, options: SubmitOptions, starts: LearnedStarts
) -> Iterator[LaidOut]:
    """Prepare a batch for a block, on disk if large: no row is written before the last prompt is checked.

    Raises InputError or InputMistakes for prompts that cannot be sent or kept.
    """
    with Laid() as buffered:
        yield _lay(prompts, settings, options, starts, buffered)


def require_prices(settings: Settings, dated: Mapping[str, Sequence[Price]]) -> None:
    """Raise UnpricedModelError if a model of the chain has no price today. `dated` are prices that a person set."""
    if unpriced := settings.price_book(dated).unpriced(settings.chain.models):
        raise UnpricedModelError(unpriced)


def _lay(
    prompts: Iterable[Prompt] | PromptFile,
    settings: Settings,
    options: SubmitOptions,
    starts: LearnedStarts,
    buffered: Laid,
) -> LaidOut:
    ids = new_ids()
    batch_id = next(ids)
    content = None if options.key is None else Content(settings.climbs, options.max_cost_usd, options.on_failed_part)
    terms = cache(lambda task: terms_for(task, options.terms, settings.kinds, settings.climbs))
    judge = partial(misplaced, chain=settings.chain, task=options.task, terms=terms)
    alike = _Alike(
        batch_id=batch_id,
        settings=settings,
        options=options,
        terms=terms,
        starting=starts.starting(settings),
        content=content,
    )
    first, half_price = _First(settings.queue_window), Counter[tuple[int, float]]()
    prefixes = Prefixes(settings.chain.models if settings.prompt_cache == "on" else ())
    for seq, prompt in enumerate(_checked(prompts, judge), start=1):
        job_id, prompt_id = next(ids), _id(prompt, seq)
        params = prompt.request() if prompt.refused is None else {}
        shared = alike.shared(prompt, id=job_id, seq=seq, prompt_id=prompt_id, params=params)
        if prompt.refused is None and "due_s" not in shared:
            first.add(job_id, shared["rung"], is_urgent=options.urgent)
        elif prompt.refused is None:
            half_price[shared["rung"], shared["due_s"]] += 1
        sent, kept = escaped_json(params), escaped_json(prompt.columns)
        row = (job_id, seq, prompt_id, sent, kept, prefixes.named(params), shared)
        buffered.add(row, characters=len(sent) + len(kept))
    if not buffered.count:
        raise InputError("no prompts: give at least one", source="submit")
    batch = _batch(batch_id, settings, options, None if content is None else content.hexdigest())
    return LaidOut(batch=batch, buffered=buffered, first=first.jobs, prefixes=prefixes, half_price=half_price)


def _batch(batch_id: str, settings: Settings, options: SubmitOptions, content_sha256: str | None) -> NewBatch:
    return NewBatch(
        id=batch_id,
        name=options.name,
        key=None if options.key is None else str(options.key),
        content_sha256=content_sha256,
        task=options.task,
        tags=options.tags,
        deadline_s=options.terms.deadline_s or settings.job_deadline_s,
        max_cost_usd=options.max_cost_usd,
        weight=options.weight,
    )


@dataclass(slots=True)
class _First:
    """The first jobs of each rung, and the first that are urgent: no queue has room for more."""

    window: int
    jobs: list[Unsent] = field(default_factory=list)
    counts: Counter[int | None] = field(default_factory=Counter)

    def add(self, job_id: str, rung: int, *, is_urgent: bool) -> None:
        lane = None if is_urgent else rung
        self.counts[lane] += 1
        if self.counts[lane] <= (_MOST_URGENT if is_urgent else self.window):
            self.jobs.append(Unsent(id=job_id, rung=rung, is_urgent=is_urgent))


def _checked(prompts: Iterable[Prompt] | PromptFile, judge: Judge) -> Iterator[Prompt]:
    if isinstance(prompts, PromptFile):
        return replace(prompts, judge=judge).prompts()
    return _each_once(prompts if isinstance(prompts, Checked) else _each_checked(prompts))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Alike:
    """Lays out the columns that jobs share, once for all prompts of one task that ask for the same models."""

    batch_id: str
    settings: Settings
    options: SubmitOptions
    terms: Callable[[str | None], JobTerms]
    starting: Callable[[NewJob], NewJob]
    content: Content | None  # the digest leaves learned starts out
    known: dict[Hashable, tuple[NewJob, Mapping[str, Any]]] = field(default_factory=dict)

    def shared(self, prompt: Prompt, **own: Any) -> Mapping[str, Any]:
        """Return the shared columns of a prompt's job. The digest of the batch takes in the job."""
        params, headers = prompt.params or {}, prompt.headers or {}
        named = (prompt.task, prompt.start, prompt.floor, prompt.ceiling, params.get("model"))
        asked = (*named, prompt.refused, *headers.items())
        job, shared = self.known.get(asked) or self._keep(asked, self._job(prompt, own["seq"]))
        is_moved = prompt.refused is None and is_auto(job, self.settings)
        if self.content is None and not is_moved:
            return shared
        whole = replace(job, columns=prompt.columns, **own)
        if self.content is not None:
            self.content.add(whole)
        if not is_moved:
            return shared
        started = self.starting(whole)
        moved = (asked, started.span.start, started.start_reason)
        return (self.known.get(moved) or self._keep(moved, started))[1]

    def _keep(self, asked: Hashable, job: NewJob) -> tuple[NewJob, Mapping[str, Any]]:
        if len(self.known) >= _MOST_KNOWN:
            self.known.clear()
        self.known[asked] = job, shared_columns(self.batch_id, job)
        return self.known[asked]

    def _job(self, prompt: Prompt, seq: int) -> NewJob:
        """Make the job of a prompt, without columns of its own."""
        chain, task = self.settings.chain, prompt.task or self.options.task
        asked = self.terms(task)
        is_half_price = asked.half_price and not self.options.urgent
        span = span_of(prompt, chain, self.options.task, source=f"prompt {seq}", terms=asked)
        return NewJob(
            refused=prompt.refused,
            id="",
            seq=seq,
            prompt_id="",
            task=task,
            params={},
            span=span,
            start_model=chain.models[span.start],
            on_unknown=self.options.on_unknown,
            is_urgent=self.options.urgent,
            start_reason=ASKED if is_asked(prompt, chain, task) else None,
            patience_s=asked.patience_s,
            climb_on=asked.climb_on,
            expects=asked.expects,
            deadline_s=asked.deadline_s,
            headers=prompt.headers or None,
            live_from_s=self.settings.live_from_s(asked.deadline_s) if is_half_price else None,
        )

"""Makes a batch of prompts: checked, priced, each with its rungs; and rings for its jobs once they are kept."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache

from models.broker import Broker
from models.caps import usd
from models.chain import Chain, Span
from models.embedded import required_broker_url
from models.errors import BrokerError, InputError, InputMistakes, LedgerError, UnpricedModelError
from models.ids import new_id
from models.kinds import JobTerms, as_entry, parse_terms, terms_for, usual_climbs
from models.life import NewBatch, NewJob, Unsent
from models.outbox import Outbox
from models.outcome import OnUnknown, Outcome
from models.plan import OnFailedPart
from models.pricebook import PriceBook
from models.pricing import Price
from models.settings import Settings
from models.starts import ASKED
from producer.alike import sharing_prefixes
from producer.check import check, check_labels
from producer.load import Loaded
from producer.prompt import Prompt
from producer.span import is_asked, span_of

MOST_WEIGHT = 100
_RING_S = 0.3  # who submits does not wait for a Redis that is frozen: a worker's clock sends


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the caller says of a batch as a whole; Producer.submit tells what each means."""

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
) -> Terms:
    """Put together what the caller says. Raises InputError."""
    return Terms(
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


def prepared(prompts: Sequence[Prompt] | Loaded, settings: Settings, terms: Terms) -> tuple[NewBatch, list[NewJob]]:
    """Lay out a batch and its jobs, not written yet.

    Raises InputError or InputMistakes for what cannot be sent or kept.
    """
    if mistake := check_labels(name=terms.name, key=terms.key, task=terms.task, tags=terms.tags):
        raise mistake
    if type(terms.weight) is not int or not 1 <= terms.weight <= MOST_WEIGHT:
        problem = f"{terms.weight!r} should be a whole number from 1 to {MOST_WEIGHT}"
        raise InputError(problem, source="submit", field="weight")
    terms = with_own(terms, settings.chain)
    jobs = _jobs(_checked(prompts), settings, terms)
    if settings.prompt_cache == "on":
        jobs = sharing_prefixes(jobs, settings.chain.models)
    batch = NewBatch(
        id=new_id(),
        name=terms.name,
        key=terms.key,
        content_sha256=None if terms.key is None else _digest(jobs, terms, settings.climbs),
        task=terms.task,
        tags=terms.tags,
        deadline_s=terms.own.deadline_s or settings.job_deadline_s,
        max_cost_usd=terms.max_cost_usd,
        weight=terms.weight,
    )
    return batch, jobs


def with_own(terms: Terms, chain: Chain) -> Terms:
    """Check what the caller asks of all jobs. Raises InputError."""
    own, problems = parse_terms(as_entry(terms.own), chain.models)
    if problems:
        field, problem = problems[0]
        raise InputError(problem, source="submit", field=field)
    return replace(terms, own=own)


def max_cost(given: Decimal | str | float | None, *, source: str = "submit") -> Decimal | None:
    """Read what a batch may cost, in USD. Raises InputError."""
    if given is None:
        return None
    try:
        return usd(str(given))
    except ValueError as error:
        raise InputError(str(error), source=source, field="max_cost") from None


def require_prices(settings: Settings, dated: Mapping[str, Sequence[Price]]) -> None:
    """Raise UnpricedModelError where a model of the chain has no price today; `dated` are those a person set."""
    if unpriced := PriceBook(settings.price_overrides, dated).unpriced(settings.chain.models):
        raise UnpricedModelError(unpriced)


def ring(jobs: Sequence[NewJob], settings: Settings, outbox: Outbox) -> str | None:
    """Send a message for urgent jobs, and for the first of each rung, as many as its queue has room for.

    The clock sends the rest.
    Returns why none could be sent; the jobs are kept all the same.
    """
    try:
        broker = Broker(required_broker_url(settings), rungs=len(settings.chain.models), timeout_s=_RING_S)
    except BrokerError as error:
        return str(error)
    try:
        _send([job for job in jobs if job.is_urgent], broker, outbox)
        for rung in sorted({job.span.start for job in jobs if not job.is_urgent}):
            room = max(0, min(settings.queue_window, broker.pace(rung).window) - broker.depth(rung))
            bulk = [job for job in jobs if job.span.start == rung and not job.is_urgent]
            _send(bulk[:room], broker, outbox)
    except (BrokerError, LedgerError) as error:  # accepted all the same, and whoever hears otherwise submits again
        return str(error)
    finally:
        broker.close()
    return None


def _send(jobs: Sequence[NewJob], broker: Broker, outbox: Outbox) -> None:
    messages = [Unsent(id=job.id, rung=job.span.start, is_urgent=job.is_urgent) for job in jobs]
    broker.send(messages)
    outbox.mark_sent(messages)


def _checked(prompts: Sequence[Prompt] | Loaded) -> Sequence[Prompt]:
    if isinstance(prompts, Loaded):
        if prompts.mistakes:
            raise InputMistakes(prompts.mistakes)
        return prompts.prompts  # each line was checked where it was read
    for seq, prompt in enumerate(prompts, start=1):
        if mistake := check(prompt, source=f"prompt {seq}", line=None):
            raise mistake
    return prompts


def _jobs(prompts: Sequence[Prompt], settings: Settings, terms: Terms) -> list[NewJob]:
    if not prompts:
        raise InputError("no prompts: give at least one", source="submit")
    jobs: list[NewJob] = []
    known: dict[str, int] = {}
    asked = cache(lambda task: terms_for(task, terms.own, settings.kinds, settings.climbs))
    for seq, prompt in enumerate(prompts, start=1):
        job = _job(prompt, seq, settings.chain, terms, asked(prompt.task or terms.task))
        if (first := known.setdefault(job.prompt_id, seq)) != seq:
            problem = f"{job.prompt_id!r} was prompt {first}'s; ids are unique in a batch"
            raise InputError(problem, source=f"prompt {seq}", field="id")
        jobs.append(job)
    return jobs


def _job(prompt: Prompt, seq: int, chain: Chain, terms: Terms, asked: JobTerms) -> NewJob:
    span = span_of(prompt, chain, terms.task, source=f"prompt {seq}", terms=asked)
    return NewJob(
        id=new_id(),
        seq=seq,
        prompt_id=prompt.id if prompt.id is not None else str(seq),
        task=prompt.task or terms.task,
        params=prompt.request(),
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
    )


def _digest(jobs: Sequence[NewJob], terms: Terms, climbs: frozenset[Outcome]) -> str:
    content = hashlib.sha256()
    if terms.max_cost_usd is not None:  # where it was left out, batches of before have no word for it
        content.update(f"{terms.max_cost_usd.normalize():f}".encode())
    if terms.on_failed_part is not None:
        content.update(terms.on_failed_part.encode())
    for job in jobs:
        asked = [job.prompt_id, job.task, job.params, _rungs(job.span), job.columns]
        if job.on_unknown is not None:  # where it was left out, batches of before have no word for it
            asked.append(job.on_unknown)
        if job.expects is not None:
            asked.append({"expects": job.expects})
        if job.climb_on is not None and job.climb_on != usual_climbs(job.task, job.expects, climbs):
            asked.append({"climb_on": sorted(job.climb_on)})
        content.update(json.dumps(asked, sort_keys=True).encode())
    return content.hexdigest()


def _rungs(span: Span) -> list[int]:
    return [span.start, span.floor, span.ceiling]

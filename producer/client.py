"""Puts jobs in and reads what comes out: the Python face of the producer."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Self

from migrations.run import ensure_schema
from models.answer import Answer
from models.broker import Broker
from models.chain import Chain, Span
from models.database import open_database
from models.embedded import required_broker_url
from models.errors import BrokerError, InputError, InputMistakes, UnpricedModelError
from models.ids import new_id
from models.ledger import Ledger
from models.life import NewBatch, NewJob, Unsent
from models.pricebook import PriceBook
from models.reports import Progress, Reports
from models.settings import Settings, load_settings
from producer.check import check, check_labels
from producer.load import Loaded
from producer.prompt import Prompt
from producer.span import span_of

_LOOK_EVERY_S = 0.5


class Batch:
    """A submitted batch. `is_new` is False where its key was known: then nothing was added.

    `not_sent` tells why its jobs have no messages yet; they are accepted, and a worker's clock will send them.
    """

    def __init__(self, batch_id: str, producer: "Producer", *, is_new: bool, not_sent: str | None = None) -> None:
        self.id = batch_id
        self.is_new = is_new
        self.not_sent = not_sent
        self._producer = producer

    def progress(self) -> Progress:
        """Count its jobs by state, and its money."""
        return self._producer.reports.progress(self.id)

    def answers(self) -> Iterator[Answer]:
        """Read every job as it is now, in the order of submission."""
        return self._producer.reports.answers(self.id)

    def wait(self, *, timeout_s: float | None = None) -> Iterator[Answer]:
        """Wait until every job has ended, then read the answers. Raises TimeoutError; the batch goes on."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while not (progress := self.progress()).is_finished:
            if until is not None and time.monotonic() > until:
                message = f"batch {self.id}: {progress.finished} of {progress.job_count} jobs ended in {timeout_s:g} s"
                raise TimeoutError(message)
            time.sleep(_LOOK_EVERY_S)
        return self.answers()

    def cancel(self) -> int:
        """Cancel its open jobs; returns how many. Calls in flight end, and are billed."""
        return self._producer.ledger.cancel(self.id)


class Producer:
    """Submits prompts: rows first, commit, then messages. Use it as a context manager, or close it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._until_close = ExitStack()
        engine = open_database(settings.database_url.get_secret_value())
        self._until_close.callback(engine.dispose)
        ensure_schema(engine)
        self.ledger = Ledger(engine, worker="producer")
        self.reports = Reports(engine)

    @property
    def models(self) -> tuple[str, ...]:
        """The chain's models, primary first."""
        return self._settings.chain.models

    @classmethod
    def from_env(cls) -> Self:
        """Read the settings from the environment and .env. Raises SettingsError, LedgerError."""
        return cls(load_settings())

    def submit(
        self,
        prompts: Sequence[Prompt] | Loaded,
        *,
        task: str | None = None,
        name: str | None = None,
        key: str | None = None,
        tags: Mapping[str, str] | None = None,
        allow_unpriced: bool = False,
    ) -> Batch:
        """Accept prompts as one batch; it is kept before this returns, whether or not the broker is there.

        Takes prompts, or what `load` made of a file. The same prompts under the same `key` are the same batch,
        bought once. Raises InputError or InputMistakes for what cannot be sent or kept, UnpricedModelError,
        KeyConflictError, LedgerError; then nothing was accepted.
        """
        if mistake := check_labels(name=name, key=key, task=task, tags=tags or {}):
            raise mistake
        chain = self._settings.chain
        unpriced = PriceBook(self._settings.price_overrides).unpriced(chain.models)
        if unpriced and not allow_unpriced:
            raise UnpricedModelError(unpriced)
        jobs = _jobs(_checked(prompts), chain, task)
        batch = NewBatch(
            id=new_id(),
            name=name,
            key=key,
            content_sha256=None if key is None else _digest(jobs),
            task=task,
            tags=tags or {},
            deadline_s=self._settings.job_deadline_s,
        )
        kept_as = self.ledger.enqueue(batch, jobs)
        if kept_as != batch.id:
            return Batch(kept_as, self, is_new=False)
        return Batch(batch.id, self, is_new=True, not_sent=self._send(jobs, rungs=len(chain.models)))

    def _send(self, jobs: Sequence[NewJob], *, rungs: int) -> str | None:
        """Ring for the first jobs of each rung, as many as its queue has room for; the clock sends the rest."""
        try:
            broker = Broker(required_broker_url(self._settings), rungs=rungs)
        except BrokerError as error:
            return str(error)
        try:
            for rung in sorted({job.span.start for job in jobs}):
                room = max(0, self._settings.queue_window - broker.depth(rung))
                first = [Unsent(id=job.id, rung=rung) for job in jobs if job.span.start == rung][:room]
                broker.send(first)
                self.ledger.mark_sent(first)
        except BrokerError as error:
            return str(error)
        finally:
            broker.close()
        return None

    def batch(self, beginning: str) -> Batch:
        """Find a batch by its id, a unique beginning of it, or its name. Raises NotFoundError."""
        return Batch(self.reports.batch_id(beginning), self, is_new=False)

    def close(self) -> None:
        """Give the connections back."""
        self._until_close.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _checked(prompts: Sequence[Prompt] | Loaded) -> Sequence[Prompt]:
    if isinstance(prompts, Loaded):
        if prompts.mistakes:
            raise InputMistakes(prompts.mistakes)
        return prompts.prompts  # each line was checked where it was read
    for seq, prompt in enumerate(prompts, start=1):
        if mistake := check(prompt, source=f"prompt {seq}", line=None):
            raise mistake
    return prompts


def _jobs(prompts: Sequence[Prompt], chain: Chain, task: str | None) -> list[NewJob]:
    if not prompts:
        raise InputError("no prompts: give at least one", source="submit")
    jobs: list[NewJob] = []
    known: dict[str, int] = {}
    for seq, prompt in enumerate(prompts, start=1):
        job = _job(prompt, seq, chain, task)
        if (first := known.setdefault(job.prompt_id, seq)) != seq:
            problem = f"{job.prompt_id!r} was prompt {first}'s; ids are unique in a batch"
            raise InputError(problem, source=f"prompt {seq}", field="id")
        jobs.append(job)
    return jobs


def _job(prompt: Prompt, seq: int, chain: Chain, task: str | None) -> NewJob:
    return NewJob(
        id=new_id(),
        seq=seq,
        prompt_id=prompt.id if prompt.id is not None else str(seq),
        task=prompt.task or task,
        params=prompt.request(),
        span=span_of(prompt, chain, task, source=f"prompt {seq}"),
        columns=prompt.columns,
    )


def _digest(jobs: Sequence[NewJob]) -> str:
    content = hashlib.sha256()
    for job in jobs:
        asked = [job.prompt_id, job.task, job.params, _rungs(job.span), job.columns]
        content.update(json.dumps(asked, sort_keys=True).encode())
    return content.hexdigest()


def _rungs(span: Span) -> list[int]:
    return [span.start, span.floor, span.ceiling]

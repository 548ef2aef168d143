"""Accepts jobs and reads their answers: the producer as a Python class."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import replace
from decimal import Decimal
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Self, Unpack

from migrations.run import ensure_schema
from models.chain.deadline import stands_by_s
from models.database.engine import open_database
from models.database.group_thread import GroupThread, LoopReply
from models.errors import BrokerError
from models.job.answer import Answer
from models.job.progress import Progress
from models.job.task_kinds import JobTerms
from models.settings import Settings, load_settings
from models.store import Store
from producer.files.prompts import PromptFile
from producer.prompt.prompt import Prompt

if TYPE_CHECKING:
    from models.job.map_reduce import NewStep
    from models.job.values import Unsent
    from models.queue.throttles import Throttle
    from producer.map_reduce.plan import Document
    from producer.map_reduce.summarize import SummarizeArguments
    from producer.prompt.arguments import SubmitArguments
    from producer.submit.accept import Prepared
    from producer.submit.checked_options import SubmitOptions
    from producer.submit.send_first import FirstMessages

_LOOK_EVERY_S = 0.5
_ASK_LOOK_EVERY_S = 0.05  # the caller waits
_PRICED_S = 2.0  # the prices of a chain are looked up again so much later, once all were there


class Batch:
    """A submitted batch. `is_new` is False if the key was known: then no prompt was added.

    `not_sent` is the reason why the jobs have no messages yet. The jobs are accepted; a dispatcher will send them. This
    call `accepted` so many prompts, in `took_s` seconds with the reading. `short_of_time` is a line on half-price
    jobs that go live at once.
    """

    def __init__(
        self,
        batch_id: str,
        producer: "Producer",
        *,
        is_new: bool,
        not_sent: str | None = None,
        accepted: int = 0,
        took_s: float = 0.0,
        short_of_time: str | None = None,
    ) -> None:
        self.id = batch_id
        self.is_new = is_new
        self.not_sent = not_sent
        self.accepted = accepted
        self.took_s = took_s
        self.short_of_time = short_of_time
        self._producer = producer

    def progress(self) -> Progress:
        """Return the count of jobs by state, and their cost."""
        return self._producer.store.reports.progress(self.id)

    def answers(self) -> Iterator[Answer]:
        """Read every job in its present state, in the order of submission."""
        return self._producer.store.reports.answers(self.id)

    def wait(self, *, timeout_s: float | None = None, look_every_s: float = _LOOK_EVERY_S) -> Iterator[Answer]:
        """Wait until every job has ended or is held for a person, then read the answers.

        Raises TimeoutError; the batch goes on.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while not (progress := self.progress()).is_settled:
            if until is not None and time.monotonic() > until:
                message = f"batch {self.id}: {progress.finished} of {progress.job_count} jobs ended in {timeout_s:g} s"
                raise TimeoutError(message)
            time.sleep(look_every_s)
        return self.answers()

    def cancel(self) -> int:
        """Cancel the open jobs. Returns their number.

        Calls in flight end, and are billed. Items of message batches may be billed.
        """
        return self._producer.store.job_actions.cancel(self.id).jobs


class Producer:
    """Submits prompts: rows first, commit, then messages. Use a producer as a context manager, or close the producer.

    `kind` names this process in Postgres's list of sessions.
    """

    def __init__(self, settings: Settings, *, kind: str = "producer") -> None:
        self._settings = settings
        self._until_close = ExitStack()
        url = settings.database_url.get_secret_value()
        engine = open_database(url, connections=settings.database_connections, kind=kind)
        self._until_close.callback(engine.dispose)
        ensure_schema(engine)
        self.store = Store(engine, worker="producer")
        self._priced_until = 0.0

    @cached_property
    def _first_messages(self) -> "FirstMessages":
        return self._messages(self.store.outbox.mark_sent)

    @cached_property
    def _urgent(self) -> "GroupThread[Unsent]":
        first = self._messages(self.store.ledger.submit_sent)
        return GroupThread(lambda group: first.send([job for job, _ in group]), name="urgent messages")

    def _messages(self, mark_sent: "Callable[[Sequence[Unsent]], object]") -> "FirstMessages":
        from producer.submit.send_first import FirstMessages  # noqa: PLC0415 - as in submit

        first = FirstMessages(self._settings, mark_sent)
        self._until_close.callback(first.close)
        return first

    @property
    def models(self) -> tuple[str, ...]:
        """The chain's models, primary first."""
        return self._settings.chain.models

    def throttles(self) -> "list[Throttle]":
        """Return the present throttles of the fleet's requests. Returns an empty list without a broker."""
        from models.queue.embedded_redis import broker_url  # noqa: PLC0415 - as in submit
        from models.queue.throttles import ThrottleReader  # noqa: PLC0415

        url = broker_url(self._settings)
        if url is None:
            return []
        with suppress(BrokerError):
            return ThrottleReader(url, namespace=self._settings.namespace, chain=self._settings.chain).read()
        return []

    @classmethod
    def from_env(cls) -> Self:
        """Read the settings from the environment and .env. Raises SettingsError, LedgerError."""
        return cls(load_settings())

    def submit(self, prompts: Iterable[Prompt] | PromptFile, **options: Unpack["SubmitArguments"]) -> Batch:
        """Accept prompts as one batch, which is in the ledger when this returns, with or without a broker.

        Takes prompts, or an open file, which is never in memory as a whole. The same prompts under the same `key` are
        the same batch, bought once. `on_unknown` overrides HOLD_ABOVE_USD for a job whose worker was lost during a
        call: hold, or buy again once. `max_cost_usd` caps the batch over all fallbacks and retries. A job that could
        pass the cap steps down to a model that fits, else fails as over_budget. `urgent` jobs never wait behind bulk
        jobs. Among bulk batches, each gets jobs done by its `weight` (1 to 100) against the weights of the others.
        Neither option makes another batch under a known key. `terms` hold for all jobs and override those of the task
        kinds. A prompt's own floor and ceiling override `terms`. With `half_price`, jobs wait for message batches of
        the provider, at half the price, if the deadline leaves the time. `by` is the deadline as a time: a datetime, an
        ISO time, or a time of day such as "06:00". The clock of this machine is for a time without a zone. Raises
        InputError, InputMistakes, UnpricedModelError, KeyConflictError, LedgerError: then no prompt was accepted.
        """
        from producer.submit.checked_options import checked_options  # noqa: PLC0415 - not for those who only read

        return self._accept(prompts, checked_options(options, self._settings.chain))

    def summarize(
        self, documents: Sequence["Document | str | tuple[str, str]"], **options: Unpack["SummarizeArguments"]
    ) -> Batch:
        """Summarize documents of any length: parts that fit a model, and one synthesis of the parts' answers.

        Each is a Document, a text, or an id and a text. `map` asks about a part, as `task`: with {text}, perhaps
        {document}, {part} and columns. `reduce` asks about answers, level by level until all fit into one prompt. The
        last prompt is of `synthesis_task`; the last answer is called synthesis. Without `synthesize` each document has
        its own answer. `max_tokens` and `synthesis_max_tokens` bound answers. `part_tokens` and `step_tokens` bound the
        text of a prompt; the default is the room of the start model. If a part fails, `on_failed_part` "name"
        synthesizes the others and names the missing part; "stop" fails the step. Other options are those of `submit`.
        """
        from producer.map_reduce.summarize import placed, planned, split_options  # noqa: PLC0415
        from producer.submit.checked_options import checked_options  # noqa: PLC0415 - as in submit

        how, shared = split_options(options)
        checked = checked_options(shared, self._settings.chain, on_failed_part=how.on_failed_part)
        plan = planned(documents, how, self._settings, checked.terms)
        place = partial(placed, plan, on_failed_part=how.on_failed_part)
        return self._accept([one.prompt for one in plan], checked, place=place)

    def _accept(
        self,
        prompts: Iterable[Prompt] | PromptFile,
        options: "SubmitOptions",
        *,
        place: "Callable[[Sequence[str]], Sequence[NewStep]] | None" = None,
    ) -> Batch:
        from producer.submit.accept import laid_out  # noqa: PLC0415 - nor are prices
        from producer.submit.short_of_time import short_of_time  # noqa: PLC0415

        self._require_prices(options)
        began = time.monotonic()
        with laid_out(prompts, self._settings, options, self.store.learned_starts) as ready:
            steps = () if place is None else place([row.id for row in ready.rows()])
            size = {"count": ready.buffered.count, "characters": ready.buffered.characters}
            kept_as = self.store.ledger.enqueue_rows(ready.batch, ready.rows(), **size, steps=steps)
        if kept_as != ready.batch.id:
            return Batch(kept_as, self, is_new=False)
        took_s = time.monotonic() - began
        waiting = {step.job_id for step in steps if step.parts}
        first = [job for job in ready.first if job.id not in waiting]
        about: dict[str, Any] = {"not_sent": self._first_messages.send(first), "took_s": took_s}
        about["short_of_time"] = short_of_time(ready.half_price, self._settings, self.store.batch_history)
        return Batch(kept_as, self, is_new=True, accepted=ready.buffered.count, **about)

    def is_quick(self, task: str | None) -> bool:
        """Return whether `prepared` would not read the ledger for a prompt of this kind."""
        return time.monotonic() < self._priced_until and task not in self._settings.chain.autos

    def prepared(self, prompt: Prompt, **options: Unpack["SubmitArguments"]) -> "Prepared":
        """Check an urgent prompt as `submit` does, and lay out a batch for `enqueue`. Nothing is written."""
        from producer.submit.accept import Checked, Prepared, laid_out  # noqa: PLC0415 - as in submit
        from producer.submit.checked_options import checked_options  # noqa: PLC0415

        checked = checked_options({**options, "urgent": True}, self._settings.chain)
        self._require_prices(checked)
        with laid_out(Checked([prompt]), self._settings, checked, self.store.learned_starts) as ready:
            (row,) = ready.rows()  # a long row is on disk until the end of the block
            return Prepared(batch=ready.batch, row=row, job=ready.first[0])

    async def enqueue(self, ready: "Prepared") -> Batch:
        """Write a prepared batch, in one commit with all that wait for the ledger's writer. Then send the job.

        Raises KeyConflictError, LedgerError.
        """
        reply, written = LoopReply[str](), Future[str]()
        # The message leaves right after the commit, from the writer's thread, also if the caller is gone by then.
        written.add_done_callback(partial(self._send_new, ready, reply))
        self.store.ledger.submit_one(ready.batch, ready.row, written)
        kept_as = await reply
        return Batch(kept_as, self, is_new=kept_as == ready.batch.id)

    def _send_new(self, ready: "Prepared", reply: LoopReply[str], written: "Future[str]") -> None:
        try:
            kept_as = written.result()
        except Exception as error:  # noqa: BLE001 - the error belongs to the caller
            reply.set_exception(error)
            return
        reply.set_result(kept_as)
        if kept_as == ready.batch.id:
            self._urgent.put(ready.job, Future())

    def _require_prices(self, options: "SubmitOptions") -> None:
        from producer.submit.accept import require_prices  # noqa: PLC0415 - as in submit

        if not options.allow_unpriced and time.monotonic() >= self._priced_until:
            require_prices(self._settings, self.store.price_list.dated())
            self._priced_until = time.monotonic() + _PRICED_S

    def ask(
        self,
        prompt: Prompt | str,
        *,
        timeout_s: float | None = None,
        task: str | None = None,
        tags: Mapping[str, str] | None = None,
        max_cost_usd: Decimal | str | float | None = None,
        terms: JobTerms | None = None,
    ) -> Answer:
        """Get one prompt answered ahead of all bulk, and wait for the answer: an urgent batch of one.

        A job that has not ended after `timeout_s` fails by its own deadline, or is cancelled, and TimeoutError is
        raised. The default of `timeout_s` is ten minutes, or the deadline of a call with so many max_tokens if longer.
        Other arguments and errors are those of `submit`. `outcome` and `error` have the reason of a failure.
        """
        asked = Prompt(prompt) if isinstance(prompt, str) else prompt
        if timeout_s is None:
            timeout_s = stands_by_s(asked.request(), call_timeout_s=self._settings.call_timeout_s)
        own = replace(terms or JobTerms(), deadline_s=timeout_s)
        batch = self.submit([asked], task=task, tags=tags, max_cost_usd=max_cost_usd, urgent=True, terms=own)
        try:
            (answer,) = batch.wait(timeout_s=timeout_s, look_every_s=_ASK_LOOK_EVERY_S)
        except TimeoutError:
            batch.cancel()
            raise
        return answer

    def batch(self, beginning: str) -> Batch:
        """Return a batch by its id, a unique beginning of the id, or its name. Raises NotFoundError."""
        return Batch(self.store.reports.batch_id(beginning), self, is_new=False)

    def close(self) -> None:
        """Give the connections back."""
        self._until_close.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

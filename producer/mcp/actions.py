"""What each tool of `stepdown mcp` does, over the one producer: in threads, so that no call holds up another."""

import json
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from itertools import islice
from threading import Event
from typing import Any, TypeVar

from anyio import CapacityLimiter, move_on_after, sleep, to_thread

from models.accounting.adhoc_sql import BusyError, asked
from models.callers import MCP_TAGS, mcp_key
from models.chain.deadline import stands_by_s
from models.errors import InputError
from models.job.answer import Answer
from models.job.progress import Progress
from models.job.task_kinds import JobTerms
from models.outcome import OPEN_STATES
from models.settings import Settings
from producer.client import Batch, Producer
from producer.costs.estimate import chain_line, estimate_json, expected, oracle_of
from producer.files.prompts import Loaded
from producer.mcp import schemas
from producer.output.batch_lines import job_line, over_budget_line, progress_line
from producer.output.table import plain
from producer.output.watch import NO_WORKER
from producer.prompt.check_prompt import check
from producer.prompt.prompt import Prompt

ASK_S = 45.0  # clients give up on a tool after a minute
QUERY_S = 10.0
MOST_ROWS = 200
_MOST_CHARACTERS = 100_000  # of answers or rows in one reply: what its reader, a model, has room for
_THREADS = 16
_QUERIES = 8  # threads of queries; most of these wait for their place
_FIRST_LOOK_S, _LAST_LOOK_S, _SLOWER = 0.05, 0.5, 1.5

Hear = Callable[[Progress], Awaitable[None]]
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a tool came to: a value of its shape, and the same in words."""

    value: object
    words: Sequence[str]


class Desk:
    """The tools. Each raises StepdownError and TimeoutError whose text says what would be right."""

    def __init__(self, producer: Producer, settings: Settings, *, ask_s: float = ASK_S) -> None:
        self._producer = producer
        self._ask_s = ask_s
        self._settings = settings
        self._threads = CapacityLimiter(_THREADS)
        self._queries = CapacityLimiter(_QUERIES)

    async def ask(self, said: schemas.Ask, hear: Hear) -> Told:
        """Submit an urgent batch of one and stand by for it, as Producer.ask does; what takes longer goes on."""
        prompts = [Prompt(said.prompt, max_tokens=said.max_tokens)]
        own = JobTerms(deadline_s=stands_by_s(prompts[0].request(), call_timeout_s=self._settings.call_timeout_s))
        batch = await self._kept("ask", prompts, said.max_cost_usd, task=said.task, urgent=True, terms=own)
        progress = await self._settled(batch, self._ask_s, hear)
        (answer,) = await self._in_thread(lambda: list(batch.answers()))
        reply, cost = _reply(answer), _usd(progress.cost_usd)
        value = schemas.Asked(batch=batch.id, answer=reply, cost_usd=cost, unknown_costs=progress.unknown_costs)
        words = [*([reply.text] if reply.text else []), job_line(answer)]
        if answer.state in OPEN_STATES and not progress.is_settled:
            words += [
                f"it goes on: wait for batch {batch.id}, then read its results",
                *_not_sent(batch),
                *_untouched(progress),
            ]
        return Told(value=value, words=words)

    async def submit(self, said: schemas.Submit, _hear: Hear) -> Told:
        """Keep a batch."""
        prompts = _prompts(said.prompts)
        key = mcp_key(said.key)
        batch = await self._kept("submit", prompts, said.max_cost_usd, task=said.task, name=said.name, key=key)
        value = schemas.Submitted(
            batch=batch.id,
            is_new=batch.is_new,
            jobs=len(prompts),
            max_cost_usd=_usd(said.max_cost_usd),
            not_sent=batch.not_sent,
        )
        kept = (
            f"batch {batch.id}: {len(prompts)} jobs" if batch.is_new else f"batch {batch.id}: known by its key already"
        )
        return Told(value=value, words=[kept, *_not_sent(batch)])

    async def estimate(self, said: schemas.Estimate, _hear: Hear) -> Told:
        """Say what prompts would cost."""
        return await self._in_thread(partial(_estimated, _prompts(said.prompts), self._settings, said.task))

    async def status(self, said: schemas.Status, _hear: Hear) -> Told:
        """Say where a batch is."""
        batch = await self._batch(said.batch)
        return _where(await self._in_thread(batch.progress))

    async def wait(self, said: schemas.Wait, hear: Hear) -> Told:
        """Say where a batch is once it has ended, or after `up_to_s`."""
        batch = await self._batch(said.batch)
        progress = await self._settled(batch, said.up_to_s, hear)
        where = _where(progress)
        return replace(where, words=[*where.words, *_untouched(progress)])

    async def results(self, said: schemas.Results, _hear: Hear) -> Told:
        """Read some answers of a batch."""
        batch = await self._batch(said.batch)
        return await self._in_thread(partial(self._page, batch, said.offset, said.limit))

    async def ledger_query(self, said: schemas.LedgerQuery, _hear: Hear) -> Told:
        """Run a query that cannot write; a client that goes away ends it, and no other tool waits for it."""
        run = partial(_found, self._settings.database_url.get_secret_value(), said.sql, stop := Event())
        try:
            with move_on_after(ASK_S):
                return await to_thread.run_sync(run, abandon_on_cancel=True, limiter=self._queries)
        finally:
            stop.set()
        raise TimeoutError("ledger_query: others' queries take all the time there is: ask again later")

    async def _kept(self, tool: str, prompts: Sequence[Prompt], max_cost_usd: Decimal, **said: Any) -> Batch:
        most = self._settings.mcp_max_cost_usd
        if max_cost_usd > most:
            problem = f"{max_cost_usd:f} is more than one call may spend; give at most {most:f} (MCP_MAX_COST_USD)"
            raise InputError(problem, source=tool, field="max_cost_usd")
        submit = partial(self._producer.submit, prompts, max_cost_usd=max_cost_usd, tags=MCP_TAGS, **said)
        return await self._in_thread(submit)

    async def _batch(self, beginning: str) -> Batch:
        return await self._in_thread(partial(self._producer.batch, beginning))

    async def _settled(self, batch: Batch, up_to_s: float, hear: Hear) -> Progress:
        until, look_s, told = time.monotonic() + up_to_s, _FIRST_LOOK_S, -1
        while True:
            progress = await self._in_thread(batch.progress)
            left_s = until - time.monotonic()
            if progress.is_settled or left_s <= 0:
                return progress
            if progress.finished > told:
                await hear(progress)
                told = progress.finished
            await sleep(min(look_s, left_s))
            look_s = min(look_s * _SLOWER, _LAST_LOOK_S)

    def _page(self, batch: Batch, offset: int, limit: int) -> Told:
        progress = batch.progress()
        found = self._producer.books.reports.answers(batch.id, after=offset)
        answers = list(_as_many_as_fit(islice(found, limit)))
        end = offset + len(answers)
        replies = [_reply(answer) for answer in answers]
        page = schemas.Page(
            batch=batch.id,
            jobs=progress.job_count,
            answers=replies,
            next_offset=end if end < progress.job_count else None,
            is_settled=progress.is_settled,
            cost_usd=_usd(progress.cost_usd),
            unknown_costs=progress.unknown_costs,
        )
        lines = map(job_line, answers)
        words = [word for line, reply in zip(lines, replies, strict=True) for word in (line, reply.text) if word]
        more = [f"{end} of {progress.job_count}; the rest is behind offset {end}"] if page.next_offset else []
        return Told(value=page, words=[*words, *more] or [f"no answer is behind offset {offset}"])

    async def _in_thread(self, work: Callable[[], _Value]) -> _Value:
        # A client that hangs up is not waited for; what was begun is ended by its own limits.
        return await to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._threads)


def _not_sent(batch: Batch) -> list[str]:
    return [f"accepted, and sent later by a worker: {batch.not_sent}"] if batch.not_sent else []


def _untouched(progress: Progress) -> list[str]:
    return [NO_WORKER] if progress.is_untouched else []


def _prompts(said: Sequence[str | schemas.OnePrompt]) -> list[Prompt]:
    return [
        Prompt(one)
        if isinstance(one, str)
        else Prompt(one.prompt, id=one.id, max_tokens=one.max_tokens, system=one.system)
        for one in said
    ]


def _estimated(prompts: list[Prompt], settings: Settings, task: str | None) -> Told:
    for seq, prompt in enumerate(prompts, start=1):
        if mistake := check(prompt, source=f"prompt {seq}", line=None):
            raise mistake
    oracle = oracle_of(settings)
    found = expected(Loaded(prompts=prompts, mistakes=[]), oracle, settings, task)
    told = estimate_json(found, oracle.learned, exact=False)
    chain = {name: told["chain"][name] for name in ("expected_usd", "low_usd", "worst_case_usd", "unbounded")}
    models = {model: one["expected_usd"] for model, one in told["models"].items()}
    value = schemas.Estimated(prompts=len(prompts), starts=told["starts"], if_one_answers_all=models, **chain)
    return Told(value=value, words=[chain_line(found.chain)])


def _where(progress: Progress) -> Told:
    value = schemas.Where(
        batch=progress.batch_id,
        name=progress.name,
        jobs=progress.job_count,
        states={str(state): count for state, count in progress.states.items()},
        is_settled=progress.is_settled,
        held=progress.held,
        over_budget=progress.over_budget,
        attempts=progress.attempts,
        cost_usd=_usd(progress.cost_usd),
        unknown_costs=progress.unknown_costs,
        max_cost_usd=None if progress.cap_usd is None else _usd(progress.cap_usd),
    )
    over = [over_budget_line(progress)] if progress.over_budget else []
    return Told(value=value, words=[progress_line(progress), *over])


def _as_many_as_fit(answers: Iterator[Answer]) -> Iterator[Answer]:
    """Take answers as long as their texts fit into one reply; the first one in any case."""
    taken = 0
    for number, answer in enumerate(answers):
        taken += len(answer.text or "")
        if number and taken > _MOST_CHARACTERS:
            return
        yield answer


def _reply(answer: Answer) -> schemas.Reply:
    return schemas.Reply(
        id=answer.id,
        job=answer.job_id,
        state=answer.state,
        text=_sendable(answer.text),
        model=answer.model,
        fallback_depth=answer.fallback_depth,
        stop_reason=answer.stop_reason,
        cost_usd=None if answer.cost_usd is None else _usd(answer.cost_usd),
        outcome=answer.outcome,
        error=_sendable(answer.error),
    )


def _sendable(text: str | None) -> str | None:
    return None if text is None else text.encode(errors="replace").decode()  # a model may write half a surrogate pair


def _found(url: str, sql: str, stop: Event) -> Told:
    bounds: dict[str, Any] = {"timeout_s": QUERY_S, "most_rows": MOST_ROWS, "most_bytes": _MOST_CHARACTERS}
    try:
        with asked(url, sql, **bounds, stop=stop) as found:
            rows = [[_cell(cell) for cell in row] for row in found.rows]
            columns, is_cut = list(found.columns), found.cut is not None
    except BusyError:
        raise
    except TimeoutError:
        raise TimeoutError(f"ledger_query: not done after {QUERY_S:g} s: narrow it, to a day or a batch") from None
    more = [f"these are the first {len(rows)} rows: there are more; LIMIT and OFFSET reach them"] if is_cut else []
    # No table: aligned, one long cell would make every row as long.
    shown = "\n".join(json.dumps(row, ensure_ascii=False) for row in (columns, *rows))
    return Told(value=schemas.Rows(columns=columns, rows=rows, is_cut=is_cut), words=[shown, *more])


def _cell(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case list():
            return [_cell(one) for one in value]
    return plain(value)  # a float would round money


def _usd(amount: Decimal) -> str:
    return f"{amount:f}"

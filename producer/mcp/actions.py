"""The work of each tool of `stepdown mcp`, over one producer, in threads: no call delays another."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from itertools import islice
from threading import Event
from typing import Annotated, Any, TypeAlias, TypeVar

from anyio import CapacityLimiter, move_on_after, sleep, to_thread
from mcp.server.mcpserver import Context
from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel

from models.accounting.adhoc_sql import BusyError, run_query
from models.callers import MCP_TAGS, mcp_key
from models.chain.deadline import stands_by_s
from models.errors import InputError
from models.job.answer import Answer
from models.job.progress import Progress
from models.job.task_kinds import JobTerms
from models.outcome import OPEN_STATES
from models.settings import Settings
from producer.client import Batch, Producer
from producer.costs.cost_model import expect
from producer.costs.estimate import chain_line, estimate_inputs, estimate_json
from producer.mcp import schemas
from producer.output.batch_lines import job_line, over_budget_line, progress_line
from producer.output.table import plain
from producer.output.watch import NO_WORKER
from producer.prompt.check_prompt import check
from producer.prompt.prompt import DEFAULT_MAX_TOKENS, Prompt

ASK_S = 45.0  # clients give up on a tool after a minute
QUERY_S = 10.0
MOST_ROWS = 200
_MOST_CHARACTERS = 100_000  # of answers or rows in one reply: a model reads no more
_THREADS = 16
_QUERIES = 8  # threads of queries; most of these wait for their place
_FIRST_LOOK_S, _LAST_LOOK_S, _SLOWER = 0.05, 0.5, 1.5

AnyContext: TypeAlias = Context[Any, Any]
_Value = TypeVar("_Value")
_Schema = TypeVar("_Schema", bound=BaseModel)


class Actions:
    """The tools, as their signatures describe them. Each raises StepdownError and TimeoutError that name the fix."""

    def __init__(self, producer: Producer, settings: Settings, *, ask_s: float = ASK_S) -> None:
        self._producer = producer
        self._ask_s = ask_s
        self._settings = settings
        self._threads = CapacityLimiter(_THREADS)
        self._queries = CapacityLimiter(_QUERIES)

    async def ask(
        self,
        context: AnyContext,
        prompt: schemas.Text,
        max_cost_usd: schemas.MaxCost,
        task: schemas.Task = None,
        max_tokens: schemas.MaxTokens = DEFAULT_MAX_TOKENS,
    ) -> Annotated[CallToolResult, schemas.AskResult]:
        """Submit an urgent batch of one and stand by for it, as Producer.ask does; a slower job goes on."""
        prompts = [Prompt(prompt, max_tokens=max_tokens)]
        own = JobTerms(deadline_s=stands_by_s(prompts[0].request(), call_timeout_s=self._settings.call_timeout_s))
        batch = await self._submit("ask", prompts, max_cost_usd, task=task, urgent=True, terms=own)
        progress = await self._settled(batch, self._ask_s, context)
        (answer,) = await self._in_thread(lambda: list(batch.answers()))
        reply = _reply(answer)
        value = _filled(schemas.AskResult, progress, batch=batch.id, answer=reply)
        lines = [*([reply.text] if reply.text else []), job_line(answer)]
        if answer.state in OPEN_STATES and not progress.is_settled:
            lines += [
                f"it goes on: wait for batch {batch.id}, then read its results",
                *_not_sent(batch),
                *_untouched(progress),
            ]
        return _result(value, lines)

    async def submit(
        self,
        prompts: schemas.Prompts,
        max_cost_usd: schemas.MaxCost,
        task: schemas.Task = None,
        name: schemas.Name = None,
        key: schemas.Key = None,
        half_price: schemas.HalfPrice = None,
        by: schemas.By = None,
    ) -> Annotated[CallToolResult, schemas.Submitted]:
        """Submit a batch."""
        given, labels = _prompts(prompts), {"task": task, "name": name, "key": mcp_key(key)}
        batch = await self._submit("submit", given, max_cost_usd, **labels, half_price=half_price, by=by)
        value = _filled(schemas.Submitted, batch, batch=batch.id, jobs=len(given), max_cost_usd=max_cost_usd)
        line = f"batch {batch.id}: {len(given)} jobs" if batch.is_new else f"batch {batch.id}: known by its key already"
        return _result(value, [line, *_not_sent(batch), *([batch.short_of_time] if batch.short_of_time else [])])

    async def estimate(
        self, prompts: schemas.Prompts, task: schemas.Task = None
    ) -> Annotated[CallToolResult, schemas.Estimated]:
        """Return the costs to expect of prompts."""
        return await self._in_thread(partial(_estimated, _prompts(prompts), self._settings, task))

    async def status(self, batch: schemas.BatchId) -> Annotated[CallToolResult, schemas.BatchProgress]:
        """Return the progress of a batch."""
        found = await self._batch(batch)
        return _progress(await self._in_thread(found.progress))

    async def wait(
        self, context: AnyContext, batch: schemas.BatchId, up_to_s: schemas.Seconds = 45
    ) -> Annotated[CallToolResult, schemas.BatchProgress]:
        """Return the progress of a batch once the batch has ended, or after `up_to_s`."""
        progress = await self._settled(await self._batch(batch), up_to_s, context)
        return _progress(progress, _untouched(progress))

    async def results(
        self, batch: schemas.BatchId, offset: schemas.Offset = 0, limit: schemas.Limit = 20
    ) -> Annotated[CallToolResult, schemas.Page]:
        """Read some answers of a batch."""
        found = await self._batch(batch)
        return await self._in_thread(partial(self._page, found, offset, limit))

    async def ledger_query(self, sql: schemas.Sql) -> Annotated[CallToolResult, schemas.Rows]:
        """Run a query that cannot write; a client that goes away ends the query, and no other tool waits for it."""
        run = partial(_found, self._settings.database_url.get_secret_value(), sql, stop := Event())
        try:
            with move_on_after(ASK_S):
                return await to_thread.run_sync(run, abandon_on_cancel=True, limiter=self._queries)
        finally:
            stop.set()
        raise TimeoutError("ledger_query: others' queries take all the time there is: ask again later")

    async def _submit(self, tool: str, prompts: Sequence[Prompt], max_cost_usd: Decimal, **options: Any) -> Batch:
        most = self._settings.mcp_max_cost_usd
        if max_cost_usd > most:
            problem = f"{max_cost_usd:f} is more than one call may spend; give at most {most:f} (MCP_MAX_COST_USD)"
            raise InputError(problem, source=tool, field="max_cost_usd")
        submit = partial(self._producer.submit, prompts, max_cost_usd=max_cost_usd, tags=MCP_TAGS, **options)
        return await self._in_thread(submit)

    async def _batch(self, beginning: str) -> Batch:
        return await self._in_thread(partial(self._producer.batch, beginning))

    async def _settled(self, batch: Batch, up_to_s: float, context: AnyContext) -> Progress:
        until, look_s, reported = time.monotonic() + up_to_s, _FIRST_LOOK_S, -1
        while True:
            progress = await self._in_thread(batch.progress)
            left_s = until - time.monotonic()
            if progress.is_settled or left_s <= 0:
                return progress
            if progress.finished > reported:
                await context.report_progress(progress.finished, progress.job_count)
                reported = progress.finished
            await sleep(min(look_s, left_s))
            look_s = min(look_s * _SLOWER, _LAST_LOOK_S)

    def _page(self, batch: Batch, offset: int, limit: int) -> CallToolResult:
        progress = batch.progress()
        found = self._producer.store.reports.answers(batch.id, after=offset)
        answers = list(_as_many_as_fit(islice(found, limit)))
        end = offset + len(answers)
        replies = [_reply(answer) for answer in answers]
        more_at = end if end < progress.job_count else None
        named: dict[str, Any] = {"batch": batch.id, "jobs": progress.job_count, "next_offset": more_at}
        page = _filled(schemas.Page, progress, answers=replies, **named)
        pairs = zip(map(job_line, answers), replies, strict=True)
        lines = [line for job, reply in pairs for line in (job, reply.text) if line]
        more = [f"{end} of {progress.job_count}; the rest is behind offset {end}"] if more_at else []
        return _result(page, [*lines, *more] or [f"no answer is behind offset {offset}"])

    async def _in_thread(self, work: Callable[[], _Value]) -> _Value:
        # The server does not wait for a call without a client; the limits of the call end its thread.
        return await to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._threads)


def _filled(schema: type[_Schema], source: object, **named: Any) -> _Schema:
    """Fill a schema: the fields that are not named are attributes of `source`."""
    return schema(**named, **{name: getattr(source, name) for name in schema.model_fields if name not in named})


def _result(value: BaseModel, lines: Sequence[str]) -> CallToolResult:
    """Return a value of a tool, and the same as lines for people."""
    content = [TextContent(text=line) for line in lines]
    return CallToolResult(content=[*content], structured_content=value.model_dump(mode="json"))


def _not_sent(batch: Batch) -> list[str]:
    return [f"accepted, and sent later by a worker: {batch.not_sent}"] if batch.not_sent else []


def _untouched(progress: Progress) -> list[str]:
    return [NO_WORKER] if progress.is_untouched else []


def _prompts(given: Sequence[str | schemas.OnePrompt]) -> list[Prompt]:
    objects = (schemas.OnePrompt(prompt=one) if isinstance(one, str) else one for one in given)
    return [Prompt(one.prompt, id=one.id, max_tokens=one.max_tokens, system=one.system) for one in objects]


def _estimated(prompts: list[Prompt], settings: Settings, task: str | None) -> CallToolResult:
    for seq, prompt in enumerate(prompts, start=1):
        if mistake := check(prompt, source=f"prompt {seq}", line=None):
            raise mistake
    inputs = estimate_inputs(settings)
    found = expect(prompts, inputs, task=task)
    details = estimate_json(found, inputs.learned, exact=False)
    models = {model: one["expected_usd"] for model, one in details["models"].items()}
    lanes = {"half_price": schemas.LaneEstimate(**details["half_price"]), **details["chain"]}
    value = schemas.Estimated(prompts=len(prompts), starts=details["starts"], if_one_answers_all=models, **lanes)
    return _result(value, [chain_line(found)])


def _progress(progress: Progress, more: Sequence[str] = ()) -> CallToolResult:
    named = {"batch": progress.batch_id, "jobs": progress.job_count, "max_cost_usd": progress.cap_usd}
    value = _filled(schemas.BatchProgress, progress, **named)
    over = [over_budget_line(progress)] if progress.over_budget else []
    return _result(value, [progress_line(progress), *over, *more])


def _as_many_as_fit(answers: Iterator[Answer]) -> Iterator[Answer]:
    """Yield answers as long as their texts fit into one reply; the first answer in any case."""
    taken = 0
    for number, answer in enumerate(answers):
        taken += len(answer.text or "")
        if number and taken > _MOST_CHARACTERS:
            return
        yield answer


def _reply(answer: Answer) -> schemas.Reply:
    return _filled(schemas.Reply, answer, job=answer.job_id)


def _found(url: str, sql: str, stop: Event) -> CallToolResult:
    bounds: dict[str, Any] = {"timeout_s": QUERY_S, "most_rows": MOST_ROWS, "most_bytes": _MOST_CHARACTERS}
    try:
        with run_query(url, sql, **bounds, stop=stop) as found:
            rows = [[_cell(cell) for cell in row] for row in found.rows]
            columns, is_cut = list(found.columns), found.cut is not None
    except BusyError:
        raise
    except TimeoutError:
        raise TimeoutError(f"ledger_query: not done after {QUERY_S:g} s: narrow it, to a day or a batch") from None
    more = [f"these are the first {len(rows)} rows: there are more; LIMIT and OFFSET reach them"] if is_cut else []
    # No table: in a table, a long cell would make every row as long.
    shown = "\n".join(json.dumps(row, ensure_ascii=False) for row in (columns, *rows))
    return _result(schemas.Rows(columns=columns, rows=rows, is_cut=is_cut), [shown, *more])


def _cell(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case list():
            return [_cell(one) for one in value]
    return plain(value)  # a float would round money

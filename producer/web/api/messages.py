"""POST /v1/messages: a prompt through the chain, ahead of all batches, answered at the end of its job."""

import asyncio
from contextlib import ExitStack
from functools import partial
from math import inf, nan
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from models.chain.deadline import stands_by_s
from models.errors import LedgerError
from models.job.answer import Answer
from models.job.task_kinds import JobTerms
from models.outcome import Outcome, State
from producer.client import Batch, Producer
from producer.submit.accept import Prepared
from producer.web.api import sse
from producer.web.api.batches import one_key_each, own_options
from producer.web.api.message_stream import MessageStream, streamed
from producer.web.http.await_jobs import Patience
from producer.web.http.context import Server, caller_of, producer_of, server_of, settings_of
from producer.web.http.errors import LATER_S, LIMITED, OVERLOADED, Refusal, refusal_for
from producer.web.http.live_streams import LiveStream
from producer.web.http.receive_body import LARGEST_MESSAGE, Body, received
from producer.web.http.request import COST, DEPTH, JOB, KEY, TASK, checked, headers_of, label

_TIMEOUTS = ("x-stainless-timeout", "x-stainless-read-timeout")
_OF_LIMITS = frozenset({"limited", Outcome.RATE_LIMITED, Outcome.RAMP_LIMITED})
_AFTER_S = 1.0  # a job is cancelled at the end of its caller's patience, and expires so much later
_SHARE = 0.9  # of the caller's own patience: a later answer is bought for nothing


async def create(request: Request) -> Response:
    """Accept a Messages API request, wait for its job, and answer as the provider does."""
    server, is_kept = server_of(request), label(request, KEY) is not None
    silent_s = min(server.silent_s, _usable_s(request) / 2)  # a stream's client waits for each event
    with ExitStack() as until_end:
        async with received(request, LARGEST_MESSAGE) as body:  # a large one has its slot until the prompt is written
            is_quick = producer_of(request).is_quick(label(request, TASK))
            ready, is_stream, timeout_s = await body.read_by(_prepared, is_quick=is_quick)
            job_id = ready.job.id
            live = await _live(server, job_id, until_end) if is_stream else None
            with one_key_each("request"):
                batch = await producer_of(request).enqueue(ready)
            del ready  # from here on no prompt is in memory
        late = partial(_too_late, producer_of(request), batch.id, is_kept=is_kept)
        patience = Patience(timeout_s=timeout_s, idle_s=server.idle_s, is_idle=partial(_is_idle, batch))
        end = server.waiting.end_of(batch.id, is_kept=is_kept, is_new=batch.is_new)
        until_end.callback(server.waiting.leave, end)
        answer = await _ended(request, end, patience.next_s() if live is None else silent_s, live)
        if answer is None and live is not None:
            # the stream gives everything back at its own end
            late_stream = MessageStream(
                job_id=job_id,
                end=end,
                live=live,
                late=late,
                patience=patience,
                silent_s=silent_s,
                until_end=until_end.pop_all(),
            )
            depth = {} if live.depth is None or not live.has_begun else {DEPTH: str(live.depth)}
            return streamed(late_stream.events(), headers={JOB: job_id, **depth} if batch.is_new else None)
        while answer is None and not await patience.is_over():
            answer = await _ended(request, end, patience.next_s())
        if answer is None:
            raise await run_in_threadpool(late, patience.waited_s)
    if answer.turn is None:
        raise refusal_for(answer, is_kept=is_kept)
    if is_stream:
        return streamed(sse.events(answer.turn), headers=_headers(answer))
    return JSONResponse(dict(answer.turn), headers=_headers(answer))


def _is_idle(batch: Batch) -> bool:
    return not batch.progress().states.get(State.RUNNING)


def _prepared(request: Request, body: Body) -> tuple[Prepared, bool, float]:
    """Check the request of a body. Return the batch, whether to stream, and the seconds that the caller waits."""
    given = body.object()
    is_stream = given.pop("stream", None) or False
    if not isinstance(is_stream, bool):
        raise Refusal(400, "stream: should be true or false")
    models, headers = producer_of(request).models, headers_of(request)
    prompt = checked(given, id=None, models=models, where="", headers=headers, fills_cache=True)
    longest_s = stands_by_s(prompt.request(), call_timeout_s=settings_of(request).call_timeout_s)
    timeout_s = longest_s if is_stream else min(longest_s, _usable_s(request))
    deadline_s = timeout_s + _AFTER_S if label(request, KEY) is None else longest_s  # a caller with a key comes back
    ready = producer_of(request).prepared(
        prompt,
        key=caller_of(request).own_key("message", label(request, KEY)),
        tags=caller_of(request).batch_tags,
        terms=JobTerms(deadline_s=deadline_s),
        **own_options(request),
    )
    return ready, is_stream, timeout_s


def _usable_s(request: Request) -> float:
    """Return a share of the seconds after which the caller gives up, by the headers of the provider's SDKs.

    The shorter of a total and a silence counts. A header without a number, such as the SDK's NOT_GIVEN, is no limit.
    """
    given = map(_seconds, map(request.headers.get, _TIMEOUTS))
    return _SHARE * min(filter(lambda seconds: seconds > 0, given), default=inf)


def _seconds(header: str | None) -> float:
    try:
        return float(header or "nan")
    except ValueError:
        return nan


async def _live(server: Server, job_id: str, until_end: ExitStack) -> LiveStream:
    live = await server.live.open(job_id)
    until_end.callback(server.live.leave, job_id, live)
    return live


async def _ended(
    request: Request, end: asyncio.Future[Answer], timeout_s: float, live: LiveStream | None = None
) -> Answer | None:
    """Wait for the end while the caller is there. Return None if the end is late, or live events come before."""
    gone = asyncio.create_task(_gone(request))
    others: list[asyncio.Task[Any]] = [gone]
    others += [] if live is None else [asyncio.create_task(live.arrived.wait())]
    either: set[asyncio.Future[Any]] = {end, *others}
    try:
        done, _ = await asyncio.wait(either, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for other in others:
            other.cancel()
    if end in done:
        return end.result()
    if gone in done:
        raise Refusal(499, "you have gone")  # no client receives this error
    return None


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _too_late(producer: Producer, batch_id: str, waited_s: float, *, is_kept: bool) -> Refusal:
    """Return the error for an answer that is too late. The status is that of the limit which the job waits for.

    A client may send the request again by itself. To buy nothing twice, a request under a key is the same job. Without
    a key, a job that has not begun is cancelled.
    """
    try:
        waits = producer.store.waits.of_batch(batch_id, producer.models)
        is_free = is_kept or _is_ended_for_nothing(producer, batch_id)
    except LedgerError:
        message = f"no answer within {waited_s:.3g} s; the ledger cannot be reached, and the job may go on"
        return Refusal(OVERLOADED, message, is_for_good=not is_kept, retry_after_s=LATER_S)
    status = LIMITED if any(wait.reason in _OF_LIMITS for wait in waits) else OVERLOADED
    after_s = next((wait.next_in_s for wait in waits if wait.next_in_s), LATER_S)
    then = "sent again under its key, it is the same job" if is_kept else "a job that had not begun is cancelled"
    message = f"no answer within {waited_s:.3g} s; {then}"
    return Refusal(status, message, is_for_good=not is_free, retry_after_s=after_s)


def _is_ended_for_nothing(producer: Producer, batch_id: str) -> bool:
    """Cancel a job that is not in flight. Return True if the job has ended without a cost."""
    if producer.store.job_actions.cancel(batch_id, states=(State.QUEUED, State.WAITING))[0]:
        return True
    answer = producer.store.reports.settled([batch_id]).get(batch_id)
    return answer is not None and answer.state is State.FAILED and answer.cost_usd == 0


def _headers(answer: Answer) -> dict[str, str]:
    cost = None if answer.cost_usd is None else f"{answer.cost_usd:f}"
    headers = {DEPTH: answer.fallback_depth, COST: cost, JOB: answer.job_id}
    return {name: str(value) for name, value in headers.items() if value is not None}

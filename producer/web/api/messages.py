"""POST /v1/messages: a prompt through the chain, ahead of all batches, answered at the end of its job."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from math import inf, nan
from time import monotonic
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from models.chain.deadline import stands_by_s
from models.job.answer import Answer
from models.job.task_kinds import JobTerms
from models.outcome import Outcome, State
from producer.client import Batch, Producer
from producer.submit.accept import LaidOut
from producer.web.api import sse
from producer.web.api.batches import one_key_each, own_options
from producer.web.http.await_jobs import Waiting
from producer.web.http.context import caller_of, producer_of, server_of, settings_of
from producer.web.http.errors import LATER_S, LIMITED, OVERLOADED, Refusal, refusal_for
from producer.web.http.receive_body import LARGEST_MESSAGE, Body, received
from producer.web.http.request import COST, DEPTH, JOB, KEY, TASK, checked, headers_of, label

_TIMEOUTS = ("x-stainless-timeout", "x-stainless-read-timeout")
_OF_LIMITS = frozenset({"limited", Outcome.RATE_LIMITED, Outcome.RAMP_LIMITED})
_AFTER_S = 1.0  # a job is cancelled at the end of its caller's patience, and expires so much later
_AGAIN_S = 5.0  # between looks at a job that has kept its caller waiting
_SHARE = 0.9  # of the caller's own patience: a later answer is bought for nothing


async def create(request: Request) -> Response:
    """Accept a Messages API request, wait for its job, and answer as the provider does."""
    async with received(request, LARGEST_MESSAGE) as body:
        is_quick = producer_of(request).is_quick(label(request, TASK))
        ready, is_stream, timeout_s = await body.read_by(_prepared, is_quick=is_quick)
    with one_key_each("request"):
        batch = await producer_of(request).enqueue(ready)
    del ready  # from here on no prompt is in memory
    waiting = server_of(request).waiting
    is_kept = label(request, KEY) is not None
    silent_s = min(server_of(request).silent_s, _usable_s(request) / 2)  # a stream's client waits for each event
    late = partial(_too_late, producer_of(request), batch.id, is_kept=is_kept)
    patience = _Patience(timeout_s=timeout_s, idle_s=server_of(request).idle_s, is_idle=partial(_is_idle, batch))
    with ExitStack() as until_end:
        end = waiting.end_of(batch.id, is_kept=is_kept, is_new=batch.is_new)
        until_end.callback(waiting.leave, end)
        answer = await _ended(request, end, silent_s if is_stream else patience.next_s())
        if answer is None and is_stream:
            until_end.pop_all()  # the stream leaves at its own end
            return _stream(_late_events(waiting, end, late, patience, silent_s=silent_s))
        while answer is None and not await patience.is_over():
            answer = await _ended(request, end, patience.next_s())
        if answer is None:
            raise await run_in_threadpool(late, patience.waited_s)
    if answer.turn is None:
        raise refusal_for(answer, is_kept=is_kept)
    if is_stream:
        return _stream(sse.events(answer.turn), headers=_headers(answer))
    return JSONResponse(dict(answer.turn), headers=_headers(answer))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Patience:
    """The time that a caller stands by: `timeout_s` in all, and `idle_s` while no call is in flight."""

    timeout_s: float
    idle_s: float
    is_idle: Callable[[], bool]
    began_s: float = field(default_factory=monotonic)

    @property
    def waited_s(self) -> float:
        """The seconds so far."""
        return monotonic() - self.began_s

    def next_s(self) -> float:
        """Return the seconds until the next look."""
        waited_s = self.waited_s
        look_s = self.idle_s - waited_s if waited_s < self.idle_s else _AGAIN_S
        return max(0.0, min(look_s, self.timeout_s - waited_s))

    async def is_over(self) -> bool:
        """Return whether the caller is to hear of a later time."""
        if self.waited_s >= self.timeout_s:
            return True
        return self.waited_s >= self.idle_s and await run_in_threadpool(self.is_idle)


def _is_idle(batch: Batch) -> bool:
    return not batch.progress().states.get(State.RUNNING)


def _prepared(request: Request, body: Body) -> tuple[LaidOut, bool, float]:
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


async def _ended(request: Request, end: asyncio.Future[Answer], timeout_s: float) -> Answer | None:
    """Wait for the end while the caller is there. Return None if the end is late."""
    gone = asyncio.create_task(_gone(request))
    either: set[asyncio.Future[Any]] = {end, gone}
    try:
        done, _ = await asyncio.wait(either, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
    if end in done:
        return end.result()
    if gone in done:
        raise Refusal(499, "you have gone")  # no client receives this error
    return None


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _stream(events: AsyncIterator[str] | Iterator[str], *, headers: dict[str, str] | None = None) -> StreamingResponse:
    never_kept = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers={**(headers or {}), **never_kept})


async def _late_events(
    waiting: Waiting,
    end: asyncio.Future[Answer],
    late: Callable[[float], Refusal],
    patience: _Patience,
    *,
    silent_s: float,
) -> AsyncIterator[str]:
    """Send pings until the end is there. An error is an event, since the status is sent by then."""
    try:
        while not end.done() and not await patience.is_over():
            yield sse.PING
            await asyncio.wait({end}, timeout=min(silent_s, max(0.0, patience.timeout_s - patience.waited_s)))
        refusal = None if end.done() else await run_in_threadpool(late, patience.waited_s)
        if refusal is None and (answer := end.result()).turn is not None:
            for event in sse.events(answer.turn):
                yield event
            return
        error = refusal or refusal_for(end.result(), is_kept=True)  # an event has no retry-after
        yield sse.written({"type": "error", "error": {"type": error.kind, "message": str(error)}})
    finally:
        waiting.leave(end)


def _too_late(producer: Producer, batch_id: str, waited_s: float, *, is_kept: bool) -> Refusal:
    """Return the error for an answer that is too late. The status is that of the limit which the job waits for.

    A client may send the request again by itself. To buy nothing twice, a request under a key is the same job. Without
    a key, a job that has not begun is cancelled.
    """
    waits = producer.store.waits.of_batch(batch_id, producer.models)
    is_free = is_kept or _is_ended_for_nothing(producer, batch_id)
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

"""POST /v1/messages: one prompt through the chain, ahead of all bulk, answered when its job has ended."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from functools import partial
from math import inf, nan
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from models.chain.deadline import stands_by_s
from models.errors import KeyConflictError
from models.job.answer import Answer
from models.job.task_kinds import JobTerms
from models.outcome import Outcome, State
from producer.client import Batch, Producer
from producer.prompt.prompt import Prompt
from producer.submit.accept import Checked
from producer.web.api import sse
from producer.web.http.await_jobs import Waiting
from producer.web.http.bodies import LARGEST_MESSAGE, Body, received
from producer.web.http.context import caller_of, producer_of, settings_of, waiting_of
from producer.web.http.errors import LATER_S, LIMITED, OVERLOADED, Refusal, refusal_for
from producer.web.http.labels import COST, DEPTH, JOB, KEY, MAX_COST, TASK, cap_of, label
from producer.web.http.params import checked, headers_of

_TIMEOUTS = ("x-stainless-timeout", "x-stainless-read-timeout")
_OF_LIMITS = frozenset({"limited", Outcome.RATE_LIMITED, Outcome.RAMP_LIMITED})
_AFTER_S = 1.0  # beyond its caller's patience a job is cancelled, before it expires
_SHARE = 0.9  # of the caller's own patience: an answer that comes after it is bought for nothing


async def create(request: Request) -> Response:
    """Take a Messages API request, wait for its job, and answer as the provider does."""
    caller = caller_of(request).name
    async with received(request, most_bytes=LARGEST_MESSAGE, caller=caller) as body:
        batch, is_stream, timeout_s = await body.read_by(_taken, body, request)  # from here on no prompt is in memory
    waiting = waiting_of(request)
    is_kept = _key(request) is not None
    silent_s = min(
        request.app.state.silent_s, _heard_s(request) / 2
    )  # with a stream, that patience is about each event
    late = partial(_too_late, producer_of(request), batch.id, timeout_s, is_kept=is_kept)
    with ExitStack() as until_end:
        end = waiting.end_of(batch.id, is_kept=is_kept)
        until_end.callback(waiting.leave, end)
        answer = await _ended(request, end, silent_s if is_stream else timeout_s)
        if answer is None and is_stream:
            until_end.pop_all()  # that stream leaves, at its own end
            return _stream(_late_events(waiting, end, late, timeout_s=timeout_s, silent_s=silent_s))
        if answer is None:
            raise await run_in_threadpool(late)
    if answer.turn is None:
        raise refusal_for(answer, is_kept=is_kept)
    if is_stream:
        return _stream(_at_once(answer), headers=_told(answer))
    return JSONResponse(dict(answer.turn), headers=_told(answer))


def _taken(body: Body, request: Request) -> tuple[Batch, bool, float]:
    """Queue the request of a body. Returns its batch, whether it is a stream, and the seconds that its caller waits."""
    given = body.object()
    is_stream = given.pop("stream", None) or False
    if not isinstance(is_stream, bool):
        raise Refusal(400, "stream: should be true or false")
    producer = producer_of(request)
    headers = headers_of(request)
    prompt = checked(given, id=None, models=producer.models, where="", headers=headers, fills_cache=True)
    longest_s = stands_by_s(prompt.request(), call_timeout_s=settings_of(request).call_timeout_s)
    timeout_s = longest_s if is_stream else min(longest_s, _heard_s(request))
    deadline_s = timeout_s + _AFTER_S if _key(request) is None else longest_s  # who comes back may wait
    return _submitted(producer, prompt, request, deadline_s), is_stream, timeout_s


def _submitted(producer: Producer, prompt: Prompt, request: Request, deadline_s: float) -> Batch:
    caller, key = caller_of(request), _key(request)
    try:
        return producer.submit(
            Checked([prompt]),
            task=label(request.headers.get(TASK), header=TASK),
            key=caller.own_key("message", key),
            tags=caller.batch_tags,
            max_cost_usd=cap_of(request.headers.get(MAX_COST)),
            urgent=True,
            terms=JobTerms(deadline_s=deadline_s),
        )
    except KeyConflictError:
        said = f"{KEY}: is that of another request of yours; send the same again, or choose another key"
        raise Refusal(409, said, is_for_good=True) from None


def _key(request: Request) -> str | None:
    return label(request.headers.get(KEY), header=KEY)


def _heard_s(request: Request) -> float:
    return _SHARE * _patience_s(request)


def _patience_s(request: Request) -> float:
    """Return the seconds after which the caller gives up, by the headers of the provider's SDKs.

    Of a total and a silence the shorter counts. A header without a number, such as the SDK's NOT_GIVEN, tells nothing.
    """
    return min(filter(lambda told: told > 0, map(_seconds, map(request.headers.get, _TIMEOUTS))), default=inf)


def _seconds(told: str | None) -> float:
    try:
        return float(told or "nan")
    except ValueError:
        return nan


async def _ended(request: Request, end: asyncio.Future[Answer], timeout_s: float) -> Answer | None:
    """Wait for the end, as long as the caller is there; None where it has not come in time."""
    gone = asyncio.create_task(_gone(request))
    either: set[asyncio.Future[Any]] = {end, gone}
    try:
        done, _ = await asyncio.wait(either, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
    if end in done:
        return end.result()
    if gone in done:
        raise Refusal(499, "you have gone")  # nobody hears it
    return None


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _stream(events: AsyncIterator[str], *, headers: dict[str, str] | None = None) -> StreamingResponse:
    never_kept = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers={**(headers or {}), **never_kept})


async def _at_once(answer: Answer) -> AsyncIterator[str]:
    for event in sse.events(answer.turn or {}):
        yield event


async def _late_events(
    waiting: Waiting,
    end: asyncio.Future[Answer],
    late: Callable[[], Refusal],
    *,
    timeout_s: float,
    silent_s: float,
) -> AsyncIterator[str]:
    """Ping until the end is there; what would have been a status is an error event by then."""
    clock = asyncio.get_running_loop().time
    until = clock() + timeout_s - silent_s
    try:
        while not end.done() and clock() < until:
            yield sse.PING
            await asyncio.wait({end}, timeout=min(silent_s, max(0.0, until - clock())))
        refusal = None if end.done() else await run_in_threadpool(late)
        if refusal is None and (answer := end.result()).turn is not None:
            async for event in _at_once(answer):
                yield event
            return
        told = refusal or refusal_for(end.result(), is_kept=True)  # an event tells nothing of another time
        yield sse.written({"type": "error", "error": {"type": told.kind, "message": str(told)}})
    finally:
        waiting.leave(end)


def _too_late(producer: Producer, batch_id: str, timeout_s: float, *, is_kept: bool) -> Refusal:
    """Word that no answer came in time, by what its job waits for; one that has not begun is cancelled first.

    Sent again by itself, it must not be bought twice: it is the same job under its key, or its job is cancelled.
    """
    waits = producer.store.waits.of_batch(batch_id, producer.models)
    is_free = is_kept or _is_ended_for_nothing(producer, batch_id)
    status = LIMITED if any(wait.reason in _OF_LIMITS for wait in waits) else OVERLOADED
    after_s = next((wait.next_in_s for wait in waits if wait.next_in_s), LATER_S)
    then = "sent again under its key, it is the same job" if is_kept else "a job that had not begun is cancelled"
    said = f"no answer within {timeout_s:g} s; {then}"
    return Refusal(status, said, is_for_good=not is_free, retry_after_s=after_s)


def _is_ended_for_nothing(producer: Producer, batch_id: str) -> bool:
    """Cancel a job that is not in flight. Returns True if it has ended, and nothing was bought for its end."""
    if producer.store.job_actions.cancel(batch_id, states=(State.QUEUED, State.WAITING))[0]:
        return True
    answer = producer.store.reports.settled([batch_id]).get(batch_id)
    return answer is not None and answer.state is State.FAILED and answer.cost_usd == 0


def _told(answer: Answer) -> dict[str, str]:
    told: dict[str, Any] = {DEPTH: answer.fallback_depth, COST: answer.cost_usd, JOB: answer.job_id}
    return {
        name: format(value, "f") if name == COST else str(value) for name, value in told.items() if value is not None
    }

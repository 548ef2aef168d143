"""POST /v1/messages: one prompt through the chain, ahead of all bulk, answered when its job has ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from models.answer import Answer
from models.deadline import stands_by_s
from models.errors import KeyConflictError
from models.kinds import JobTerms
from producer.client import Batch, Producer
from producer.files.load import Loaded
from producer.prompt import Prompt
from producer.web import sse
from producer.web.bodies import LARGEST_MESSAGE, Body, received
from producer.web.labels import COST, DEPTH, JOB, KEY, MAX_COST, TASK, cap_of, label
from producer.web.params import checked
from producer.web.refusal import Refusal, refusal_for
from producer.web.visit import caller_of, producer_of, settings_of, waiting_of
from producer.web.waiting import Waiting

_SHARE = 0.9  # of the caller's own patience: an answer that comes after it is bought for nothing


async def create(request: Request) -> Response:
    """Take a Messages API request, wait for its job, and answer as the provider does."""
    caller = caller_of(request).name
    async with received(request, most_bytes=LARGEST_MESSAGE, caller=caller) as body:
        batch, is_stream, timeout_s = await body.read_by(_taken, body, request)  # from here on no prompt is in memory
    waiting = waiting_of(request)
    until = asyncio.get_running_loop().time() + timeout_s
    silent_s: float = request.app.state.silent_s
    is_kept = _key(request) is not None
    with ExitStack() as until_end:
        end = waiting.end_of(batch.id, is_kept=is_kept)
        until_end.callback(waiting.leave, end)
        answer = await _ended(request, end, silent_s if is_stream else timeout_s)
        if answer is None and is_stream:
            until_end.pop_all()  # that stream leaves, at its own end
            refusal = _timed_out(timeout_s, is_kept=is_kept)
            return _stream(_late_events(waiting, end, refusal, until=until, silent_s=silent_s))
    if answer is None:
        raise _timed_out(timeout_s, is_kept=is_kept)
    if answer.message is None:
        raise refusal_for(answer)
    if is_stream:
        return _stream(_at_once(answer), headers=_told(answer))
    return JSONResponse(dict(answer.message), headers=_told(answer))


def _taken(body: Body, request: Request) -> tuple[Batch, bool, float]:
    """Queue the request of a body. Returns its batch, whether it is a stream, and the seconds that its caller waits."""
    given = body.object()
    is_stream = given.pop("stream", None) or False
    if not isinstance(is_stream, bool):
        raise Refusal(400, "stream: should be true or false")
    producer = producer_of(request)
    prompt = checked(given, id=None, models=producer.models, where="")
    longest_s = stands_by_s(prompt.request(), call_timeout_s=settings_of(request).call_timeout_s)
    timeout_s = longest_s if is_stream else _timeout_s(request, longest_s)
    deadline_s = max(1.0, timeout_s) if _key(request) is None else longest_s  # who comes back may wait
    return _submitted(producer, prompt, request, deadline_s), is_stream, timeout_s


def _submitted(producer: Producer, prompt: Prompt, request: Request, deadline_s: float) -> Batch:
    caller, key = caller_of(request), _key(request)
    try:
        return producer.submit(
            Loaded(prompts=[prompt], mistakes=[]),
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


def _timeout_s(request: Request, longest_s: float) -> float:
    """Return the seconds that the caller waits, by the SDK's header. With a stream, the header is about each event."""
    try:
        told = float(request.headers.get("x-stainless-timeout", "nan"))
    except ValueError:
        return longest_s
    return min(longest_s, _SHARE * told) if told > 0 else longest_s


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
    for event in sse.events(answer.message or {}):
        yield event


async def _late_events(
    waiting: Waiting, end: asyncio.Future[Answer], too_late: Refusal, *, until: float, silent_s: float
) -> AsyncIterator[str]:
    """Ping until the end is there; what would have been a status is an error event by then."""
    clock = asyncio.get_running_loop().time
    try:
        while not end.done() and clock() < until:
            yield sse.PING
            await asyncio.wait({end}, timeout=min(silent_s, max(0.0, until - clock())))
        refusal = None if end.done() else too_late
        if refusal is None and (answer := end.result()).message is not None:
            async for event in _at_once(answer):
                yield event
            return
        told = refusal or refusal_for(end.result())
        yield sse.written({"type": "error", "error": {"type": told.kind, "message": str(told)}})
    finally:
        waiting.leave(end)


def _timed_out(timeout_s: float, *, is_kept: bool) -> Refusal:
    then = "sent again under its key, it is the same job" if is_kept else "a job that had not begun is cancelled"
    return Refusal(504, f"no answer within {timeout_s:g} s; {then}", is_for_good=True)


def _told(answer: Answer) -> dict[str, str]:
    told: dict[str, Any] = {DEPTH: answer.fallback_depth, COST: answer.cost_usd, JOB: answer.job_id}
    return {
        name: format(value, "f") if name == COST else str(value) for name, value in told.items() if value is not None
    }

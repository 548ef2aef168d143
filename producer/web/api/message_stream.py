"""The answer of a message as a stream: live events of the provider's, and the rest from the ledger."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from models.errors import StepdownError
from models.job.answer import Answer
from models.queue.live_events import ALIVE_EVERY_S
from producer.web.api import sse
from producer.web.http.await_jobs import Patience
from producer.web.http.errors import Refusal, broken_off, refusal_for, refusal_of
from producer.web.http.live_streams import LiveStream

WORKER_LOST = "worker_lost"


def streamed(events: AsyncIterator[str] | Iterator[str], *, headers: dict[str, str] | None = None) -> StreamingResponse:
    """Return a response of events. No proxy may keep an event back."""
    never_kept = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers={**(headers or {}), **never_kept})


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageStream:
    """A stream whose status is sent before the end of its job. An error is an event.

    The client receives an event every `silent_s` seconds at least. `late` returns the error for an answer that is too
    late. `until_end` gives everything back.
    """

    job_id: str
    end: asyncio.Future[Answer]
    live: LiveStream
    late: Callable[[float], Refusal]
    patience: Patience
    silent_s: float
    until_end: ExitStack

    async def events(self) -> AsyncIterator[str]:
        """Yield live events, and pings in a silence. Then yield the rest of the answer that the ledger has."""
        sent = sse.SentMessage()
        self.end.add_done_callback(lambda _end: self.live.arrived.set())
        with self.until_end:
            if not self.live.has_begun:
                yield sse.PING
            while not self.end.done():
                for event in self.live.take():
                    if sent.pass_on(event):
                        yield sse.written(event)
                    if event["type"] == "error":  # the API's own, and the end of its stream
                        return
                if (refusal := await self._over()) is not None:
                    yield _error(refusal)
                    return
                if not await self._arrived():
                    yield sse.PING
            for text in self._rest(self.end.result(), sent):
                yield text

    async def _over(self) -> Refusal | None:
        """Return the error that ends the stream before its job."""
        if self.live.failed is not None or self.live.is_lost():
            return broken_off(self.live.failed or WORKER_LOST, self.job_id)
        has_time = self.live.has_begun and self.patience.waited_s < self.patience.timeout_s
        if not self.end.done() and not has_time and await self.patience.is_over():
            return await self._too_late()
        return None

    async def _too_late(self) -> Refusal:
        try:
            return await run_in_threadpool(self.late, self.patience.waited_s)
        except StepdownError as error:  # the client has a status already
            return refusal_of(error)

    async def _arrived(self) -> bool:
        """Wait for live events, for the end, or for the time of a ping. Return False for a ping."""
        left_s = max(0.0, self.patience.timeout_s - self.patience.waited_s)
        look_s = ALIVE_EVERY_S if self.live.has_begun else self.silent_s
        try:
            async with asyncio.timeout(min(self.silent_s, look_s, left_s)):
                await self.live.arrived.wait()
        except TimeoutError:
            return False
        return True

    def _rest(self, answer: Answer, sent: sse.SentMessage) -> Iterator[str]:
        if answer.turn is None:
            yield _error(refusal_for(answer, is_kept=True))  # an event has no retry-after
        elif not self.live.has_begun:
            yield from sse.events(answer.turn)
        elif (rest := sent.rest(answer.turn)) is not None:
            yield from rest
        else:
            yield _error(broken_off(answer.outcome or "", self.job_id))


def _error(refusal: Refusal) -> str:
    return sse.written({"type": "error", "error": {"type": refusal.kind, "message": str(refusal)}})

"""The events of streamed answers, as they come from the workers: in order, and without gaps."""

import asyncio
import json
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from models.queue.live_events import ALIVE_EVERY_S, ListenedJobs, ends_turn

_MOST_EVENTS = 5_000  # of one request whose client reads slowly: the rest of its answer comes from the ledger
_LOST_BEATS = 5  # of our own without a sign of life between them: Redis answers, and the worker is lost
_DELTA = "content_block_delta"


class LiveStream:
    """The events of one attempt: of the first one that has a delta. Events before a delta are held back.

    After a lost event no more events come. A turn that `is_whole` waits for the end of its job. `failed` is the outcome
    of an attempt that ended in the middle, and `depth` the fallback depth of the attempt.
    """

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.has_begun = False
        self.is_whole = False
        self.failed: str | None = None
        self.depth: int | None = None
        self.is_deaf = False  # the connection to Redis was lost: silence has no meaning
        self._events: deque[Mapping[str, Any]] = deque()
        self._attempt = ""
        self._next = 1
        self._silent_beats = 0

    def receive(self, message: Mapping[str, Any]) -> None:
        """Take a message of a worker."""
        self._silent_beats, attempt = 0, message.get("attempt")
        if attempt != self._attempt:
            if self.has_begun or message.get("number") != 1 or not isinstance(attempt, str):
                return  # another attempt cannot go on with the part that the client has
            self._attempt, self._next, self.depth = attempt, 1, message.get("depth")
            self.is_whole = False
            self._events.clear()
        self.is_whole = self.is_whole or ends_turn(message.get("event"))
        match message:
            case {"end": str(outcome)} if self.has_begun:  # else the status of the answer is not sent yet
                self.failed = outcome
                self.arrived.set()
            case {"number": int(number), "event": {"type": str(kind)} as event} if number == self._next:
                if len(self._events) >= _MOST_EVENTS:
                    return  # a gap: no later number fits
                self._next += 1
                self._events.append(event)
                self.has_begun = self.has_begun or kind == _DELTA
                if self.has_begun:
                    self.arrived.set()

    def add_beat(self) -> None:
        """Count a beat of our own: Redis answers, and the worker is silent."""
        self._silent_beats += 1

    def take(self) -> Iterator[Mapping[str, Any]]:
        """Yield the events that came, the oldest first."""
        self.arrived.clear()
        while self.has_begun and self._events:
            yield self._events.popleft()

    def is_lost(self) -> bool:
        """Return whether the worker that streams an answer is gone, with the answer in the middle."""
        is_awaited = self.has_begun and not self.is_whole
        return is_awaited and not self.is_deaf and self._silent_beats > _LOST_BEATS


class LiveStreams:
    """The streams of all requests of a server, by job."""

    def __init__(self, jobs: ListenedJobs) -> None:
        self._jobs = jobs
        self._streams: dict[str, list[LiveStream]] = {}

    @property
    def channel(self) -> str:
        """The channel of Redis with the messages for this server."""
        return self._jobs.channel

    async def open(self, job_id: str) -> LiveStream:
        """Return the stream of a job that is to be queued; pair with `leave`."""
        stream = LiveStream()
        self._streams.setdefault(job_id, []).append(stream)
        await self._jobs.announce(job_id)
        return stream

    def leave(self, job_id: str, stream: LiveStream) -> None:
        """Read a stream no longer."""
        self._streams[job_id].remove(stream)
        if not self._streams[job_id]:
            del self._streams[job_id]

    def receive(self, text: str) -> None:
        """Hand a message to all who read the job's stream. Other programs may send anything."""
        with suppress(ValueError, RecursionError):
            message = json.loads(text)
            match message:
                case {"beat": _}:
                    for streams in self._streams.values():
                        for stream in streams:
                            stream.add_beat()
                case {"job": str(job_id)}:
                    for stream in self._streams.get(job_id, ()):
                        stream.receive(message)

    async def beat(self) -> None:
        """Send our own beats for ever: the silence of a frozen Redis is not that of a worker."""
        while True:
            if self._streams:
                await self._jobs.beat()
            await asyncio.sleep(ALIVE_EVERY_S)

    def deafen(self) -> None:
        """Record that messages may be lost."""
        for streams in self._streams.values():
            for stream in streams:
                stream.is_deaf = True

    async def close(self) -> None:
        """Close the connection to Redis."""
        await self._jobs.close()

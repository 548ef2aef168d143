"""Receives a request's body at a minimum rate, in a slot of its caller. A large body is on disk."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from reprlib import repr as shown
from tempfile import SpooledTemporaryFile
from typing import IO, Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from producer.web.http.context import caller_of
from producer.web.http.errors import Refusal
from producer.web.http.limits import Slots
from producer.web.http.scan import Scan, Scanned, parsed

_MB = 1024 * 1024
LARGEST_MESSAGE, LARGEST_BATCH = 32 * _MB, 256 * _MB
MOST_PROMPTS = 100_000  # in a batch
_LARGE = 256 * 1024  # bytes: a larger body is on disk, and the only large body of its caller that is read
_SMALL = 16 * 1024  # bytes: read in a millisecond
_QUICK_S = 1.0  # a slower body takes a slot, as a large body does
_SKIPPED_S = 1.0  # the rest of a refused body is read for so long: a client that still sends reads no answer

_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The slowest body: its longest silence, a start without a rate, then `slowest` bytes a second, and its time."""

    silent_s: float = 15.0
    grace_s: float = 20.0
    slowest: int = 32 * 1024
    longest_s: float = 900.0

    def left_s(self, *, received: int, waited_s: float) -> float:
        """Return the seconds that the next piece may take."""
        return min(self.silent_s, min(self.longest_s, self.grace_s + received / self.slowest) - waited_s)


@dataclass(slots=True, kw_only=True)
class BodyLimits:
    """The limits of all bodies of a server: the pace, the slots of arriving bodies, and those of reading."""

    pace: Pace = field(default_factory=Pace)
    arriving: Slots = field(
        default_factory=lambda: Slots(what="large or slow bodies", per_caller=8, in_all=64, patience_s=10.0)
    )
    reading: Slots = field(default_factory=lambda: Slots(what="large bodies", per_caller=1, in_all=2, patience_s=120.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A whole body, in a file without a name."""

    request: Request
    file: IO[bytes]
    size: int

    async def read_by(self, read: Callable[[Request, "Body"], _Made], *, is_quick: bool = False) -> _Made:
        """Call `read` in a thread, or here for a small body if `read` is quick and waits for nothing.

        At most two large bodies, and one of each caller, are read at once.
        """
        if is_quick and self.size <= _SMALL:
            return read(self.request, self)
        async with AsyncExitStack() as until_end:
            if self.size > _LARGE:
                limits: BodyLimits = self.request.app.state.body_limits
                await until_end.enter_async_context(limits.reading.slot(caller_of(self.request).name))
            return await run_in_threadpool(read, self.request, self)

    def object(self) -> dict[str, Any]:
        """Read the whole body as an object. Raises Refusal."""
        return _object(Scan(self.file).run(), "the body")

    def listed(self, name: str) -> tuple[dict[str, Any], Scanned]:
        """Read an object and, apart from the object, the items of its large list `name`. Raises Refusal."""
        scanned = Scan(self.file, listed=name, most_items=MOST_PROMPTS).run()
        given = _object(scanned, f"the body without its {name}" if scanned.ends else "the body")
        if isinstance(given.get(name), list) and given[name]:
            raise Refusal(400, f"{name}: its name should be written without escapes")
        return given, scanned


@asynccontextmanager
async def received(request: Request, most_bytes: int) -> AsyncIterator[Body]:
    """Receive a body for a block.

    Raises Refusal: 413 above `most_bytes`, 408 for too slow a body, 429 and 503 without a free slot.
    """
    if (encoding := request.headers.get("content-encoding", "identity")) != "identity":
        raise Refusal(400, f"content-encoding: {shown(encoding)} is not taken; send the body as it is")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > most_bytes:
        raise _too_large(most_bytes)
    async with AsyncExitStack() as until_end:
        file = until_end.enter_context(SpooledTemporaryFile(max_size=_LARGE))  # noqa: SIM115 - the stack closes it
        arrival = _Arrival(request=request, limits=request.app.state.body_limits, file=file)
        try:
            await arrival.run(most_bytes, until_end)
        except Refusal:
            await _skip(request)
            raise
        yield Body(request=request, file=file, size=arrival.size)


@dataclass(slots=True, kw_only=True)
class _Arrival:
    request: Request
    limits: BodyLimits
    file: "SpooledTemporaryFile[bytes]"
    size: int = 0
    waited_s: float = 0.0
    has_slot: bool = False

    async def run(self, most_bytes: int, until_end: AsyncExitStack) -> None:
        """Put the body into the file, piece by piece. The time of our own writes does not count."""
        is_whole = False
        while not is_whole:
            message = await self._piece()
            if message is not None:
                part = message.get("body", b"")
                self.size += len(part)
                if self.size > most_bytes:
                    raise _too_large(most_bytes)
                is_whole = not message.get("more_body", False)
                await self._write(part)
            if not self.has_slot and (self.size > _LARGE or (self.waited_s >= _QUICK_S and not is_whole)):
                await until_end.enter_async_context(self.limits.arriving.slot(caller_of(self.request).name))
                self.has_slot = True

    async def _piece(self) -> Any:
        """Wait for a piece. Return None once the body is slow and needs a slot. Raises Refusal at the deadline."""
        clock, pace = asyncio.get_running_loop().time, self.limits.pace
        left_s = pace.left_s(received=self.size, waited_s=self.waited_s)
        soon_s = left_s if self.has_slot else min(left_s, max(0.0, _QUICK_S - self.waited_s))
        began = clock()
        try:
            async with asyncio.timeout(soon_s):
                message = await self.request.receive()
        except TimeoutError:
            self.waited_s += max(clock() - began, soon_s)
            if soon_s < left_s:
                return None
            raise self._too_slow() from None
        self.waited_s += clock() - began
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        return message

    async def _write(self, part: bytes) -> None:
        try:
            if self.size <= _LARGE:
                self.file.write(part)
            else:
                await run_in_threadpool(self.file.write, part)
        except OSError as error:
            problem = f"this server has no room for the body ({os.strerror(error.errno or 0)}); send it again later"
            raise Refusal(503, problem, retry_after_s=60, hangs_up=True) from None

    def _too_slow(self) -> Refusal:
        pace = self.limits.pace
        problem = f"{self.size:,} bytes of the body came within {self.waited_s:.0f} s"
        fix = f"send at least {pace.slowest:,} bytes a second, and pause for {pace.silent_s:g} s at most"
        return Refusal(408, f"{problem}; {fix}", hangs_up=True)


async def _skip(request: Request) -> None:
    """Read and drop the rest of the body that comes at once."""
    try:
        async with asyncio.timeout(_SKIPPED_S):
            async for _ in request.stream():
                pass
    except (TimeoutError, ClientDisconnect):
        return


def _too_large(most_bytes: int) -> Refusal:
    return Refusal(413, f"the body is larger than {most_bytes // _MB} MB", hangs_up=True)


def _object(scanned: Scanned, where: str) -> dict[str, Any]:
    value = parsed(scanned.frame, where)
    if not isinstance(value, dict):
        raise Refusal(400, "the body should be a JSON object")
    return value

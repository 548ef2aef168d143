"""The event loop of a process, in a thread of its own. Each job is a coroutine on this loop."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import Any, Generic, TypeVar

from uvloop import new_event_loop

T = TypeVar("T")
_Settled = tuple["asyncio.Future[Any]", Any, Exception | None]
_inboxes: dict[asyncio.AbstractEventLoop, "_Inbox"] = {}


class LoopThread:
    """Runs coroutines in one thread, for callers in other threads."""

    def __init__(self) -> None:
        self._loop = new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="loop", daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine. The future has its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine, and return its result."""
        return self.submit(work).result()

    def close(self, *at_end: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Cancel all coroutines, run those of `at_end`, and end the loop.

        Does nothing in a forked child, in which the loop has no thread.
        """
        if not self._thread.is_alive():
            return
        self.run(self._cancel_all())
        for work in at_end:
            self.run(work())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_default_executor()


class _Inbox:
    """The replies of other threads to a loop. The replies of one moment wake the loop once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._wake = loop.call_soon_threadsafe
        self._settled: deque[_Settled] = deque()
        self._is_woken = False

    def put(self, settled: _Settled) -> None:
        """Add a reply, in any thread."""
        self._settled.append(settled)
        if not self._is_woken:
            self._is_woken = True
            with suppress(RuntimeError):  # the loop is closed, and its coroutines have ended
                self._wake(self._settle)

    def _settle(self) -> None:
        self._is_woken = False  # a reply that comes now is settled below, or wakes the loop again
        while self._settled:
            future, result, error = self._settled.popleft()
            if future.done():  # its job was cancelled
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)


class LoopReply(Generic[T]):
    """The reply of another thread to the coroutine that awaits the reply."""

    __slots__ = ("_future", "_inbox")

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        inbox = _inboxes.get(loop)
        if inbox is None:
            for closed in [known for known in _inboxes if known.is_closed()]:
                del _inboxes[closed]
            inbox = _inboxes[loop] = _Inbox(loop)
        self._inbox, self._future = inbox, loop.create_future()

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for the result. Raises the error."""
        return self._future.__await__()

    def set_result(self, result: T) -> None:
        """Give the result, in any thread."""
        self._inbox.put((self._future, result, None))

    def set_exception(self, error: Exception) -> None:
        """Give the error, in any thread."""
        self._inbox.put((self._future, None, error))

"""The event loop of a process, in a thread of its own. Each job is a coroutine on this loop."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from threading import Thread
from typing import Any, TypeVar

from uvloop import new_event_loop

T = TypeVar("T")


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

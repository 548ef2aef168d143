"""A thread that works on whatever waits, as one group. Many items share one commit, one sync or one round trip.

A reply takes the result of an item, in a thread or in an event loop.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import InvalidStateError
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, Generic, Protocol, TypeVar

_MOST = 100  # items of one group: others wait for its locks
_IDLE_S = 2.0  # then the thread ends

T = TypeVar("T")
Item = TypeVar("Item")
Given_contra = TypeVar("Given_contra", contravariant=True)
_Settled = tuple["asyncio.Future[Any]", Any, Exception | None]
_inboxes: dict[asyncio.AbstractEventLoop, "_Inbox"] = {}


class Reply(Protocol[Given_contra]):
    """Takes the result or the error of an item, once, from the group's thread. A Future is one."""

    def set_result(self, result: Given_contra) -> object:
        """Give the result."""

    def set_exception(self, error: Exception) -> object:
        """Give the error."""


class GroupThread(Generic[Item]):
    """Calls `work` with the items that wait, the oldest first, in one thread.

    Each item has a reply. An error of `work` goes to all replies of the group that have no result. The thread starts
    with the first item, and ends after a silence. A forked child starts its own thread.
    """

    def __init__(self, work: Callable[[Sequence[tuple[Item, Reply[Any]]]], object], *, name: str) -> None:
        self._work = work
        self._name = name
        self._waiting: SimpleQueue[tuple[Item, Reply[Any]]] = SimpleQueue()
        self._starting = Lock()
        self._thread: Thread | None = None

    @property
    def waiting(self) -> int:
        """Return the number of items that wait, without those of the present group."""
        return self._waiting.qsize()

    def put(self, item: Item, reply: Reply[Any]) -> None:
        """Add an item to the next group."""
        with self._starting:
            self._waiting.put((item, reply))
            if self._thread is None or not self._thread.is_alive():
                self._thread = Thread(target=self._work_all, name=self._name, daemon=True)
                self._thread.start()

    def _work_all(self) -> None:
        while group := self._next_group():
            try:
                self._work(group)
            except Exception as error:  # noqa: BLE001 - the error belongs to the callers; the thread goes on
                for _, reply in group:
                    with suppress(InvalidStateError):  # this one has its result
                        reply.set_exception(error)

    def _next_group(self) -> list[tuple[Item, Reply[Any]]]:
        """Return the items that wait. Returns none after a silence: the thread ends."""
        try:
            group = [self._waiting.get(timeout=_IDLE_S)]
        except Empty:
            with self._starting:
                if self._waiting.empty():
                    self._thread = None
                    return []
            return self._next_group()
        while len(group) < _MOST and not self._waiting.empty():  # this thread alone takes from the queue
            group.append(self._waiting.get())
        return group


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

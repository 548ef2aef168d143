"""A thread that works on whatever waits, as one group. Many items share one commit, one sync or one round trip."""

from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Generic, Protocol, TypeVar

_MOST = 100  # items of one group: others wait for its locks
_IDLE_S = 2.0  # then the thread ends

Item = TypeVar("Item")
Given_contra = TypeVar("Given_contra", contravariant=True)


class Reply(Protocol[Given_contra]):
    """Takes the result or the error of an item, once, from the group's thread. A Future is one."""

    def set_result(self, result: Given_contra) -> object:
        """Give the result."""

    def set_exception(self, error: Exception) -> object:
        """Give the error."""


class GroupThread(Generic[Item]):
    """Calls `work` with the items that wait, the oldest first, in one thread. `work` raises no error.

    The thread starts with the first item, and ends after a silence. A forked child starts its own thread.
    """

    def __init__(self, work: Callable[[Sequence[Item]], object], *, name: str) -> None:
        self._work = work
        self._name = name
        self._waiting: SimpleQueue[Item] = SimpleQueue()
        self._starting = Lock()
        self._thread: Thread | None = None

    def put(self, item: Item) -> None:
        """Add an item to the next group."""
        with self._starting:
            self._waiting.put(item)
            if self._thread is None or not self._thread.is_alive():
                self._thread = Thread(target=self._work_all, name=self._name, daemon=True)
                self._thread.start()

    def _work_all(self) -> None:
        while group := self._next_group():
            self._work(group)

    def _next_group(self) -> list[Item]:
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

"""Coroutines in tests without a loop of their own: blocking fakes that a walk awaits, and the end of a coroutine."""

from asyncio import Runner
from collections.abc import Awaitable, Callable, Collection, Coroutine
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")
_RUNNER = Runner()  # of all coroutines of this process: a loop of its own costs each walk half a millisecond


class Awaited:
    """A collaborator whose blocking methods the walk awaits, but for the `plain` ones."""

    def __init__(self, blocking: object, plain: Collection[str] = ()) -> None:
        self._blocking = blocking
        self._plain = plain

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        """Wrap a method."""
        if name in self._plain:
            return getattr(self._blocking, name)  # type: ignore[no-any-return]
        return partial(directly, getattr(self._blocking, name))


async def directly(function: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """Call a function, on the loop's own thread."""
    return function(*given, **named)


async def asleep(_seconds: float) -> None:
    """Sleep no time."""


def finished(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end."""
    return _RUNNER.run(work)


def awaited(blocking: object, *plain: str) -> Any:
    """Have the walk await a collaborator's blocking methods, but for the `plain` ones."""
    return Awaited(blocking, plain)

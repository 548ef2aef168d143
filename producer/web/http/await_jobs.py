"""Waits for the ends of many jobs at once: one query of the ledger serves all requests that wait."""

import asyncio
import logging
import traceback
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from starlette.concurrency import run_in_threadpool

from models.errors import LedgerError
from models.job.answer import Answer

_LOOK_EVERY_S = 0.5  # for an end without a signal, such as one whose signal was lost
_AGAIN_S = 5.0  # between looks at a job that has kept its caller waiting
_AT_ONCE = 500
_EARLY = 1000

_log = logging.getLogger("stepdown.serve")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """The time that a caller stands by: `timeout_s` in all, and `idle_s` while no call is in flight."""

    timeout_s: float
    idle_s: float
    is_idle: Callable[[], bool]
    began_s: float = field(default_factory=monotonic)

    @property
    def waited_s(self) -> float:
        """The seconds so far."""
        return monotonic() - self.began_s

    def next_s(self) -> float:
        """Return the seconds until the next look."""
        waited_s = self.waited_s
        look_s = self.idle_s - waited_s if waited_s < self.idle_s else _AGAIN_S
        return max(0.0, min(look_s, self.timeout_s - waited_s))

    async def is_over(self) -> bool:
        """Return whether the caller is to hear of a later time. A ledger that is away ends no wait."""
        if self.waited_s >= self.timeout_s:
            return True
        with suppress(LedgerError):
            return self.waited_s >= self.idle_s and await run_in_threadpool(self.is_idle)
        return False


class Waiting:
    """The requests that wait for batches of one job. Several may wait for the same batch.

    A `signal` has a batch looked at. `settled` reads the answers of ended batches. `let_go` cancels a batch without a
    waiting request. Both run in a thread, and run again if the ledger is away.
    """

    def __init__(
        self, *, settled: Callable[[Sequence[str]], Mapping[str, Answer]], let_go: Callable[[str], Any]
    ) -> None:
        self._settled = settled
        self._let_go = let_go
        self._ends: dict[asyncio.Future[Answer], tuple[str, bool]] = {}  # batch_id, is_kept
        self._left: list[str] = []
        self._called, self._signalled = asyncio.Event(), asyncio.Event()
        self._waited_for: Counter[str] = Counter()
        self._to_look_at: set[str] = set()
        self._early: deque[str] = deque(maxlen=_EARLY)  # signals that came before their caller waited

    def end_of(self, batch_id: str, *, is_kept: bool, is_new: bool = True) -> asyncio.Future[Answer]:
        """Return a future for the answer of a batch; pair with `leave`. A batch that `is_kept` is never let go.

        A batch that is not new may have ended long ago.
        """
        end: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._ends[end] = (batch_id, is_kept)
        self._waited_for[batch_id] += 1
        self._called.set()
        if not is_new or batch_id in self._early:
            self.signal(batch_id)
        return end

    def signal(self, batch_id: str | None) -> None:
        """Look for the end of a batch now; of all batches for None."""
        if batch_id is not None and batch_id not in self._waited_for:
            self._early.append(batch_id)
        ended = {batch_id} if batch_id is not None else self._waited_for.keys()
        self._to_look_at |= ended & self._waited_for.keys()
        if self._to_look_at:
            self._signalled.set()

    def leave(self, end: asyncio.Future[Answer]) -> None:
        """Wait no longer. A batch that has not ended is let go, unless kept."""
        batch_id, is_kept = self._ends.pop(end, ("", True))
        self._waited_for -= Counter([batch_id])
        if end.cancel() and not is_kept:
            self._left.append(batch_id)
            self._called.set()
            self._signalled.set()

    async def run(self) -> None:
        """Look until cancelled. Then let go of the batches that are left."""
        try:
            while True:
                await self._called.wait()
                await self._look()
                try:
                    async with asyncio.timeout(_LOOK_EVERY_S):
                        await self._signalled.wait()
                except TimeoutError:
                    self.signal(None)
        finally:
            for end in [*self._ends]:
                self.leave(end)
            await self._look()

    async def _look(self) -> None:
        self._signalled.clear()
        try:
            ids = sorted(self._to_look_at & {batch_id for end, (batch_id, _) in self._ends.items() if not end.done()})
            self._to_look_at.clear()
            for start in range(0, len(ids), _AT_ONCE):
                settled = await run_in_threadpool(self._settled, ids[start : start + _AT_ONCE])
                for end, (batch_id, _) in self._ends.items():
                    if batch_id in settled and not end.done():
                        end.set_result(settled[batch_id])
            while self._left:
                await self._let_one_go()
        except LedgerError:  # each request has its own deadline; the next look is for all
            return
        except Exception as error:  # noqa: BLE001 - else no request would get its answer any more
            _log.error(
                "a look for ends failed: %s at %s", type(error).__name__, traceback.format_tb(error.__traceback__)[-1]
            )
            return
        if not any(not end.done() for end in self._ends) and not self._left:
            self._called.clear()

    async def _let_one_go(self) -> None:
        try:
            await run_in_threadpool(self._let_go, self._left[0])
        except LedgerError:
            raise
        except Exception:  # the same call would fail again
            del self._left[0]
            raise
        del self._left[0]

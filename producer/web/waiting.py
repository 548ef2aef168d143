"""Waits for the ends of many jobs at once: one look into the ledger for all who wait, not one each."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool

from models.answer import Answer
from models.errors import LedgerError

_LOOK_EVERY_S = 0.05  # somebody stands by
_AT_ONCE = 500


class Waiting:
    """Who waits for which batch of one job.

    `settled` reads the answers of those batches that have ended, `let_go` gives up a batch that nobody waits for any
    more. Both are asked beside the event loop, and again where the ledger is away.
    """

    def __init__(
        self, *, settled: Callable[[Sequence[str]], Mapping[str, Answer]], let_go: Callable[[str], Any]
    ) -> None:
        self._settled = settled
        self._let_go = let_go
        self._ends: dict[str, asyncio.Future[Answer]] = {}
        self._left: list[str] = []
        self._called = asyncio.Event()

    def end_of(self, batch_id: str) -> asyncio.Future[Answer]:
        """Wait for a batch; pair it with `leave`."""
        end = self._ends[batch_id] = asyncio.get_running_loop().create_future()
        self._called.set()
        return end

    def leave(self, batch_id: str) -> None:
        """Wait no longer; a batch that has not ended is let go of."""
        end = self._ends.pop(batch_id, None)
        if end is not None and not end.done():
            end.cancel()
            self._left.append(batch_id)
            self._called.set()

    async def run(self) -> None:
        """Look until cancelled; then let go of what is left."""
        try:
            while True:
                await self._called.wait()
                await self._look()
                await asyncio.sleep(_LOOK_EVERY_S)
        finally:
            for batch_id in [*self._ends]:
                self.leave(batch_id)
            await self._look()

    async def _look(self) -> None:
        try:
            while self._left:
                await run_in_threadpool(self._let_go, self._left[0])
                del self._left[0]
            for some in _parts(self._open()):
                for batch_id, answer in (await run_in_threadpool(self._settled, some)).items():
                    end = self._ends.get(batch_id)
                    if end is not None and not end.done():
                        end.set_result(answer)
        except LedgerError:  # whoever waits has a time of his own
            return
        if not self._open() and not self._left:
            self._called.clear()

    def _open(self) -> list[str]:
        return [batch_id for batch_id, end in self._ends.items() if not end.done()]


def _parts(ids: list[str]) -> list[list[str]]:
    return [ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)]

"""Bounds how many large things are in hand at once, of one caller and of all: nobody takes the room of another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from producer.web.http.errors import Refusal

_AGAIN_S = 5


@dataclass(slots=True, kw_only=True)
class Lanes:
    """Places for `what`: `of_one` caller, and `of_all`. Who finds none free waits up to `patience_s` seconds."""

    what: str
    of_one: int
    of_all: int
    patience_s: float
    _own: dict[str, asyncio.Semaphore] = field(default_factory=dict)
    _all: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._all = asyncio.Semaphore(self.of_all)

    @asynccontextmanager
    async def place(self, caller: str) -> AsyncIterator[None]:
        """Hold a place for a block. Raises Refusal: 429 where the caller has no more, 503 where nobody has."""
        own = self._own.setdefault(caller, asyncio.Semaphore(self.of_one))
        full = partial(Refusal, retry_after_s=_AGAIN_S, hangs_up=True)
        of_yours = f"{self.of_one} {self.what} of yours are in hand already; send one when another has ended"
        of_all = f"this server has {self.of_all} {self.what} in hand already; send it again later"
        async with AsyncExitStack() as until_end:
            for lane, refusal in (own, full(429, of_yours)), (self._all, full(503, of_all)):
                await self._take(lane, refusal)
                until_end.callback(lane.release)
            yield

    async def _take(self, lane: asyncio.Semaphore, full: Refusal) -> None:
        try:
            async with asyncio.timeout(self.patience_s):
                await lane.acquire()
        except TimeoutError:
            raise full from None

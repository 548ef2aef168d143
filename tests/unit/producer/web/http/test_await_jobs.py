"""Many wait for the ends of their jobs, and one look into the ledger serves them all."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from models.errors import LedgerError
from models.job.answer import Answer
from models.outcome import State
from producer.web.http.await_jobs import Waiting


@dataclass(slots=True)
class Ledger:
    """Tells what has ended, or fails as often as it is to."""

    ended: dict[str, Answer] = field(default_factory=dict)
    failures: list[Exception] = field(default_factory=list)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    let_go: list[str] = field(default_factory=list)
    refusals: list[Exception] = field(default_factory=list)

    def settled(self, batch_ids: Sequence[str]) -> Mapping[str, Answer]:
        """Tell those that have ended."""
        self.asked.append(tuple(batch_ids))
        if self.failures:
            raise self.failures.pop()
        return {batch_id: self.ended[batch_id] for batch_id in batch_ids if batch_id in self.ended}

    def leave(self, batch_id: str) -> None:
        """Let go of a batch."""
        if self.refusals:
            raise self.refusals.pop()
        self.let_go.append(batch_id)


def _answer(batch_id: str) -> Answer:
    return Answer(id="1", job_id=batch_id, state=State.SUCCEEDED)


@asynccontextmanager
async def _looking(ledger: Ledger) -> AsyncIterator[Waiting]:
    waiting = Waiting(settled=ledger.settled, let_go=ledger.leave)
    looking = asyncio.create_task(waiting.run())
    try:
        yield waiting
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


def test_while_the_ledger_is_away_those_who_wait_are_not_let_go() -> None:
    ledger = Ledger(ended={"a": _answer("a"), "b": _answer("b")}, failures=[LedgerError("away")] * 2)

    async def wait() -> list[Answer]:
        async with _looking(ledger) as waiting:
            ends = [waiting.end_of("a", is_kept=False), waiting.end_of("b", is_kept=False)]
            return await asyncio.wait_for(asyncio.gather(*ends), timeout=5)

    assert asyncio.run(wait()) == [_answer("a"), _answer("b")]
    assert (ledger.asked[-1], ledger.let_go) == (("a", "b"), [])


def test_a_look_that_fails_for_a_mistake_of_ours_is_not_the_last(caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger(ended={"a": _answer("a")}, failures=[KeyError("a word of a prompt")])

    async def wait() -> Answer:
        async with _looking(ledger) as waiting:
            return await asyncio.wait_for(waiting.end_of("a", is_kept=False), timeout=5)

    assert asyncio.run(wait()) == _answer("a")
    assert "a look for ends failed: KeyError" in caplog.text
    assert "a word of" not in caplog.text


def test_an_end_that_is_known_is_not_looked_for_again() -> None:
    ledger = Ledger(ended={"a": _answer("a")})

    async def wait() -> None:
        async with _looking(ledger) as waiting:
            await waiting.end_of("a", is_kept=False)  # and whoever waited for it has not left yet
            late = waiting.end_of("b", is_kept=False)
            ledger.ended["b"] = _answer("b")
            await asyncio.wait_for(late, timeout=5)

    asyncio.run(wait())
    assert ledger.asked == [("a",), ("b",)]
    assert ledger.let_go == []


@pytest.mark.parametrize(("refusal", "let_go"), [(LedgerError("away"), ["a"]), (KeyError("a"), [])])
def test_a_batch_that_cannot_be_let_go_of_keeps_nobody_from_his_end(refusal: Exception, let_go: list[str]) -> None:
    ledger = Ledger(ended={"b": _answer("b"), "c": _answer("c")}, refusals=[refusal])

    async def wait() -> None:
        async with _looking(ledger) as waiting:
            waiting.leave(waiting.end_of("a", is_kept=False))
            for batch_id in ("b", "c"):
                end = waiting.end_of(batch_id, is_kept=False)
                await asyncio.wait_for(end, timeout=5)
                waiting.leave(end)

    asyncio.run(wait())
    assert ledger.let_go == let_go, "again where the ledger was away, and not for ever"

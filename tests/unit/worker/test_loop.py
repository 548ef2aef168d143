"""The loop in a thread of its own, and the replies of other threads to its coroutines."""

import asyncio
import threading
from collections.abc import Iterator
from threading import Thread

import pytest

from models.database.group_thread import LoopReply, _inboxes
from worker.loop import LoopThread


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    """Lend a loop to one test."""
    loop = LoopThread()
    yield loop
    loop.close()


async def _replied(thread_of: list[Thread], *, error: Exception | None = None) -> int:
    reply = LoopReply[int]()
    settle = (lambda: reply.set_result(7)) if error is None else (lambda: reply.set_exception(error))
    thread_of.append(Thread(target=settle))
    thread_of[-1].start()
    return await reply


def test_a_reply_of_another_thread_ends_the_wait(loop: LoopThread) -> None:
    threads: list[Thread] = []
    assert loop.run(_replied(threads)) == 7
    with pytest.raises(LookupError, match="nothing there"):
        loop.run(_replied(threads, error=LookupError("nothing there")))


def test_many_replies_of_one_moment_each_reach_their_coroutine(loop: LoopThread) -> None:
    async def all_of_them() -> list[int]:
        replies = [LoopReply[int]() for _ in range(1000)]

        def settle() -> None:
            for number, reply in enumerate(replies):
                reply.set_result(number)

        Thread(target=settle).start()
        return [await reply for reply in replies]

    assert loop.run(all_of_them()) == list(range(1000))


def test_a_reply_to_a_coroutine_that_was_cancelled_is_dropped(loop: LoopThread) -> None:
    async def cancelled() -> LoopReply[int]:
        reply = LoopReply[int]()
        waiting = asyncio.ensure_future(_waiting(reply))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return reply

    async def _waiting(reply: LoopReply[int]) -> int:
        return await reply

    reply = loop.run(cancelled())
    reply.set_result(1)
    assert loop.run(_replied([])) == 7  # the loop goes on


def test_a_reply_to_a_loop_that_is_closed_is_dropped_and_its_inbox_with_it() -> None:
    async def reply() -> LoopReply[int]:
        return LoopReply[int]()

    late = asyncio.run(reply())
    late.set_result(1)
    asyncio.run(reply())
    assert len([loop for loop in _inboxes if loop.is_closed()]) == 1  # of the last run alone


def test_closing_cancels_what_runs_then_does_what_is_left_and_ends_the_thread() -> None:
    before = set(threading.enumerate())
    loop, order = LoopThread(), list[str]()

    async def endless() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            order.append("cancelled")

    async def at_end() -> None:
        order.append("closed")

    running = loop.submit(endless())
    loop.run(asyncio.sleep(0.01))
    loop.close(at_end)
    assert running.cancelled()
    assert order == ["cancelled", "closed"]
    assert set(threading.enumerate()) <= before

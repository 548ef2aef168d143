"""One thread for whatever waits. No error of its work leaves a caller without an end."""

from collections.abc import Sequence
from concurrent.futures import Future
from threading import Event
from typing import Any

import pytest

from models.database.group_thread import GroupThread, Reply

_Group = Sequence[tuple[int, Reply[Any]]]
_WITHIN_S = 30


def test_items_that_wait_are_one_group_in_their_order() -> None:
    groups: list[list[int]] = []
    may_go = Event()

    def work(group: _Group) -> None:
        may_go.wait(_WITHIN_S)
        groups.append([item for item, _ in group])
        for item, reply in group:
            reply.set_result(item * 2)

    thread = GroupThread(work, name="test")
    replies = [Future[int]() for _ in range(5)]
    for item, reply in enumerate(replies):
        thread.put(item, reply)
    may_go.set()
    assert [reply.result(_WITHIN_S) for reply in replies] == [0, 2, 4, 6, 8]
    assert [item for group in groups for item in group] == [0, 1, 2, 3, 4]
    assert len(groups) <= 2  # the first may have gone alone


def test_an_error_of_the_work_ends_the_wait_of_each_without_a_result_and_the_thread_goes_on() -> None:
    def work(group: _Group) -> None:
        for item, reply in group:
            if item == 0:
                raise LookupError("item 0")
            reply.set_result(item)

    thread, ready = GroupThread(work, name="test"), Future[int]()
    thread.put(7, ready)
    failing = Future[int]()
    thread.put(0, failing)
    with pytest.raises(LookupError, match="item 0"):
        failing.result(_WITHIN_S)
    assert ready.result(_WITHIN_S) == 7
    after = Future[int]()
    thread.put(8, after)
    assert after.result(_WITHIN_S) == 8

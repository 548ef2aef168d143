"""The live events of one request: in order, of one attempt, without gaps, and never more than fit."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from models.queue.live_events import ListenedJobs
from producer.web.http.live_streams import LiveStream, LiveStreams

_START: dict[str, Any] = {"type": "message_start", "message": {"id": "msg_1"}}
_BLOCK: dict[str, Any] = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}


def _delta(text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def _numbered(attempt: str, *events: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for number, event in enumerate(events, start=1):
        yield {"job": "j", "attempt": attempt, "number": number, "event": event}


def _received(*messages: dict[str, Any]) -> LiveStream:
    stream = LiveStream()
    for message in messages:
        stream.receive(message)
    return stream


def test_events_before_a_delta_are_held_back_for_a_fallback() -> None:
    stream = _received(*_numbered("a", _START, _BLOCK))
    assert (stream.has_begun, stream.arrived.is_set(), [*stream.take()]) == (False, False, [])
    for message in _numbered("b", _START, _BLOCK, _delta("x")):
        stream.receive(message)
    assert (stream.arrived.is_set(), [*stream.take()]) == (True, [_START, _BLOCK, _delta("x")])
    assert [*stream.take()] == []


def test_the_end_of_an_attempt_without_a_delta_is_no_failure() -> None:
    stream = _received(*_numbered("a", _START), {"job": "j", "attempt": "a", "end": "overloaded"})
    assert (stream.failed, stream.arrived.is_set()) == (None, False), "the status of the answer is not sent yet"
    for message in _numbered("b", _START, _delta("x")):
        stream.receive(message)
    stream.receive({"job": "j", "attempt": "b", "end": "cut"})
    assert (stream.failed, [*stream.take()]) == ("cut", [_START, _delta("x")])


def test_no_other_attempt_goes_on_with_what_was_read() -> None:
    stream = _received(*_numbered("a", _START, _delta("x")), *_numbered("b", _START, _delta("y")))
    stream.receive({"job": "j", "attempt": "b", "end": "cut"})
    assert (stream.failed, [*stream.take()]) == (None, [_START, _delta("x")])


def test_after_a_lost_event_no_more_come() -> None:
    messages = [*_numbered("a", _START, _delta("x"), _delta("y"), _delta("z"))]
    assert [*_received(*messages[:2], messages[3]).take()] == [_START, _delta("x")]
    assert [*_received(*messages[1:]).take()] == [], "who came later does not know the beginning"
    again = _received(messages[0], messages[1], messages[1], messages[2])
    assert [*again.take()] == [_START, _delta("x"), _delta("y")]


def test_a_client_that_reads_slowly_costs_no_more_than_a_bounded_memory() -> None:
    stream = _received(*_numbered("a", _START, *(_delta("x") for _ in range(20_000))))
    kept = [*stream.take()]
    assert 0 < len(kept) <= 5_000
    stream.receive({"job": "j", "attempt": "a", "number": 20_002, "event": _delta("late")})
    assert [*stream.take()] == []


def _add_beats(count: int, *streams: LiveStream) -> None:
    for stream in streams:
        for _ in range(count):
            stream.add_beat()


def test_a_silent_worker_is_lost_unless_we_are_deaf() -> None:
    stream, unbegun = _received(*_numbered("a", _START, _delta("x"))), _received(*_numbered("a", _START))
    _add_beats(5, stream, unbegun)
    stream.receive({"job": "j", "attempt": "a"})
    _add_beats(5, stream, unbegun)
    assert not stream.is_lost()
    _add_beats(1, stream, unbegun)
    assert (stream.is_lost(), unbegun.is_lost()) == (True, False)
    stream.is_deaf = True
    assert not stream.is_lost()


_STOPPED: dict[str, Any] = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}


@pytest.mark.parametrize("last", [_STOPPED, {"type": "message_stop"}])
@pytest.mark.parametrize("lost", [0, 1])
def test_a_whole_turn_waits_for_the_end_of_its_job(last: dict[str, Any], lost: int) -> None:
    """The worker gives no sign of life for a call that has ended, and the ledger may be away for long."""
    stream = _received(*_numbered("a", _START, _delta("x")))
    stream.receive({"job": "j", "attempt": "a", "number": 3 + lost, "event": last})
    _add_beats(1000, stream)
    assert not stream.is_lost()


def _opened(text: str) -> LiveStream:
    async def receive() -> LiveStream:
        streams = LiveStreams(ListenedJobs(lambda: None))
        stream = await streams.open("j")
        streams.receive(text)
        streams.leave("j", stream)
        streams.receive(text)
        return stream

    return asyncio.run(receive())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[1]",
        "[" * 100_000,
        json.dumps({"job": ["j"]}),
        json.dumps({"job": "j", "attempt": 7, "number": 1, "event": _delta("x")}),
        json.dumps({"job": "j", "attempt": "a", "number": "1", "event": _delta("x")}),
        json.dumps({"job": "j", "attempt": "a", "number": 1, "event": {"type": ["content_block_delta"]}}),
        json.dumps({"job": "j", "attempt": "a", "number": 1, "event": "content_block_delta"}),
        json.dumps({"job": "other", "attempt": "a", "number": 1, "event": _delta("x")}),
    ],
)
def test_whatever_other_programs_send_is_no_event(text: str) -> None:
    assert not _opened(text).has_begun
    assert _opened(json.dumps({"job": "j", "attempt": "a", "number": 1, "event": _delta("x")})).has_begun

"""The bytes of a stream become the Message of an unstreamed call, or the known part of one."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.money.price_book import PriceBook
from producer.simulator.answer.stream import error_event, events_of
from worker.provider.attempt_cost import closing_of
from worker.provider.classify import classify
from worker.provider.reply import Broken, Failure, Received, Reply
from worker.provider.stream import IncomingStream, StreamError

_CUT = Broken(how="cut", detail="the connection broke", latency_ms=9)
_USAGE = {"input_tokens": 12, "cache_read_input_tokens": 300, "output_tokens": 40, "service_tier": "standard"}
_START = {
    "type": "message_start",
    "message": {"id": "msg_1", "type": "message", "model": "m", "content": [], "stop_reason": None}
    | {"usage": {**_USAGE, "output_tokens": 1}},
}
_TEXT = {"type": "text", "text": ""}


def _block(*deltas: Mapping[str, Any], index: int = 0, **block: Any) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": block or dict(_TEXT)},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _words(*texts: str) -> list[dict[str, str]]:
    return [{"type": "text_delta", "text": text} for text in texts]


def _end(**usage: Any) -> list[dict[str, Any]]:
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    return [{"type": "message_delta", "delta": delta, "usage": usage}, {"type": "message_stop"}]


def _written(events: Iterable[Mapping[str, Any]], end: str = "\n") -> bytes:
    return "".join(f"event: {event['type']}{end}data: {json.dumps(event)}{end}{end}" for event in events).encode()


def _read(*chunks: bytes) -> IncomingStream:
    stream = IncomingStream()
    for chunk in chunks:
        stream.feed(chunk)
    return stream


def _message(*events: Mapping[str, Any]) -> dict[str, Any]:
    ended = _read(_written([_START, *events])).ended(_CUT)
    assert isinstance(ended, Received)
    assert ended.status == 200
    return dict(json.loads(ended.body))


_CONTENTS = st.lists(
    st.one_of(
        st.builds(lambda text: {"type": "text", "text": text}, st.text(st.characters(exclude_categories=[]))),
        st.builds(
            lambda text, signature: {"type": "thinking", "thinking": text, "signature": signature},
            st.text(),
            st.text(min_size=1),
        ),
        st.builds(
            lambda value: {"type": "tool_use", "id": "toolu_1", "name": "t", "input": value},
            st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.none() | st.booleans())),
        ),
    ),
    max_size=4,
)


@given(_CONTENTS, st.data())
def test_a_stream_has_the_message_of_the_unstreamed_call_however_its_bytes_come(content: Any, data: Any) -> None:
    whole = {**_START["message"], "content": content, "stop_reason": "end_turn", "usage": _USAGE}  # type: ignore[dict-item]
    sent = b"".join(events_of(json.dumps(whole).encode()))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=20)))
    stream = _read(*(sent[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)))
    ended = stream.ended(_CUT)
    assert isinstance(ended, Received)
    assert json.loads(ended.body) == json.loads(json.dumps(whole))


def test_a_delta_of_any_kind_finds_its_place() -> None:
    cited = [{"type": "citations_delta", "citation": {"cited_text": text}} for text in ("a", "b")]
    tomorrow = {"type": "sketch_delta", "sketch": "ab", "size": 7}
    message = _message(
        *_block(*_words("Sea ", "salt"), *cited, type="text", text="", citations=None),
        *_block({"type": "compaction_delta", "content": "short", "encrypted_content": "x"}, index=1, type="compaction"),
        *_block(tomorrow, {**tomorrow, "sketch": "cd"}, index=2, type="sketch", sketch=""),
        *_block({"type": "input_json_delta", "partial_json": ""}, index=3, type="tool_use", input={}),
        {"type": "an_event_of_tomorrow", "index": 99},
        *_end(output_tokens=9),
    )
    assert message["content"] == [
        {"type": "text", "text": "Sea salt", "citations": [{"cited_text": "a"}, {"cited_text": "b"}]},
        {"type": "compaction", "content": "short", "encrypted_content": "x"},
        {"type": "sketch", "sketch": "abcd", "size": 7},
        {"type": "tool_use", "input": {}},
    ]


def test_the_halves_of_a_character_in_two_deltas_are_one_character() -> None:
    assert _message(*_block(*_words("\ud83d", "\ude00")), *_end(output_tokens=1))["content"][0]["text"] == "\U0001f600"


def test_the_last_count_of_the_usage_stands_and_those_left_out_are_the_first() -> None:
    grown = {"input_tokens": 50, "output_tokens": 9, "server_tool_use": {"web_search_requests": 2}, "new_tokens": 3}
    message = _message(*_block(*_words("x")), *_end(**grown, cache_read_input_tokens=None))
    assert message["usage"] == {**_USAGE, **grown}
    assert (message["stop_reason"], message["model"]) == ("end_turn", "m")


@pytest.mark.parametrize(
    ("pieces", "read"),
    [
        (['{"a": [1, ', '{"b": 2}]', "}"], {"a": [1, {"b": 2}]}),
        (['{"a": 1, "b": "half of a te'], {"a": 1}),
        (["{]"], {"INVALID_JSON": "{]"}),
    ],
)
def test_the_input_of_a_tool_is_read_also_if_max_tokens_cut_the_input(pieces: Sequence[str], read: object) -> None:
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    message = _message(*_block(*deltas, type="tool_use", input={}), *_end(output_tokens=1))
    assert message["content"][0]["input"] == read


def test_a_message_is_whole_with_its_stop_reason_though_the_stream_breaks_then() -> None:
    assert _message(*_block(*_words("x")), *_end(output_tokens=5)[:1])["usage"]["output_tokens"] == 5


@pytest.mark.parametrize(
    ("events", "has_output"),
    [
        ([], False),
        (_block(*_words("x"))[:1], True),
        ([*_block(*_words("x")), *_block(*_words("y"), index=1)[:2]], True),
        (_block(type="fallback", to={"model": "n"}), False),
    ],
)
def test_a_broken_stream_keeps_its_usage_and_a_bound_once_an_answer_has_begun(events: Any, has_output: bool) -> None:
    ended = _read(_written([_START, *events])).ended(_CUT)
    assert isinstance(ended, Broken)
    failure = classify(ended)
    assert isinstance(failure, Failure)
    assert failure.usage is not None
    assert (failure.usage.input_tokens, failure.usage.cache_read_tokens, failure.usage.output_tokens) == (12, 300, 1)
    assert (failure.outcome, failure.is_least, failure.message_id) == ("cut", has_output, "msg_1")


def test_figures_that_contradict_each_other_are_no_bound() -> None:
    odd = {**_USAGE, "cache_creation_input_tokens": 10, "cache_creation": {"ephemeral_5m_input_tokens": 99}}
    start = {"type": "message_start", "message": {**_START["message"], "usage": odd}}  # type: ignore[dict-item]
    failure = classify(_read(_written([start, *_block(*_words("x"))])).ended(_CUT))
    assert isinstance(failure, Failure)
    assert (failure.is_least, failure.usage is None) == (False, False)


_STOP = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
_COUNT = {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 40}}


@pytest.mark.parametrize(
    ("events", "status", "usd"),
    [
        ([*_block(*_words("x")), _STOP, {"type": "message_stop"}], "at_least", "0.000047"),
        ([*_block(*_words("x")), {**_STOP, "usage": None}, {"type": "message_stop"}], "at_least", "0.000047"),
        ([*_block(*_words("x")), {**_STOP, "usage": {"output_tokens": None}}], "at_least", "0.000047"),
        ([*_block(*_words("x")), {**_STOP, "usage": {"input_tokens": 12}}], "at_least", "0.000047"),
        ([*_block(*_words("x")), _STOP], "at_least", "0.000047"),
        ([*_block(*_words("x")), {"type": "message_stop"}], "at_least", "0.000047"),
        ([*_block(*_words("x")), _COUNT, *_block(*_words("y"), index=1), _STOP], "at_least", "0.000242"),
        ([{**_STOP, "delta": {"stop_reason": "refusal"}}], "unknown", None),
        ([_STOP], "unknown", None),
        ([*_block(*_words("x")), _STOP, _COUNT], "exact", "0.000242"),
        ([*_block(*_words("x")), _COUNT, _STOP], "exact", "0.000242"),
        ([*_block(*_words("x")), *_end(output_tokens=40)], "exact", "0.000242"),
    ],
)
def test_an_answer_is_kept_though_its_last_usage_never_came_and_its_cost_is_known_at_least(
    events: list[Mapping[str, Any]], status: str, usd: str | None
) -> None:
    start = {**_START, "message": {**_START["message"], "model": "claude-haiku-4-5"}}  # type: ignore[dict-item]
    reply = classify(_read(_written([start, *events])).ended(_CUT))
    assert isinstance(reply, Reply)
    closing = closing_of("attempt-1", reply, PriceBook({}), at=datetime(2026, 7, 1, tzinfo=UTC))
    cost = None if usd is None else Decimal(usd)
    found = (closing.cost_status, closing.cost_usd, closing.least_usd)
    assert found == (status, cost if status == "exact" else None, cost if status == "at_least" else None)
    assert (closing.usage is None, closing.parts is None) == (status == "unknown", status != "exact")


@pytest.mark.parametrize("stop", [_STOP, {**_STOP, "usage": {"output_tokens": 40}}])
def test_a_message_that_goes_on_after_its_stop_reason_is_whole_with_its_last_block(stop: Mapping[str, Any]) -> None:
    whole = _block(*_words("y"), index=1)
    begun = _read(_written([_START, *_block(*_words("x")), stop, *whole[:2]]))
    assert isinstance(begun.ended(_CUT), Broken)
    message = _message(*_block(*_words("x")), stop, *whole, {"type": "message_stop"})
    assert [block["text"] for block in message["content"]] == ["x", "y"]


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("overloaded_error", "overloaded"),
        ("rate_limit_error", "rate_limited"),
        ("api_error", "server_error"),
        ("timeout_error", "server_error"),
        ("authentication_error", "unauthorized"),
        ("invalid_request_error", "bad_request"),
        ("an_error_of_tomorrow", "server_error"),
    ],
)
def test_an_error_event_is_that_error_before_the_message_and_a_cut_call_after(kind: str, outcome: str) -> None:
    error = error_event(kind, "It is so.")
    before, after = (_read(start + error).ended(_CUT) for start in (b"", _written([_START, *_block(*_words("x"))])))
    refused, broken = classify(before), classify(after)
    assert isinstance(refused, Failure)
    assert isinstance(broken, Failure)
    assert (refused.outcome, refused.error_type, refused.message) == (outcome, kind, "It is so.")
    assert (broken.outcome, broken.error_type, broken.message, broken.is_least) == ("cut", kind, "It is so.", True)


@pytest.mark.parametrize(
    "events",
    [
        _block(*_words("x")),
        [_START, _START],
        [_START, *_block(*_words("x"))[1:]],
        [_START, {"type": "content_block_start", "index": None, "content_block": _TEXT}],
        [_START, *_block(*_words("first")), *_block(*_words("second"))],
        [_START, _block()[0], *_block(*_words("second"))],
        [_START, *_block(*_words("first")), _block(*_words("late"))[1]],
        [_START, *_block({"type": "input_json_delta", "partial_json": 7}, type="tool_use", input={})],
        [_START, {"type": "message_delta"}],
        [{"type": "message_start"}],
        [{"type": "message_delta", "delta": {}, "usage": {}}],
    ],
)
def test_a_stream_that_breaks_the_protocol_is_an_error(events: list[Mapping[str, Any]]) -> None:
    with pytest.raises(StreamError, match="does not fit"):
        _read(_written(events))


def test_an_event_of_the_message_that_is_no_json_is_an_error() -> None:
    with pytest.raises(StreamError, match="message_delta of 7 bytes"):
        _read(_written([_START]), b"event: message_delta\n", b"data: {oops}}\n\n")


def test_a_listener_has_every_event_in_order_and_its_failure_ends_no_call(caplog: pytest.LogCaptureFixture) -> None:
    events, received = [_START, *_block(*_words("x", "y")), *_end(output_tokens=2)], list[Mapping[str, Any]]()

    def listener(event: Mapping[str, Any]) -> None:
        received.append(event)
        if event["type"] == "content_block_stop":
            raise LookupError("the listener is gone")

    stream = IncomingStream(listener)
    stream.feed(b": hello\n\n" + _written(events))
    assert received == events[:5]
    assert isinstance(classify(stream.ended(_CUT)), Reply)
    assert "the listener is gone" in caplog.text


def test_an_event_that_changes_nothing_is_a_sign_of_life_and_no_progress() -> None:
    stream, (start, *more) = IncomingStream(), _block(*_words("x", ""))
    empty = {"type": "input_json_delta", "partial_json": ""}
    end = {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": 1}}
    events = [_START, start, *more, more[-1], *_block(empty, index=1, type="tool_use")[:2], end, end]
    expected = ["progress", "progress", "progress", "alive", "progress", "alive", "progress", "alive"]
    signs = [stream.feed(_written([event])) for event in events]
    assert (signs, stream.message.has_pinged) == ([*expected, "alive", "alive"], False)


@pytest.mark.parametrize("sent", [b": a comment\n\n", b'event: ping\ndata: {"type": "ping"}\n\n'])
def test_a_ping_is_seen_also_beside_progress(sent: bytes) -> None:
    stream = IncomingStream()
    assert (stream.feed(_written([_START]) + sent), stream.message.has_pinged) == ("progress", True)

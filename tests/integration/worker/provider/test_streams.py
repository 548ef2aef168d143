"""A streamed call to a real server: the Message of the unstreamed call, or a known least cost."""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from models.chain.deadline import Deadline
from models.job.values import Closing
from models.money.price_book import PriceBook
from models.money.worst_case import worst_case_usd
from producer.simulator.process import RunningSimulator, running_simulator
from tests.support.eventually import eventually
from tests.support.sites.blocking_provider import BlockingProvider
from tests.support.sites.worker_site import OPUS
from tests.support.threads_at_once import at_once
from worker.provider.attempt_cost import closing_of
from worker.provider.classify import classify
from worker.provider.reply import Broken, Received

_TOOL = {"name": "look_up", "description": "Looks it up.", "input_schema": {"type": "object"}}
_CACHED = {"type": "text", "text": "A long note. " * 800, "cache_control": {"type": "ephemeral"}}
_PARAMS: dict[str, Any] = {
    "max_tokens": 4_000,
    "messages": [{"role": "user", "content": "Ten harbours were dredged in spring, and two bridges were closed."}],
    "tools": [_TOOL],
}
_ADVICE = "model = 'claude-opus-4-8', input_tokens = 9, output_tokens = 2"
_LONG = Deadline(after_s=20, reason="max_tokens 4000", call_timeout_s=1, is_long=True)
_SHORT = Deadline(after_s=20, reason="CALL_TIMEOUT_S")


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    """Run one for all tests of this file; each sets its own script."""
    with running_simulator() as running:
        yield running


@pytest.fixture
def provider(simulator: RunningSimulator) -> Iterator[BlockingProvider]:
    """Open one for one test."""
    with closing(BlockingProvider(api_key="k", base_url=simulator.url, connect_timeout_s=5)) as provider:
        yield provider


def _call(
    provider: BlockingProvider, deadline: Deadline = _LONG, params: Mapping[str, Any] = _PARAMS, **more: Any
) -> Received | Broken:
    return provider.call(OPUS, params, attempt_id="a", job_id="j", deadline=deadline, **more)


def _closing(end: Received | Broken) -> Closing:
    return closing_of("a", classify(end), PriceBook({}), at=datetime.now(UTC))


def _lasting(end: Received | Broken) -> dict[str, Any]:
    """Return the message without what is drawn anew for each request."""
    assert isinstance(end, Received)
    message = dict(json.loads(end.body), id="")
    message["content"] = [{**block, "id": "", "signature": ""} for block in message["content"]]
    return message


@pytest.mark.parametrize(
    "rule",
    [
        "answer = 'ok'",
        "answer = 'text'\ntext = '''Größe \U0001f600 \u2028 {\"a\": 1} \\\\u0000 \\\\ud800'''",
        "answer = 'max_tokens'",
        "answer = 'tool_use'\ntool = 'look_up'\ntool_input = {at = 'Rotterdam', deep = [1, {b = 'ü'}]}\ntext = 'So.'",
        "answer = 'thinking_only'",
        "answer = 'pause_turn'",
        "answer = 'refusal'\ncategory = 'bio'",
        "answer = 'refusal'\noutput = false",
        "answer = 'empty_turn'",
        "answer = 'odd_stop'",
        "answer = 'geo_us'",
        "answer = 'other_tier'\nservice_tier = 'batch'",
        "answer = 'ok'\nweb_searches = 2",
        f"answer = 'ok'\niterations = [{{type = 'advisor_message', {_ADVICE}}}]",
        'answer = \'ok\'\nusage = \'{"output_tokens_details": {"thinking_tokens": 3}, "a_new_counter": 4}\'',
    ],
)
def test_a_streamed_answer_is_the_unstreamed_one_and_costs_the_same(
    simulator: RunningSimulator, provider: BlockingProvider, rule: str
) -> None:
    simulator.set_script(f"[[rules]]\n{rule}")
    cached = {**_PARAMS, "system": [_CACHED]}
    _call(provider, _SHORT, cached)  # the cache is warm for both
    plain, streamed = _call(provider, _SHORT, cached), _call(provider, _LONG, cached)
    assert _lasting(streamed) == _lasting(plain)
    assert isinstance(streamed, Received)
    assert streamed.headers["content-type"] == "text/event-stream"
    bills = [purchase["billed_nano_usd"] for purchase in simulator.purchases()[-2:]]
    assert [(_closing(end).cost_usd or 0) * 10**9 for end in (plain, streamed)] == bills


def test_a_long_answer_outlasts_the_setting_and_its_connection_is_used_again(
    simulator: RunningSimulator, provider: BlockingProvider
) -> None:
    simulator.set_script("tokens_per_s = 20\n[[rules]]\nanswer = 'text'\ntext = '" + "Harbour. " * 16 + "'")
    for _ in range(2):
        end = _call(provider)
        assert isinstance(end, Received)
        assert end.latency_ms > 1_500


@pytest.mark.parametrize(
    ("rule", "how", "detail", "status"),
    [
        ("answer = 'cut'", "cut", "ClientPayloadError", "at_least"),
        ("answer = 'reset_after'", "cut", "Client", "at_least"),
        ("answer = 'stall'", "timed_out", "within 1 s of the event before (the longest silence", "at_least"),
        ("answer = 'error_event'", "cut", "Overloaded", "at_least"),
        ("answer = 'cut'\nafter_events = 1", "cut", "ClientPayloadError", "unknown"),
        ("answer = 'cut'\nafter_events = 0", "cut", "ClientPayloadError", "unknown"),
        ("answer = 'refusal'\noutput = false\nmessage = {type = 'message'}", "", "", "free"),
    ],
)
def test_a_stream_that_breaks_has_the_tokens_so_far_and_a_cost_within_its_bounds(
    simulator: RunningSimulator, provider: BlockingProvider, rule: str, how: str, detail: str, status: str
) -> None:
    simulator.set_script(f"[[rules]]\n{rule}")
    end = _call(provider, params={**_PARAMS, "system": [_CACHED]})
    closing, billed = _closing(end), Decimal(simulator.purchases()[-1]["billed_nano_usd"]).scaleb(-9)
    assert closing.cost_status == status
    if not isinstance(end, Broken):
        assert (how, closing.cost_usd) == ("", billed)
        return
    assert (end.how, detail in end.detail) == (how, True)
    worst = worst_case_usd(OPUS, _PARAMS | {"system": [_CACHED]}, PriceBook({}), window=None, at=datetime.now(UTC))
    assert worst is not None
    assert 0 <= (closing.least_usd or 0) <= billed <= worst
    assert (closing.cost_usd, (closing.least_usd or 0) > 0) == (None, status == "at_least")
    assert (closing.usage is None) == (closing.least_usd is None)
    if closing.usage is not None:
        seen = simulator.purchases()[-1]["usage"]
        assert (closing.usage.input_tokens, closing.usage.cache_write_5m_tokens, closing.usage.cache_read_tokens) == (
            seen["input_tokens"],
            seen["cache_creation_input_tokens"],
            seen["cache_read_input_tokens"],
        )


def test_a_gateway_that_does_not_stream_has_the_whole_deadline_and_is_understood(
    simulator: RunningSimulator, provider: BlockingProvider
) -> None:
    simulator.set_script("")
    whole = _call(provider, _SHORT)
    assert isinstance(whole, Received)
    body = whole.body.decode().replace('"', '\\"')
    simulator.set_script(f'[[rules]]\nanswer = "raw"\nstatus = 200\nbody = "{body}"\ndelay_s = 1.5')
    end = _call(provider)
    assert isinstance(end, Received)
    assert (end.body, end.headers["content-type"], end.latency_ms >= 1_500) == (whole.body, "application/json", True)


def test_an_error_event_before_the_message_is_that_error_and_free(
    simulator: RunningSimulator, provider: BlockingProvider
) -> None:
    simulator.set_script("[[rules]]\nanswer = 'error_event'\nafter_events = 0\nerror_type = 'rate_limit_error'")
    closing = _closing(_call(provider))
    assert (closing.outcome, closing.cost_status, closing.http_status) == ("rate_limited", "free", 429)


def test_pings_keep_a_stream_alive_and_are_no_answer(simulator: RunningSimulator, provider: BlockingProvider) -> None:
    simulator.set_script("[[rules]]\nanswer = 'pings'\nevery_s = 0.2")
    deadline = Deadline(after_s=3, reason="max_tokens", call_timeout_s=1, is_long=True)
    end = _call(provider, deadline)
    assert isinstance(end, Broken)
    assert (end.how, end.detail) == (
        "timed_out",
        "no complete reply within 3 s (max_tokens) of the event before, pings apart",
    )
    assert end.latency_ms >= 3_000
    assert _closing(end).cost_status == "at_least"


@pytest.mark.parametrize(
    ("after_events", "ends_s", "words"), [(1, 3, "3 s (max_tokens) of the event before"), (2, 1, "the longest silence")]
)
def test_a_silence_is_short_only_after_a_ping(
    simulator: RunningSimulator, provider: BlockingProvider, after_events: int, ends_s: int, words: str
) -> None:
    simulator.set_script(f"[[rules]]\nanswer = 'stall'\nafter_events = {after_events}")
    end = _call(provider, Deadline(after_s=3, reason="max_tokens", call_timeout_s=1, is_long=True))
    assert isinstance(end, Broken)
    assert (end.how, words in end.detail, end.latency_ms >= ends_s * 1_000) == ("timed_out", True, True)


def test_a_model_whose_streams_begin_early_is_not_waited_for_longer_than_the_setting(
    simulator: RunningSimulator, provider: BlockingProvider
) -> None:
    first, then = (Deadline(after_s=3, reason="long", call_timeout_s=1, is_long=True) for _ in range(2))
    simulator.set_script("[[rules]]\nanswer = 'hang'")
    assert _took_ms(_call(provider, first)) >= 3_000
    simulator.set_script("tokens_per_s = 50\n[[rules]]\nanswer = 'text'\ntext = '" + "Harbour. " * 16 + "'")
    assert isinstance(_call(provider, Deadline(after_s=20, reason="long", call_timeout_s=10, is_long=True)), Received)
    simulator.set_script("[[rules]]\nanswer = 'hang'")
    assert 1_000 <= _took_ms(_call(provider, then)) < 3_000
    assert _took_ms(_call(provider, then, {**_PARAMS, "system": "A longer prompt takes its time."})) >= 3_000


def _took_ms(end: Received | Broken) -> int:
    assert isinstance(end, Broken)
    assert end.how == "timed_out"
    return end.latency_ms


def test_a_stopped_worker_keeps_what_its_streams_have_shown(
    simulator: RunningSimulator, provider: BlockingProvider
) -> None:
    simulator.set_script("[[rules]]\nanswer = 'stall'")
    patient, events = Deadline(after_s=60, reason="long", call_timeout_s=60, is_long=True), list[Mapping[str, Any]]()

    def call_or_cut(number: int) -> Received | Broken | None:
        if number == 0:
            return _call(provider, patient, on_event=events.append)
        eventually(lambda: len(events) > 3, within_s=10, because="the stream has begun")
        provider.cut()
        return None

    end, _ = at_once(2, call_or_cut)
    assert isinstance(end, Broken)
    assert (end.how, _closing(end).cost_status) == ("cut", "at_least")


def test_a_listener_has_each_event_of_a_short_answer_too(
    simulator: RunningSimulator, provider: BlockingProvider
) -> None:
    simulator.set_script("")
    events = list[Mapping[str, Any]]()
    end = _call(provider, _SHORT, {**_PARAMS, "max_tokens": 100}, on_event=events.append)
    text = "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")
    assert _lasting(end)["content"][0]["text"] == text
    assert [events[0]["type"], events[-1]["type"]] == ["message_start", "message_stop"]

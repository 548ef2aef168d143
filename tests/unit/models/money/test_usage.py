"""The usage object: the counters a price is put on, or none at all."""

from typing import Any

import pytest

from models.money.usage import Usage, passes, usage_from, usage_kept, with_searches
from models.text import line

_LEAST = {"input_tokens": 10, "output_tokens": 20}


def _usage(**changes: Any) -> Usage:
    usage = usage_from(_LEAST | changes)
    assert usage is not None
    return usage


def test_the_two_counters_are_enough() -> None:
    assert usage_from(_LEAST) == Usage(input_tokens=10, output_tokens=20, raw=_LEAST)


def test_null_is_not_said() -> None:
    names = ("cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation", "server_tool_use")
    assert _usage(**dict.fromkeys(names)).prompt_tokens == 10


def test_a_whole_float_is_a_count() -> None:
    usage = _usage(input_tokens=100.0, output_tokens=2.0, cache_creation={"ephemeral_1h_input_tokens": 7.0})
    assert (usage.input_tokens, usage.output_tokens, usage.cache_write_1h_tokens) == (100, 2, 7)
    assert type(usage.input_tokens) is int


@pytest.mark.parametrize(
    ("five", "hour", "written"), [(0, 0, (10_353, 0)), (3, 50, (10_303, 50)), (20_000, 1, (20_000, 1))]
)
def test_of_a_total_and_its_breakdown_the_larger_is_counted(five: int, hour: int, written: tuple[int, int]) -> None:
    parts = {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour}
    usage = _usage(cache_creation_input_tokens=10_353, cache_creation=parts)
    assert (usage.cache_write_5m_tokens, usage.cache_write_1h_tokens, usage.is_sure) == (*written, False)


@pytest.mark.parametrize("name", ["input_tokens", "output_tokens"])
def test_without_one_of_them_there_is_no_usage(name: str) -> None:
    assert usage_from({other: count for other, count in _LEAST.items() if other != name}) is None


_COUNTERS: list[dict[str, Any]] = [
    {"input_tokens": 0},
    {"output_tokens": 0},
    {"cache_read_input_tokens": 0},
    {"cache_creation_input_tokens": 0},
    {"cache_creation": {"ephemeral_5m_input_tokens": 0}},
    {"cache_creation": {"ephemeral_1h_input_tokens": 0}},
    {"server_tool_use": {"web_search_requests": 0}},
]


def _with(counter: dict[str, Any], value: object) -> dict[str, Any]:
    return {name: _with(inner, value) if isinstance(inner, dict) else value for name, inner in counter.items()}


@pytest.mark.parametrize("counter", _COUNTERS)
@pytest.mark.parametrize("value", [-1, True, 1.5, "7", [7], 2**31, 10**30])
def test_a_counter_that_is_no_count_is_no_usage(counter: dict[str, Any], value: object) -> None:
    assert usage_from(_LEAST | _with(counter, value)) is None


@pytest.mark.parametrize("counter", _COUNTERS)
def test_zero_is_a_count(counter: dict[str, Any]) -> None:
    assert usage_from(_LEAST | counter) is not None


@pytest.mark.parametrize("name", ["cache_creation", "server_tool_use", "output_tokens_details"])
@pytest.mark.parametrize("value", ["none", 7, [], [{"web_search_requests": 1}]])
def test_a_breakdown_that_is_no_object_is_not_said(name: str, value: object) -> None:
    assert _usage(**{name: value}).prompt_tokens == 10


@pytest.mark.parametrize(
    ("written", "write_5m", "write_1h"),
    [
        ({"cache_creation_input_tokens": 70}, 70, 0),
        ({"cache_creation_input_tokens": 70, "cache_creation": None}, 70, 0),
        ({"cache_creation_input_tokens": 70, "cache_creation": {"ephemeral_1h_input_tokens": 30}}, 40, 30),
        (
            {
                "cache_creation_input_tokens": 70,
                "cache_creation": {"ephemeral_5m_input_tokens": None, "ephemeral_1h_input_tokens": 30},
            },
            40,
            30,
        ),
        ({"cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 30}}, 40, 30),
    ],
)
def test_cache_writes_are_told_apart_by_their_lifetime(written: dict[str, Any], write_5m: int, write_1h: int) -> None:
    usage = _usage(**written, cache_read_input_tokens=5)
    assert (usage.cache_write_5m_tokens, usage.cache_write_1h_tokens) == (write_5m, write_1h)
    assert usage.prompt_tokens == 10 + 5 + write_5m + write_1h


def test_a_breakdown_without_its_total_is_counted() -> None:
    assert _usage(cache_creation={"ephemeral_1h_input_tokens": 30}).cache_write_1h_tokens == 30


def test_what_else_is_said_is_kept() -> None:
    message = {"service_tier": "batch", "speed": "fast", "inference_geo": "us", "of_next_year": {"a": 1}}
    usage = _usage(**message, server_tool_use={"web_search_requests": 3}, output_tokens_details={"thinking_tokens": 8})
    assert (usage.service_tier, usage.speed, usage.inference_geo) == ("batch", "fast", "us")
    assert (usage.web_searches, usage.thinking_tokens) == (3, 8)
    assert usage.raw["of_next_year"] == {"a": 1}


@pytest.mark.parametrize("value", [-1, True, "8", 2**31])
def test_thinking_that_is_no_count_is_unknown_and_harms_nothing(value: object) -> None:
    assert _usage(output_tokens_details={"thinking_tokens": value}).thinking_tokens is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        ("req_1", "req_1"),
        ("a\0b\ud800c\x1b[31m", "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c\N{REPLACEMENT CHARACTER}[31m"),
        ("x" * 500, "x" * 200),
        (["a"], "['a']"),
    ],
)
def test_a_line_fits_its_column_and_no_terminal_obeys_it(value: object, expected: str | None) -> None:
    assert line(value) == expected


_ADVISED = {
    "input_tokens": 30,
    "output_tokens": 20,
    "server_tool_use": {"web_search_requests": 2},
    "iterations": [
        {"type": "message", "input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 7},
        {"type": "advisor_message", "model": "claude-opus-4-8", "input_tokens": 100, "output_tokens": 40},
        {"type": "compaction", "input_tokens": 1000, "output_tokens": 60, "cache_creation_input_tokens": 3},
        {"type": "message", "input_tokens": 20, "output_tokens": 15},
    ],
}


def test_a_reply_of_several_passes_counts_them_all_also_those_its_own_totals_leave_out() -> None:
    usage = usage_from(_ADVISED)
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (1130, 120)
    assert (usage.cache_read_tokens, usage.cache_write_5m_tokens, usage.web_searches) == (7, 3, 2)
    assert usage.raw == _ADVISED
    assert usage.is_sure


def test_each_pass_has_its_own_model_and_the_searches_are_counted_once() -> None:
    usage = usage_from(_ADVISED)
    assert usage is not None
    found = passes(usage)
    assert [one.model for one in found] == [None, "claude-opus-4-8", None, None]
    assert [one.usage.input_tokens for one in found] == [10, 100, 1000, 20]
    assert [one.usage.web_searches for one in found] == [2, 0, 0, 0]


@pytest.mark.parametrize(
    "iterations", [{"a": 1}, ["message"], [{"type": "message"}], [{"input_tokens": 1, "output_tokens": -1}], "two"]
)
def test_passes_that_cannot_be_read_leave_the_replys_own_totals_and_are_said_to(iterations: Any) -> None:
    usage = _usage(iterations=iterations)
    assert (usage.input_tokens, usage.output_tokens) == (10, 20)
    assert [one.usage for one in passes(usage)] == [usage]
    assert not usage.is_sure


def test_passes_that_leave_out_what_the_whole_counts_are_not_believed() -> None:
    bare = [{"type": "message", "input_tokens": 10, "output_tokens": 20}]
    usage = _usage(cache_read_input_tokens=500_000, iterations=bare)
    assert (usage.cache_read_tokens, usage.is_sure) == (500_000, False)


@pytest.mark.parametrize("iterations", [None, []])
def test_a_reply_without_passes_is_one(iterations: Any) -> None:
    usage = _usage(iterations=iterations)
    assert passes(usage)[0].usage == usage
    assert usage.is_sure


_ZEROS = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}


@pytest.mark.parametrize(
    ("lifetimes", "parts", "written", "is_sure"),
    [
        ([], None, (70, 0), True),
        (["5m"], None, (70, 0), True),
        (["1h"], None, (0, 70), True),
        (["1h"], dict.fromkeys(_ZEROS), (0, 70), True),
        (["5m", "1h"], None, (0, 70), False),
        (["1h"], _ZEROS, (0, 70), False),
        (["1h"], {"ephemeral_5m_input_tokens": 20}, (20, 50), False),
        (["1h"], {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 50}, (20, 50), True),
        (["1h"], "all of it", (0, 70), False),
    ],
)
def test_written_tokens_without_a_lifetime_have_the_longest_that_was_asked_for(
    lifetimes: list[str], parts: Any, written: tuple[int, int], is_sure: bool
) -> None:
    raw = _LEAST | {"cache_creation_input_tokens": 70, "cache_creation": parts}
    usage = usage_from(raw, lifetimes=lifetimes)
    assert usage is not None
    assert (usage.cache_write_5m_tokens, usage.cache_write_1h_tokens, usage.is_sure) == (*written, is_sure)
    row = {"usage": raw, "cache_write_1h_tokens": written[1], "web_searches": 0}
    again = usage_kept(row)
    assert again is not None
    assert (again.cache_write_5m_tokens, again.cache_write_1h_tokens) == written


def test_thinking_is_a_part_of_the_output() -> None:
    usage = _usage(output_tokens_details={"thinking_tokens": 900})
    assert (usage.output_tokens, usage.is_sure) == (900, False)


def test_searches_that_were_seen_are_counted() -> None:
    reported = _usage(server_tool_use={"web_search_requests": 2})
    assert with_searches(reported, 2) == reported
    seen = with_searches(reported, 3)
    assert (seen.web_searches, seen.is_sure) == (3, False)
    row = {"usage": reported.raw, "cache_write_1h_tokens": None, "web_searches": 3}
    assert usage_kept(row) == seen


@pytest.mark.parametrize("value", ["", False, []])
@pytest.mark.parametrize("name", ["cache_read_input_tokens", "cache_creation_input_tokens"])
def test_nothing_but_null_is_not_said(name: str, value: object) -> None:
    assert usage_from(_LEAST | {name: value}) is None


def _entry(read: int, wrote: int, kind: str = "message", **more: Any) -> dict[str, Any]:
    return {"type": kind, "input_tokens": read, "output_tokens": wrote, **more}


@pytest.mark.parametrize(
    ("iterations", "counted", "is_sure"),
    [
        ([_entry(10, 20)], (10, 20), True),
        ([_entry(4, 15), _entry(6, 5)], (10, 20), True),
        ([_entry(4, 15), _entry(10, 20)], (14, 35), True),
        ([_entry(10, 20), _entry(500, 9, "advisor_message")], (510, 29), True),
        ([_entry(10, 20), _entry(500, 9, "compaction")], (510, 29), True),
        ([_entry(3, 15)], (10, 20), False),
        ([_entry(1000, 7)], (1000, 20), False),
        ([_entry(4, 15), _entry(7, 5)], (11, 20), False),
        ([_entry(1000, 7), {"type": "message"}], (1000, 20), False),
        ([_entry(1000, 7), "a pass"], (1000, 20), False),
        (
            [_entry(10, 20, cache_creation_input_tokens=5, cache_creation=_ZEROS)],
            (10, 20),
            False,
        ),
    ],
)
def test_of_the_totals_and_the_passes_the_larger_is_counted(
    iterations: list[Any], counted: tuple[int, int], is_sure: bool
) -> None:
    usage = _usage(iterations=iterations)
    assert (usage.input_tokens, usage.output_tokens, usage.is_sure) == (*counted, is_sure)
    assert sum(one.usage.input_tokens for one in passes(usage)) == counted[0]

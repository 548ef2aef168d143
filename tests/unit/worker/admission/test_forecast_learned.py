"""The forecast of a request's tokens and of a model's pace: the first reply counts, and later ones move it."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.chain.deadline import UNMEASURED_PACE
from models.money.usage import Usage
from tests.support.plays.walk_scene import HAIKU, OPUS, SONNET
from worker.admission.forecast import Forecast

_DOCUMENT = 85_000  # characters, of 17,000 tokens


def _params(*, most: int = 32_000, characters: int = 700, is_marked: bool = False) -> dict[str, Any]:
    block = {"type": "text", "text": "x" * characters} | ({"cache_control": {"type": "ephemeral"}} if is_marked else {})
    return {"max_tokens": most, "messages": [{"role": "user", "content": [block]}]}


def _usage(read: int = 200, written: int = 200, cached: int = 0) -> Usage:
    return Usage(input_tokens=read, output_tokens=written, cache_read_tokens=cached)


def _taught(*written: int, model: str = OPUS, most: int = 32_000) -> Forecast:
    expected = Forecast()
    for tokens in written:
        expected.learn(model, _params(most=most), _usage(written=tokens))
    return expected


@pytest.mark.parametrize(("most", "tokens"), [(1, 1), (100, 50), (1_024, 500), (32_000, 500), (128_000, 500)])
def test_before_any_reply_the_forecast_is_modest(most: int, tokens: int) -> None:
    forecast = Forecast().tokens(OPUS, _params(most=most))
    assert (forecast.output, forecast.is_learned) == (tokens, False)


def test_the_first_reply_replaces_the_prior() -> None:
    forecast = _taught(200).tokens(OPUS, _params())
    assert (forecast.output, forecast.replies, forecast.is_learned) == (200, 1, True)


def test_the_first_replies_have_equal_weight_and_later_ones_a_tenth() -> None:
    assert _taught(100, 200, 600).tokens(OPUS, _params()).output == 300
    assert _taught(*[100] * 50, 1_100).tokens(OPUS, _params()).output == 200


@pytest.mark.parametrize(("model", "most"), [(SONNET, 32_000), (OPUS, 1_000), (HAIKU, 64_000)])
def test_an_unknown_kind_borrows_the_length_of_another_class_or_model(model: str, most: int) -> None:
    forecast = _taught(200).tokens(model, _params(most=most))
    assert (forecast.output, forecast.is_learned) == (200, False)


def test_the_nearest_class_lends_its_length() -> None:
    expected = _taught(40, most=100)
    expected.learn(SONNET, _params(most=30_000), _usage(written=3_000))
    assert expected.tokens(OPUS, _params(most=120)).output == 40
    assert expected.tokens(OPUS, _params(most=32_000)).output == 3_000


def test_the_first_reply_to_a_document_tells_its_characters_a_token() -> None:
    expected, document = Forecast(), _params(characters=_DOCUMENT)
    assert expected.tokens(OPUS, document).input == 24_287
    expected.learn(OPUS, document, _usage(read=17_000))
    assert expected.tokens(OPUS, document).input == 17_001
    assert expected.tokens(SONNET, document).input == pytest.approx(17_000, rel=0.01)


def test_a_greeting_does_not_tell_how_long_a_document_is() -> None:
    expected = Forecast()
    expected.learn(OPUS, _params(characters=2), _usage(read=9))
    assert expected.tokens(OPUS, _params(characters=_DOCUMENT)).input < 30_000
    assert expected.tokens(OPUS, _params(characters=2)).input == pytest.approx(9, abs=5)


def test_a_prompt_its_caller_has_cached_teaches_nothing_of_other_prompts() -> None:
    expected = Forecast()
    marked = _params(characters=_DOCUMENT, is_marked=True)
    expected.learn(OPUS, marked, _usage(read=100, cached=16_900))
    assert expected.tokens(OPUS, marked).input == 101
    assert expected.tokens(SONNET, marked).input == 24_287
    assert expected.tokens(OPUS, _params(characters=_DOCUMENT)).input == 24_287


_KIND = st.tuples(st.sampled_from([OPUS, SONNET, HAIKU]), st.integers(1, 128_000), st.integers(1, 200_000))


@given(_KIND, st.floats(0.6, 9), st.floats(0, 1), st.integers(1, 30), st.lists(st.tuples(_KIND, st.integers(0, 500))))
def test_after_any_number_of_like_replies_the_forecast_is_within_a_percent(
    kind: tuple[str, int, int], a_token: float, share: float, replies: int, others: list[Any]
) -> None:
    (model, most, characters), expected = kind, Forecast()
    for (other, their_most, their_characters), written in others:
        if their_most.bit_length() != most.bit_length() and their_characters.bit_length() != characters.bit_length():
            theirs = _params(most=their_most, characters=their_characters)
            expected.learn(other, theirs, _usage(read=1 + their_characters // 4, written=written))
    read, written = max(1, round(characters / a_token)), round(most * share)
    params = _params(most=most, characters=characters)
    for _ in range(replies):
        expected.learn(model, params, _usage(read=read, written=written))
    forecast = expected.tokens(model, params)
    assert forecast.output == pytest.approx(written, rel=0.01, abs=1)
    assert forecast.input == pytest.approx(min(read, 2 * characters), rel=0.01, abs=2)
    assert forecast.replies == replies


@given(st.lists(st.tuples(_KIND, st.integers(0, 200_000))), _KIND)
def test_a_forecast_never_exceeds_max_tokens(replies: list[Any], kind: tuple[str, int, int]) -> None:
    expected = Forecast()
    for (model, most, characters), written in replies:
        expected.learn(model, _params(most=most, characters=characters), _usage(written=written))
    model, most, characters = kind
    forecast = expected.tokens(model, _params(most=most, characters=characters))
    assert 1 <= forecast.output <= most
    assert forecast.input >= 1


def test_many_threads_teach_and_ask_at_once() -> None:
    expected = Forecast()

    def work(number: int) -> int:
        params = _params(most=1 + number % 4_000, characters=1 + number % 900)
        expected.learn(OPUS, params, _usage(written=7), latency_ms=10)
        return expected.tokens(OPUS, params).output

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(work, range(4_000))) <= {*range(1, 8)}
    assert sum(expected.tokens(OPUS, _params(most=2**bits)).replies > 0 for bits in range(12)) > 0


def _paced(*seconds_a_token: float, written: int = 1_000) -> float:
    expected = Forecast()
    for seconds in seconds_a_token:
        latency_ms = round(seconds * written * 1000)
        expected.learn(OPUS, _params(), _usage(written=written), latency_ms=latency_ms)
    return expected.pace(OPUS)


def test_a_model_is_held_for_slow_after_ten_long_answers() -> None:
    assert _paced(*[0.1] * 9) == UNMEASURED_PACE
    assert _paced(*[0.1] * 10) == pytest.approx(5)


def test_one_slow_answer_in_ten_says_nothing_of_its_model() -> None:
    assert _paced(*[0.01] * 9, 5) == UNMEASURED_PACE


def test_short_answers_and_fast_ones_leave_the_usual_pace() -> None:
    assert _paced(*[1] * 20, written=499) == UNMEASURED_PACE
    assert _paced(*[0.001] * 20) == UNMEASURED_PACE
    assert _paced(*[0] * 20) == UNMEASURED_PACE


def test_a_model_that_is_fast_again_is_believed() -> None:
    assert _paced(*[0.2] * 50, *[0.01] * 100) == UNMEASURED_PACE

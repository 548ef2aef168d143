"""The chain: what may be written, where a job starts, and which rung is next."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.chain.chain import (
    Chain,
    RungRange,
    called_in,
    limit_group,
    parse_chain,
    parse_groups,
    parse_requests_per_minute,
    parse_starts,
    short_name,
)
from models.errors import SettingsError
from tests.support.plays.walk_scene import HAIKU, OPUS, SONNET

_MODELS = ("opus", "sonnet", "haiku")
_CHAIN = Chain(models=_MODELS, starts={"summarize": 2, "synthesize": 1})


@st.composite
def _spans(draw: st.DrawFn) -> RungRange:
    ceiling, start, floor = sorted(draw(st.lists(st.integers(0, 9), min_size=3, max_size=3)))
    return RungRange(start=start, floor=floor, ceiling=ceiling)


_GIVEN_UP = st.sets(st.integers(0, 9))


def test_a_chain_is_read_with_its_spaces_and_dates() -> None:
    read = parse_chain(" claude-opus-4-7 ,claude-haiku-4-5-20251001, anthropic.claude_x@1 ")
    assert read == ("claude-opus-4-7", "claude-haiku-4-5-20251001", "anthropic.claude_x@1")


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("", "at least one model"),
        (" , ", "at least one model"),
        ("opus,,haiku", "'' is not a model name"),
        ("opus haiku", "'opus haiku' is not a model name"),
        ("-opus", "'-opus' is not a model name"),
        ("opus:5:25", "'opus:5:25' is not a model name"),
        ("opus,haiku,opus", "opus is named twice"),
    ],
)
def test_a_chain_that_cannot_be_walked_is_refused_with_the_fix(text: str, fix: str) -> None:
    with pytest.raises(SettingsError, match="MODEL_CHAIN=") as caught:
        parse_chain(text)
    assert fix in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("summarize", "should be task:model"),
        ("summarize:", "should be task:model"),
        (":opus", "should be task:model"),
        ("summarize:gpt", "gpt is not in MODEL_CHAIN (opus, sonnet, haiku)"),
        ("summarize:opus,summarize:haiku", "'summarize' is named twice"),
    ],
)
def test_a_start_outside_the_chain_is_refused_with_the_fix(text: str, fix: str) -> None:
    with pytest.raises(SettingsError, match="TASK_STARTS=") as caught:
        parse_starts(text, _MODELS)
    assert fix in str(caught.value)


def test_each_task_starts_at_the_rung_of_its_model() -> None:
    assert parse_starts(" a : haiku, b:opus ,", _MODELS) == {"a": 2, "b": 0}
    assert parse_starts("", _MODELS) == {}


@given(st.lists(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,20}", fullmatch=True), min_size=1, unique=True))
def test_any_list_of_model_names_is_read_as_it_was_written(names: list[str]) -> None:
    assert parse_chain(",".join(names)) == tuple(names)


@given(st.text())
def test_no_text_at_all_breaks_the_reading_of_a_chain(text: str) -> None:
    try:
        models = parse_chain(text)
    except SettingsError:
        return
    assert len(set(models)) == len(models) > 0


def test_a_job_starts_at_its_own_rung_else_its_tasks_else_the_primary() -> None:
    assert _CHAIN.span(task="summarize", start=1).start == 1
    assert _CHAIN.span(task="summarize", start=0).start == 0
    assert _CHAIN.span(task="summarize").start == 2
    assert _CHAIN.span(task="unheard of").start == 0
    assert _CHAIN.span() == RungRange(start=0, floor=2, ceiling=0)


def test_availability_goes_down_to_the_floor_and_then_up_to_the_ceiling() -> None:
    span = RungRange(start=2, floor=3, ceiling=0)
    assert span.available(()) == (2, 3, 1, 0)
    assert span.available({2, 1}) == (3, 0)
    assert RungRange(start=2, floor=2, ceiling=2).available({2}) == ()


def test_quality_climbs_to_the_nearest_better_rung() -> None:
    span = RungRange(start=2, floor=3, ceiling=1)
    assert span.above(3, ()) == (2, 1)
    assert span.above(3, {2}) == (1,)
    assert span.above(1, ()) == ()


@given(span=_spans(), given_up=_GIVEN_UP)
def test_available_rungs_are_those_of_the_span_not_given_up_each_once(span: RungRange, given_up: set[int]) -> None:
    available = span.available(given_up)
    assert sorted(available) == [rung for rung in range(span.ceiling, span.floor + 1) if rung not in given_up]


@given(span=_spans(), given_up=_GIVEN_UP)
def test_nothing_better_is_called_while_something_cheaper_is_left(span: RungRange, given_up: set[int]) -> None:
    available = span.available(given_up)
    down = [rung for rung in available if rung >= span.start]
    assert list(available[: len(down)]) == sorted(down)
    assert list(available[len(down) :]) == sorted(set(available) - set(down), reverse=True)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("claude-haiku-4-5", "claude-haiku-4-5-20251001"),
        ("claude-opus-4-7-20260401", "claude-opus-4-7"),
        ("claude-opus-4-7", "claude-opus-4-7"),
        ("claude-haiku-4-5-20240101", None),
        ("haiku-4-5", None),
        ("", None),
    ],
)
def test_a_model_is_known_with_its_date_or_without(name: str, model: str | None) -> None:
    assert called_in(("claude-opus-4-7", "claude-haiku-4-5-20251001"), name) == model


@given(span=_spans(), rungs=st.integers(1, 10))
def test_a_span_of_a_longer_chain_fits_a_shorter_one(span: RungRange, rungs: int) -> None:
    fitted = span.clamped(rungs)
    assert 0 <= fitted.ceiling <= fitted.start <= fitted.floor < rungs
    if span.floor < rungs:
        assert fitted == span


@pytest.mark.parametrize(
    ("model", "group"),
    [
        ("claude-opus-4-5-20251101", "claude-opus-4"),
        ("claude-opus-4-6", "claude-opus-4"),
        ("claude-opus-4-7", "claude-opus-4"),
        ("claude-opus-4-8", "claude-opus-4"),
        ("claude-opus-4-1", "claude-opus-4-1"),
        ("claude-opus-4-70", "claude-opus-4-70"),
        ("claude-opus-5-5", "claude-opus-5-5"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4"),
        ("claude-sonnet-4-6", "claude-sonnet-4"),
        ("claude-sonnet-4-7", "claude-sonnet-4-7"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5-20251001"),
        ("something-else", "something-else"),
    ],
)
def test_models_of_one_provider_limit_share_a_group(model: str, group: str) -> None:
    assert limit_group(model) == group


def test_people_name_a_model_without_its_maker_and_date() -> None:
    assert [short_name(model) for model in ("claude-opus-4-7", "claude-haiku-4-5-20251001", "gpt-9")] == [
        "opus-4-7",
        "haiku-4-5",
        "gpt-9",
    ]


def test_models_may_be_told_to_share_their_limits() -> None:
    models = (OPUS, SONNET, HAIKU)
    chain = Chain(models=models, groups=parse_groups(f"{SONNET}:ours, {HAIKU}:ours", models))
    assert [chain.group_of(model) for model in models] == ["claude-opus-4", "ours", "ours"]


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        (OPUS, "should be model:group"),
        (f"{OPUS}:", "should be model:group"),
        (":ours", "should be model:group"),
        (f"{OPUS}:a b", "should be model:group"),
        ("claude-2:ours", "claude-2 is not in MODEL_CHAIN"),
        (f"{OPUS}:a,{OPUS}:b", "is named twice"),
    ],
)
def test_a_wrong_group_is_named_with_what_is_right(text: str, fix: str) -> None:
    with pytest.raises(SettingsError, match="LIMIT_GROUPS") as raised:
        parse_groups(text, (OPUS, SONNET, HAIKU))
    assert fix in str(raised.value)


def test_requests_a_minute_are_of_the_group_of_each_model() -> None:
    chain = Chain(models=(OPUS, SONNET, HAIKU), groups={HAIKU: "ours"})
    assert parse_requests_per_minute(f" {HAIKU}:50, {OPUS}:4000 ", chain) == {"ours": 50, chain.group_of(OPUS): 4000}
    assert parse_requests_per_minute("", chain) == {}


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        (OPUS, "should be model:number"),
        (f"{OPUS}:0", "should be model:number"),
        (f"{OPUS}:-5", "should be model:number"),
        (f"{OPUS}:4k", "should be model:number"),
        ("claude-2:50", "claude-2 is not in MODEL_CHAIN"),
        (":50", "(empty) is not in MODEL_CHAIN"),
        (f"{OPUS}:50,{SONNET}:60", f"{SONNET} shares the limit 50 of group ours"),
    ],
)
def test_wrong_requests_a_minute_are_named_with_what_is_right(text: str, fix: str) -> None:
    chain = Chain(models=(OPUS, SONNET, HAIKU), groups={OPUS: "ours", SONNET: "ours"})
    with pytest.raises(SettingsError, match="REQUESTS_PER_MINUTE") as raised:
        parse_requests_per_minute(text, chain)
    assert fix in str(raised.value)

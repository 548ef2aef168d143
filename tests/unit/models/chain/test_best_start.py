"""Where a job had best start: too little data moves nothing, and what is picked is worth it even at its worst."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.chain.best_start import (
    LEAST,
    MARGIN,
    WANTED,
    Bound,
    Expected,
    StartRecord,
    StartVerdict,
    WeighedStart,
    bounds,
    expect,
    explored,
    picked,
    weigh,
)
from models.chain.chain import RungRange
from models.ids import new_id

_SPAN = RungRange(start=0, floor=2, ceiling=0)
_ALL = frozenset({"truncated", "refused", "empty", "invalid"})
_COSTS = (Decimal("0.010"), Decimal("0.006"), Decimal("0.002"))
_BOUNDS: tuple[Bound, ...] = ("low", "expected", "high")
_WORDS = ("truncated", "refused", "empty", "invalid", "too_long")


def _record(judged: int, accepted: int, cost_usd: str, **changes: object) -> StartRecord:
    unaccepted = {"truncated": judged - accepted}
    whole = StartRecord(judged=judged, accepted=accepted, unaccepted=unaccepted, mean_cost_usd=Decimal(cost_usd))
    return replace(whole, **changes)  # type: ignore[arg-type]  # fields by name


def _chain(*shares: tuple[int, int]) -> list[StartRecord]:
    return [_record(n, k, str(cost)) for (k, n), cost in zip(shares, _COSTS, strict=True)]


def _why(weighed: Sequence[WeighedStart]) -> list[StartVerdict]:
    return [one.reason for one in weighed]


def test_a_cheap_model_that_does_is_where_it_starts() -> None:
    weighed = weigh(_chain((400, 400), (400, 400), (380, 400)), _SPAN, _ALL)
    assert _why(weighed) == [StartVerdict.DEARER, StartVerdict.DEARER, StartVerdict.PICKED]


def test_a_cheap_model_that_fails_nine_times_of_ten_costs_more_than_the_one_above_it() -> None:
    weighed = weigh(_chain((400, 400), (396, 400), (40, 400)), _SPAN, _ALL)
    assert _why(weighed) == [StartVerdict.DEARER, StartVerdict.PICKED, StartVerdict.DEARER]


def test_what_an_accepted_answer_costs_is_its_own_and_what_the_climb_costs() -> None:
    records = [_record(100, 80, "0.010"), _record(100, 100, "0.002")]
    top, bottom = weigh(records, RungRange(start=0, floor=1, ceiling=0), _ALL)
    assert top.cost_usd == Decimal("0.0125")  # 0.010 for each, and four of five will do
    climbing, lost = 1 - bounds(100, 100)[0], 1 - bounds(80, 100)[0]
    assert bottom.cost_usd == (Decimal("0.002") + climbing * Decimal("0.010")) / (1 - climbing * lost)


def test_with_too_few_jobs_a_rung_is_not_started_at() -> None:
    weighed = weigh(_chain((400, 400), (29, 29), (0, 0)), _SPAN, _ALL)
    assert _why(weighed) == [StartVerdict.PICKED, StartVerdict.TOO_FEW, StartVerdict.TOO_FEW]


def test_without_a_ceiling_to_compare_with_nothing_is_picked() -> None:
    weighed = weigh(_chain((29, 29), (400, 400), (400, 400)), _SPAN, _ALL)
    assert _why(weighed) == [StartVerdict.NO_YARDSTICK] * 3
    assert picked(weighed) is None
    assert picked(weigh(_chain((0, 400), (400, 400), (400, 400)), _SPAN, _ALL)) is None


def test_a_model_that_was_never_asked_does_not_keep_the_one_below_it_from_being_picked() -> None:
    records = [_record(400, 400, "0.010"), StartRecord(), _record(400, 400, "0.002")]
    assert _why(weigh(records, _SPAN, _ALL)) == [StartVerdict.DEARER, StartVerdict.TOO_FEW, StartVerdict.PICKED]


def test_a_cost_that_nobody_knows_is_no_bargain() -> None:
    records = _chain((400, 400), (400, 400), (400, 400))
    records[2] = replace(records[2], mean_cost_usd=None)
    assert _why(weigh(records, _SPAN, _ALL))[2] is StartVerdict.UNPRICED


def test_a_truncated_answer_is_accepted_where_the_kind_keeps_it() -> None:
    records = _chain((400, 400), (400, 400), (40, 400))
    assert picked(weigh(records, _SPAN, _ALL)) == 1
    assert picked(weigh(records, _SPAN, _ALL - {"truncated"})) == 2


def test_a_refusal_that_ends_the_job_is_not_made_up_for_by_a_low_price() -> None:
    records = _chain((400, 400), (400, 400), (380, 400))
    records[2] = replace(records[2], unaccepted={"refused": 20})
    assert picked(weigh(records, _SPAN, _ALL)) == 2
    assert _why(weigh(records, _SPAN, _ALL - {"refused"})) == [
        StartVerdict.DEARER,
        StartVerdict.PICKED,
        StartVerdict.LOSES,
    ]


def test_on_the_way_up_a_model_is_judged_by_the_hard_jobs_that_came_to_it() -> None:
    records = _chain((400, 400), (400, 400), (300, 400))
    assert picked(weigh(records, _SPAN, _ALL)) == 2
    records[1] = replace(records[1], climbed=400, climbed_accepted=0)
    easy, hard = (weigh(some, _SPAN, _ALL)[2].cost_usd for some in (_chain(*((400, 400),) * 2, (300, 400)), records))
    assert easy is not None
    assert hard is not None
    assert hard > easy
    assert weigh(records, _SPAN, _ALL)[1].low == bounds(400, 400)[0]


def test_a_floor_and_a_ceiling_hold() -> None:
    records = _chain((400, 400), (400, 400), (400, 400))
    assert picked(weigh(records, RungRange(start=0, floor=1, ceiling=0), _ALL)) == 1
    assert picked(weigh(records, RungRange(start=1, floor=1, ceiling=1), _ALL)) == 1


@st.composite
def _anything(draw: st.DrawFn) -> StartRecord:
    ends = {word: draw(st.integers(0, 200)) for word in _WORDS}
    accepted, climbed = draw(st.integers(0, 2000)), draw(st.integers(0, 200))
    nano = draw(st.none() | st.integers(0, 10**9))
    return StartRecord(
        judged=accepted + sum(ends.values()),
        accepted=accepted,
        unaccepted=ends,
        climbed=climbed,
        climbed_accepted=draw(st.integers(0, climbed)),
        mean_cost_usd=None if nano is None else Decimal(nano) / 10**9,
    )


_RECORDS = st.lists(_anything(), min_size=3, max_size=3)
_CLIMBS = st.frozensets(st.sampled_from(sorted(_ALL)))
_SPANS = st.sampled_from([RungRange(start=c, floor=f, ceiling=c) for c in range(3) for f in range(c, 3)])


@given(_RECORDS, _SPANS, _CLIMBS)
def test_what_is_picked_is_known_well_enough_and_costs_no_more_than_the_ceiling(
    records: list[StartRecord], span: RungRange, climbs: frozenset[str]
) -> None:
    weighed = weigh(records, span, climbs)
    assert [one.rung for one in weighed] == list(range(span.ceiling, span.floor + 1))
    start = picked(weighed)
    if start is None:
        assert {one.reason for one in weighed} == {StartVerdict.NO_YARDSTICK}
        return
    by_rung = {one.rung: one for one in weighed}
    best, ceiling = by_rung[start], by_rung[span.ceiling]
    assert best.judged >= LEAST
    assert best.cost_usd is not None
    assert ceiling.cost_usd is not None
    assert best.cost_usd <= ceiling.cost_usd
    if start != span.ceiling:
        ending = sum(records[start].unaccepted[word] for word in ("refused", "empty", "invalid") if word not in climbs)
        assert ending / best.judged <= 1 - ceiling.low
        if ending:
            assert bounds(ending, best.judged)[1] <= 1 - ceiling.low + MARGIN


def _from_below(records: Sequence[StartRecord], climbs: frozenset[str] = _ALL) -> Expected:
    return expect(records, RungRange(start=2, floor=2, ceiling=0), climbs)


def test_poor_answers_climb_rung_by_rung_and_each_costs_one_more_of_depth() -> None:
    course = _from_below(_chain((400, 400), (200, 400), (300, 400)))
    assert course.visits == {2: 1, 1: Decimal("0.25"), 0: Decimal("0.125")}
    assert course.depths == {0: Decimal("0.75"), 1: Decimal("0.125"), 2: Decimal("0.125")}


def test_an_end_that_does_not_climb_stops_the_job_and_a_truncated_answer_is_then_kept() -> None:
    poor = replace(_chain((1, 1), (1, 1), (200, 400))[2], unaccepted={"truncated": 100, "refused": 60, "empty": 40})
    records = [*_chain((400, 400), (400, 400), (1, 1))[:2], poor]
    assert _from_below(records).depths == {0: Decimal("0.5"), 1: Decimal("0.5")}
    assert _from_below(records, frozenset()).depths == {0: Decimal("0.75")}
    some = _from_below(records, frozenset({"empty"}))
    assert some.depths[0] == Decimal("0.75")
    assert some.depths[1] == pytest.approx(Decimal("0.1"))


def test_at_the_ceiling_a_truncated_answer_is_kept_and_a_long_prompt_climbs_whatever_the_kind_says() -> None:
    records = _chain((100, 400), (400, 400), (0, 400))
    assert expect(records, RungRange(start=0, floor=2, ceiling=0), _ALL).depths == {0: 1}
    records[2] = replace(records[2], unaccepted={"too_long": 400})
    assert _from_below(records, frozenset()).depths == {0: 0, 1: 1}


def test_on_the_way_up_the_hard_jobs_count_once_they_are_enough() -> None:
    records = _chain((400, 400), (400, 400), (200, 400))
    records[1] = replace(records[1], climbed=LEAST, climbed_accepted=LEAST // 2)
    assert _from_below(records).depths == {0: Decimal("0.5"), 1: Decimal("0.25"), 2: Decimal("0.25")}


def test_a_model_without_a_record_answers_always_and_at_its_low_bound_never() -> None:
    start = RungRange(start=1, floor=2, ceiling=0)
    assert expect([StartRecord()] * 3, start, _ALL).depths == {0: 1}
    assert expect([StartRecord()] * 3, start, _ALL, "low").depths == {0: 0, 1: 0}
    assert expect([StartRecord()] * 3, start, _ALL, "high").depths == {0: 1}


@given(st.lists(_anything(), min_size=3, max_size=3), st.sets(st.sampled_from(sorted(_ALL))), st.integers(0, 2))
def test_whatever_the_records_no_more_jobs_are_answered_than_come_and_bounds_are_in_order(
    records: list[StartRecord], climbs: set[str], start: int
) -> None:
    courses = [expect(records, RungRange(start=start, floor=2, ceiling=0), climbs, bound) for bound in _BOUNDS]
    low, expected, high = (sum(course.depths.values()) for course in courses)
    assert 0 <= low <= expected + Decimal("1e-20")
    assert expected <= high + Decimal("1e-20")
    assert high <= 1 + Decimal("1e-20")
    for course in courses:
        assert course.visits[start] == 1
        assert all(0 <= course.depths[start - rung] <= chance for rung, chance in course.visits.items())


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(0, 500)), min_size=3, max_size=3), st.integers(0, 2))
def test_a_rung_that_grows_dearer_is_not_picked_for_it(shares: list[tuple[int, int]], rung: int) -> None:
    records = _chain(*((accepted, accepted + failed) for accepted, failed in shares))
    if picked(weigh(records, _SPAN, _ALL)) != rung:
        records[rung] = replace(records[rung], mean_cost_usd=_COSTS[rung] * 2)
        assert picked(weigh(records, _SPAN, _ALL)) != rung


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_bounds_hold_the_share_and_narrow_with_more_of_the_same(accepted: int, failed: int) -> None:
    judged = accepted + failed
    low, high = bounds(accepted, judged)
    assert 0 <= low <= high <= 1
    if judged:
        assert low <= Decimal(accepted) / judged <= high or abs(high - Decimal(accepted) / judged) < Decimal("1e-20")
        wide, narrow = high - low, bounds(accepted * 2, judged * 2)
        assert narrow[1] - narrow[0] <= wide


@pytest.mark.parametrize(
    ("records", "rungs"), [(_chain((400, 400), (400, 400), (400, 400)), {2}), ([StartRecord()] * 3, {0, 2})]
)
def test_about_one_job_in_fifty_explores_and_its_id_alone_tells_where(
    records: list[StartRecord], rungs: set[int]
) -> None:
    ids = [new_id(random_bits=number * 7919) for number in range(10_000)]
    share = Decimal("0.02")
    found = [explored(one, 1, records, _SPAN, share=share) for one in ids]
    assert found == [explored(one, 1, records, _SPAN, share=share) for one in ids]
    assert {rung for rung in found if rung is not None} == rungs
    assert 140 < sum(rung is not None for rung in found) < 260


def test_nothing_explores_where_nothing_may_or_there_is_nowhere_to_go() -> None:
    known = [_record(WANTED, WANTED, "0.01")] * 3
    ids = [new_id(random_bits=number) for number in range(200)]
    assert {explored(one, 1, known, _SPAN, share=Decimal(0)) for one in ids} == {None}
    assert {explored(one, 2, known, _SPAN, share=Decimal(1)) for one in ids} == {None}
    alone = RungRange(start=1, floor=1, ceiling=1)
    assert {explored(one, 1, known, alone, share=Decimal(1)) for one in ids} == {None}

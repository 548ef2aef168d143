"""A replay goes the way the worker goes, and its chances sum to one."""

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from models.chain.chain import Chain, Span
from models.chain.replay import FREE, GONE, LOST, UNAVAILABLE, Case, Odds, Seen, Weights, weigh
from models.chain.replay_odds import Oracle, Tallies, interval
from models.money.usage import Usage
from models.outcome import Outcome
from tests.support.plays.walk_scene import WINDOWS
from worker.fallback.decide import decide, depth_at
from worker.fallback.decision import Answered, Decision, Fallback, Place, Policy, Retry
from worker.provider.reply import Failure, Reply

_NAMES = ("a", "b", "c", "d", "e")
_ENDS = (
    *(Outcome.ANSWERED, Outcome.TRUNCATED, Outcome.REFUSED, Outcome.OVERLOADED, Outcome.SERVER_ERROR, Outcome.CUT),
    *(Outcome.MALFORMED, Outcome.RATE_LIMITED, Outcome.BAD_REQUEST, Outcome.MODEL_MISSING),
)
_CLIMBS = st.sets(st.sampled_from([Outcome.TRUNCATED, Outcome.REFUSED])).map(frozenset)
_SHARE = st.decimals(0, Decimal("0.3"), places=3)
_ODDS = st.builds(
    lambda free, lost, cut, no: Odds(free, lost, (("refused", no), ("truncated", cut))), _SHARE, _SHARE, _SHARE, _SHARE
)


@st.composite
def _spans(draw: st.DrawFn) -> tuple[tuple[str, ...], Span]:
    models = _NAMES[: draw(st.integers(1, 5))]
    ceiling, start, floor = sorted(draw(st.integers(0, len(models) - 1)) for _ in range(3))
    return models, Span(start=start, floor=floor, ceiling=ceiling)


@st.composite
def _cases(draw: st.DrawFn) -> Case:
    models, span = draw(_spans())
    seen = st.builds(Seen, st.sampled_from([*models, "gone"]), st.sampled_from([*map(str, Outcome), None]))
    passed = st.dictionaries(st.sampled_from(models), st.sampled_from(["unfit", UNAVAILABLE]))
    return Case(
        models=models,
        span=span,
        climbs=draw(_CLIMBS),
        odds=tuple(draw(_ODDS) for _ in models),
        windows=tuple(draw(st.sampled_from([None, 100, 200])) for _ in models),
        seen=tuple(draw(st.lists(seen, max_size=6))),
        passed=draw(passed),
        is_succeeded=draw(st.booleans()),
    )


@given(_cases())
def test_whatever_a_job_did_the_chances_of_its_ends_sum_to_one(case: Case) -> None:
    weights = weigh(case)
    assert abs(sum(weights.depths.values(), weights.failed) - 1) < Decimal("1e-6")
    assert all(0 <= chance <= Decimal("1.000001") for chance in weights.own.values())
    assert all(chance >= 0 for chance in (*weights.calls.values(), *weights.depths.values(), weights.failed))
    assert all(0 <= depth < len(case.models) for depth in weights.depths)


@settings(max_examples=500)
@given(_spans(), _CLIMBS, st.lists(st.sampled_from(_ENDS), min_size=5, max_size=5))
def test_a_replay_asks_whom_the_worker_asked_and_ends_as_it_did(
    where: tuple[tuple[str, ...], Span], climbs: frozenset[Outcome], ends: list[Outcome]
) -> None:
    models, span = where
    made, depth, decision = _walked(models, span, climbs, ends)
    if not isinstance(decision, Answered | None):
        return  # it waits: another round, of which these ends say nothing
    odds = tuple(_certain(end) for end in ends[: len(models)])
    known = Case(models=models, span=span, climbs=climbs, odds=odds, seen=made, is_succeeded=decision is not None)
    weights = weigh(known)
    assert (weights.own, weights.calls) == _plain(dict.fromkeys(range(len(made)), 1), {})
    came = _plain(1, {}) if decision is None else _plain(0, {depth: 1})
    assert (weights.failed, weights.depths) == came
    blind = weigh(Case(models=models, span=span, climbs=climbs, odds=odds))
    assert blind.calls == {(model, _known(end)): 1 for model, end in made}
    assert (blind.failed, blind.depths) == came


def test_a_job_that_was_answered_at_once_is_certain_and_asks_for_no_odds() -> None:
    weights = _weighed(seen=(Seen("a", "answered"),), odds=(Odds(unavailable=Decimal(1)),) * 3)
    assert (weights.own, weights.calls, weights.depths) == _plain({0: 1}, {}, {0: 1})


def test_chances_go_down_for_availability_and_up_for_quality() -> None:
    poor = Odds(unavailable=Decimal("0.2"), poor=(("truncated", Decimal("0.5")),))
    weights = _weighed(span=Span(start=2, floor=2, ceiling=0), climbs={"truncated"}, odds=(Odds(), Odds(), poor))
    assert weights.calls == {
        ("c", UNAVAILABLE): Decimal("0.2"),
        ("c", "truncated"): Decimal("0.4"),
        ("c", "answered"): Decimal("0.4"),
        ("b", "answered"): Decimal("0.6"),
    }
    assert weights.depths == {0: Decimal("0.4"), 1: Decimal("0.6")}


def test_what_a_job_did_with_a_model_it_does_again_wherever_that_model_stands() -> None:
    weights = _weighed(models=("c", "a"), seen=(Seen("a", "overloaded"), Seen("c", "answered")))
    assert (weights.own, weights.calls) == _plain({1: 1}, {})
    climbing = _weighed(models=("a", "b"), span=Span(start=1, floor=1, ceiling=0), seen=(Seen("a", "overloaded"),))
    assert climbing.calls == {("b", "answered"): 1}


def test_a_rung_that_was_passed_over_is_passed_over_again_without_a_call() -> None:
    skipped = _weighed(passed={"a": UNAVAILABLE}, seen=(Seen("b", "answered"),))
    assert (skipped.own, skipped.calls, skipped.depths) == _plain({0: 1}, {}, {1: 1})
    unfit = _weighed(passed={"a": "unfit"}, seen=(Seen("b", "answered"),))
    assert unfit.depths == {0: 1}


def test_after_a_round_in_vain_a_job_waits_and_is_answered() -> None:
    down = Odds(unavailable=Decimal(1))
    weights = _weighed(odds=(down, down, down))
    assert weights.calls == {("a", UNAVAILABLE): 1, ("b", UNAVAILABLE): 1, ("c", UNAVAILABLE): 1, ("a", "answered"): 1}
    lost = Odds(lost=Decimal(1))
    assert _weighed(odds=(lost, lost, lost)).failed == 1


def test_a_cut_answer_that_was_kept_is_better_than_none() -> None:
    cut, lost = Odds(poor=(("truncated", Decimal(1)),)), Odds(lost=Decimal(1))
    weights = _weighed(span=Span(start=1, floor=1, ceiling=0), climbs={"truncated"}, odds=(lost, cut, Odds()))
    assert weights.depths == {0: 1}


def test_a_model_that_was_never_asked_is_taken_for_the_nearest_rung_that_was() -> None:
    tallies = Tallies()
    for model, end in (("b", "answered"), ("b", "truncated"), ("d", "answered")):
        tallies.add(model, None, 7, end, 100, 10)
    oracle = Oracle(tallies, ("a", "b", "c", "d"))
    assert oracle.quality("a", None)[1:] == (2, "b", False)
    assert oracle.quality("c", None).model == "b"
    assert oracle.odds("a", None, 7) == Odds(poor=(("truncated", Decimal("0.5")),))
    assert [oracle.odds("a", None, 7, bound).poor[0][1] for bound in ("low", "high")] == [0, 1]


def test_a_model_is_as_available_as_it_was_in_the_same_ten_minutes() -> None:
    tallies = Tallies()
    for end in ("answered", "overloaded", "overloaded", "timed_out", "bad_request"):
        tallies.add("a", None, 7, end, 100, None)
    oracle = Oracle(tallies, ("a",))
    assert oracle.odds("a", None, 7)[:2] == _plain(Decimal("0.5"), Decimal("0.25"))
    assert oracle.odds("a", None, 8)[:2] == _plain(0, 0)


def test_jobs_that_went_on_without_a_call_are_expected_to_go_on_again() -> None:
    tallies = Tallies()
    tallies.add("a", None, 7, "answered", 100, None)
    tallies.slots["a", 7].passed += 3
    odds = Oracle(tallies, ("a",)).odds("a", None, 7)
    weights = _weighed(odds=(odds, Odds(), Odds()))
    assert weights.calls == {("a", "answered"): Decimal("0.25"), ("b", "answered"): Decimal("0.75")}
    assert weights.depths == {0: Decimal("0.25"), 1: Decimal("0.75")}


def test_lengths_are_compared_only_where_both_have_written_enough() -> None:
    tallies = Tallies()
    for count, tokens, model in ((30, 200, "a"), (30, 100, "b"), (29, 50, "c")):
        for _ in range(count):
            tallies.add(model, "t", 1, "answered", 100, tokens)
    oracle = Oracle(tallies, ("a", "b", "c"))
    assert (oracle.ratio("a", "b", "t").expected, oracle.ratio("b", "a", "t").expected) == _plain(Decimal("0.5"), 2)
    assert (oracle.ratio("a", "c", "t").is_learned, oracle.ratio("a", "b", None).is_learned) == (False, False)


@given(st.integers(0, 500), st.integers(1, 500))
def test_an_interval_holds_what_was_observed(count: int, of: int) -> None:
    share = Decimal(min(count, of)) / of
    low, high = interval(share, of)
    assert 0 <= low <= share <= high <= 1 or abs(share - high) < Decimal("1e-9") or abs(share - low) < Decimal("1e-9")
    assert interval(share, 0) == _plain(0, 1)


def _plain(*values: Any) -> tuple[Any, ...]:
    """Compare chances with whole numbers."""
    return values


def _weighed(**changes: object) -> Weights:
    whole = {"models": ("a", "b", "c"), "span": None, "climbs": frozenset(), "odds": (Odds(),) * 3} | changes
    models = whole["models"]
    assert isinstance(models, tuple)
    whole["span"] = whole["span"] or Span(start=0, floor=len(models) - 1, ceiling=0)
    return weigh(Case(**whole))  # type: ignore[arg-type] # as each test lays it out


def _certain(end: Outcome) -> Odds:
    if end in FREE and end is not Outcome.MODEL_MISSING:
        return Odds(unavailable=Decimal(1))
    return Odds(lost=Decimal(1)) if end in GONE else Odds(poor=((str(end), Decimal(1)),))


def _known(end: str | None) -> str:
    return (
        str(end) if end == Outcome.MODEL_MISSING else UNAVAILABLE if end in FREE else LOST if end in GONE else str(end)
    )


def _walked(
    models: tuple[str, ...], span: Span, climbs: frozenset[Outcome], ends: list[Outcome]
) -> tuple[tuple[Seen, ...], int, Decision | None]:
    """Take a job down its chain by the worker's own rules; None: it failed."""
    policy = Policy(
        chain=Chain(models=models),
        span=span,
        climbs=climbs,
        patience_s=5,
        key_pause_s=60,
        time_left_s=1000,
        draw=lambda: 1.0,
        window_of=WINDOWS.get,
    )
    made, place, kept = list[Seen](), Place(rung=span.start, given_up={}, rounds=0), None
    while True:
        end = ends[place.rung]
        made.append(Seen(models[place.rung], str(end)))
        depth = depth_at(place, span)
        kept = depth if end is Outcome.TRUNCATED else kept
        match decide(_said(end), place, policy):
            case Retry():
                place = Place(rung=place.rung, given_up=place.given_up, rounds=0, retries=place.retries + 1)
            case Fallback(rung=rung, given_up=given_up):
                place = Place(rung=rung, given_up=given_up, rounds=0)
            case Answered() as decision:
                return tuple(made), depth, decision
            case decision if kept is not None:
                return tuple(made), kept, Answered()
            case decision:
                return tuple(made), depth, decision if hasattr(decision, "after_s") else None


def _said(end: Outcome) -> Reply | Failure:
    if end not in {Outcome.ANSWERED, Outcome.TRUNCATED, Outcome.REFUSED}:
        return Failure(outcome=end, said="no", latency_ms=1)
    return Reply(
        outcome=end,
        message={},
        usage=Usage(input_tokens=1, output_tokens=1),
        served_model="a",
        stop_reason="end_turn",
        message_id=None,
        request_id=None,
        latency_ms=1,
    )

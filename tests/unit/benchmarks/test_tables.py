"""The other tables' arithmetic: one side's calls and answers in, one row out."""

import pytest

from producer.simulator.answer.script import parse_script
from tests.benchmarks.chain import mixed, outage, overload
from tests.benchmarks.chain.prompts import mixed_prompts, overload_prompts
from tests.benchmarks.chain.ran import BenchPrompt, End, Load, Ran
from tests.benchmarks.chain.referee import Call
from tests.benchmarks.chain.table import Column, failed_of, lines

_LINE = outage.Timeline(primary_from=10, primary_to=31, all_from=40, all_to=50, end=70)
_WELL = "A summary that says what there is to say."


def _ran(calls: list[Call], *, ends: list[End] | None = None, billed_nano_usd: int = 0) -> Ran:
    return Ran(side="ours", ends=ends or [], calls=calls, billed_nano_usd=billed_nano_usd, wall_s=70)


def _call(at_s: float, status: int = 200) -> Call:
    return Call(at_s=at_s, group="opus-4", status=status)


def _asked(task: str) -> BenchPrompt:
    return BenchPrompt(id=0, task=task, text="")


def _end(**changes: object) -> End:
    fields: dict[str, object] = {"id": 0, "is_ok": True, "text": _WELL, "stop_reason": "end_turn"}
    return End(**{**fields, **changes})  # type: ignore[arg-type]  # fields of End


def test_a_probe_every_five_seconds_is_one_wasted_call_an_interval() -> None:
    steady = [_call(second + part / 10) for second in range(70) if not 40 <= second < 50 for part in range(10)]
    probes = [_call(at_s, 529) for at_s in (10.2, 15, 20, 25, 30)]
    row = outage.row_of(_ran([*steady, *probes]), 1000, _LINE)
    assert row["primary"] == {"at_onset": 1, "later": 4, "per_interval": 1, "most_in_one": 1}
    assert (row["rate"], row["recovery_s"]) == (10, 0)


def test_a_slow_recovery_is_told_in_seconds() -> None:
    steady = [_call(second + part / 10) for second in (*range(40), *range(57, 70)) for part in range(10)]
    row = outage.row_of(_ran(steady), 1000, _LINE)
    assert row["recovery_s"] == 7


def test_the_timeline_is_what_the_simulator_plays() -> None:
    primary, everything = parse_script(outage.script_of(_LINE)).rules
    assert (primary.from_s, primary.to_s, len(primary.models)) == (10, 31, 6)
    assert (everything.from_s, everything.to_s) == (40, 50)


def test_failing_quickly_does_not_shorten_the_way_to_the_ideal() -> None:
    limits = {"opus-4": {"requests": 60}}
    calls = [_call(second) for second in range(60)]
    ends = [End(id=number, is_ok=number < 60) for number in range(120)]
    row = overload.row_of(
        _ran(calls, ends=ends), 120, {**limits, "sonnet-4": {"requests": 6}, "haiku-4-5": {"requests": 6}}
    )
    assert (row["failed"], row["succeeded"]) == (60, 60)
    assert row["ideal_s"] == 0


@pytest.mark.parametrize(
    ("task", "end", "is_accepted"),
    [
        ("summarize", _end(), True),
        ("summarize", _end(stop_reason="max_tokens"), False),
        ("summarize", _end(text=""), False),
        ("summarize", _end(text=None), False),
        ("summarize", _end(is_ok=False), False),
        ("synthesize", _end(text="Yes."), False),
        ("extract", _end(text='{"name": "Westercon", "year": 1980}'), True),
        ("extract", _end(text='{"name": "Westercon"}'), False),
        ("extract", _end(text='["name", "year"]'), False),
        ("extract", _end(text="{"), False),
    ],
)
def test_an_answer_is_accepted_for_what_its_task_asks(task: str, end: End, is_accepted: bool) -> None:
    assert mixed.is_accepted(_asked(task), end) is is_accepted


def test_what_is_paid_for_answers_nobody_accepts_is_in_the_price_of_the_others() -> None:
    load = Load(script="", asked=[BenchPrompt(id=n, task="summarize", text="") for n in range(4)], threads=1, limit_s=1)
    ends = [_end(id=0), _end(id=1), _end(id=2, text=""), _end(id=3, is_ok=False)]
    row = mixed.row_of(_ran([], ends=ends, billed_nano_usd=4_000_000_000), load)
    assert (row["acceptance"], row["usd_per_accepted"]) == (0.5, 2)


def test_the_faults_of_the_mixed_load_are_a_script() -> None:
    assert len(parse_script(mixed.script()).rules) == 16


def test_prompts_are_all_different_and_mixed_as_announced() -> None:
    assert len({asked.text for asked in overload_prompts(2000)}) == 2000
    tasks = [asked.task for asked in mixed_prompts(400)]
    assert [tasks.count(task) for task in ("summarize", "extract", "synthesize")] == [320, 60, 20]


def test_a_table_has_a_row_a_side_and_the_targets_below() -> None:
    columns = [Column("calls", lambda row: str(row["calls"]), "<= 1.02")]
    assert lines([{"side": "ours", "calls": 1}], columns) == ["side      calls", "ours          1", "target  <= 1.02"]


def test_a_side_that_was_stopped_says_how_far_it_came() -> None:
    row = {"is_cut": True, "failed": 3, "succeeded": 1812, "prompts": 2000, "makespan_s": 300.2}
    assert failed_of(row) == "3, stopped at 300 s with 1812 of 2000"

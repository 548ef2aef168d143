"""Faults of the provider's message batches: every job ends well, and the ledger has what was billed, and no more."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from models.reports.jobs import Reports
from tests.integration.worker.half_price.test_half_price import billed, costs, message_batches, submitted
from tests.support.eventually import eventually
from tests.support.sites.lane_site import LANE_TIMES, QUICK_API
from tests.support.sites.worker_site import ENGINES, Plant, one_test, running_plant

_MORE = {"HALF_PRICE_LOST_S": "1.5", "HALF_PRICE_LIVE_S": "10", "CLIMB_ON": "truncated,refused"}


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Run one worker for all tests of this file."""
    with running_plant(request, tmp_path_factory.mktemp("lane-faults"), **LANE_TIMES | _MORE) as plant:
        yield plant


@pytest.fixture
def plant(whole: Plant) -> Iterator[Plant]:
    """Lend it to one test."""
    with one_test(whole) as plant:
        yield plant


def _rule(call: str, answer: str, **more: object) -> str:
    fields = {"call": f'"{call}"', "answer": answer if answer.isdigit() else f'"{answer}"', **more}
    return "[[batch_rules]]\n" + "\n".join(f"{name} = {value}" for name, value in fields.items()) + "\n"


# The script of each fault, and the end of the message batches that it leaves behind.
_FAULTS: dict[str, tuple[str, Counter[str]]] = {
    "reply lost though accepted": (_rule("create", "reset_before", times=1), Counter(done=1)),
    "500 and accepted": (_rule("create", "500", accepted="true", times=1), Counter(done=1)),
    "500 and not accepted": (_rule("create", "500", times=1), Counter(lost=1)),
    "429 on create": (_rule("create", "429", retry_after_s=1, times=1), Counter(done=1)),
    "413": (_rule("create", "413", times=1), Counter(refused=1, done=2)),
    "401 on create": (_rule("create", "401", times=1), Counter(done=1)),
    "spend limit on create": (_rule("create", "400_spend_limit", times=1), Counter(done=1)),
    "400 on create": (_rule("create", "400", times=1), Counter(refused=1)),
    "list lags": (_rule("create", "reset_before", times=1, list_lag_s=1), Counter(done=1)),
    "poll 404": (_rule("retrieve", "404", times=3), Counter(done=1)),
    "poll 500": (_rule("retrieve", "500", times=3), Counter(done=1)),
    "poll 401": (_rule("retrieve", "401", times=2), Counter(done=1)),
    "results 404 after the end": (_rule("results", "404", times=2), Counter(done=1)),
    "results cut": (_rule("results", "cut", times=1), Counter(done=1)),
    "results cut in a line": (_rule("results", "line_cut", times=1), Counter(done=1)),
    "missing custom_id": (_rule("results", "line_missing", times=1), Counter(done=1)),
    "doubled custom_id": (_rule("results", "line_doubled", times=1), Counter(done=1)),
    "unknown custom_id": (_rule("results", "line_unknown", times=1), Counter(done=1)),
    "bad line": (_rule("results", "line_bad", times=1), Counter(done=1)),
    "all expired": (_rule("create", "ok", expired="1.0", expires_s="0.2"), Counter(done=1)),
    "some expired": (_rule("create", "ok", expired="0.5", expires_s="0.2"), Counter(done=1)),
    "errored overloaded": ('[[rules]]\nlane = "batch"\nanswer = 529\ntimes = 2\n', Counter(done=1)),
    "errored 500": ('[[rules]]\nlane = "batch"\nanswer = 500\ntimes = 2\n', Counter(done=1)),
    "refused": ('[[rules]]\nlane = "batch"\nmodel = "opus"\nanswer = "refusal"\ntimes = 1\n', Counter(done=2)),
    "truncated": ('[[rules]]\nlane = "batch"\nanswer = "max_tokens"\ntimes = 1\n', Counter(done=2)),
    "paused": ('[[rules]]\nlane = "batch"\nanswer = "pause_turn"\ntimes = 1\n', Counter(done=1)),
    "another model": (
        '[[rules]]\nlane = "batch"\nanswer = "other_model"\nserved_model = "claude-sonnet-4-6"\n',
        Counter(done=1),
    ),
    "another tier": ('[[rules]]\nlane = "batch"\nanswer = "other_tier"\nservice_tier = "standard"\n', Counter(done=1)),
    "no tier": ('[[rules]]\nlane = "batch"\nanswer = "ok"\nwithout = ["service_tier"]\n', Counter(done=1)),
    "U+2028": ('[[rules]]\nlane = "batch"\nanswer = "text"\ntext = "one\\u2028two"\n', Counter(done=1)),
}


# The jobs that such a fault moves to live calls; the others get their answers in message batches.
_MOVED = {
    "500 and not accepted": {"lost": 4},
    "400 on create": {"errored": 4},
    "all expired": {"expired": 4},
    "some expired": {"expired": 2},
    "errored overloaded": {"errored": 2},
    "errored 500": {"errored": 2},
}


@pytest.mark.parametrize("fault", _FAULTS)
def test_every_job_ends_well_and_its_cost_is_the_bill(plant: Plant, fault: str) -> None:
    script, ends = _FAULTS[fault]
    plant.simulator.set_script(QUICK_API + script)
    before = {row["id"] for row in message_batches(plant)}
    batch = submitted(plant)
    answers = plant.finished(batch)
    attempts = plant.attempts(batch)
    assert {answer.state for answer in answers} == {"succeeded"}, _story(attempts)
    assert costs(attempts) == billed(plant, attempts), _story(attempts)
    assert all(row["closed_at"] for row in attempts)

    def states() -> Counter[str]:
        return Counter(row["state"] for row in message_batches(plant) if row["id"] not in before)

    # The last job ends a moment before its message batch.
    eventually(lambda: states() == ends, within_s=10, because=f"{ends} and not {states()}: {_story(attempts)}")
    assert moved(plant, batch.id) == _MOVED.get(fault, {}), _story(attempts)


def test_a_cut_answer_stands_if_no_better_one_comes(plant: Plant) -> None:
    """The raised request of each job is refused for good: the job ends with the answer that it has paid for."""
    cut = '[[rules]]\nlane = "batch"\nanswer = "max_tokens"\ntimes = 4\n'
    plant.simulator.set_script(QUICK_API + cut + "[[rules]]\nanswer = 400\n")
    batch = submitted(plant)
    answers = plant.finished(batch)
    attempts = plant.attempts(batch)
    ends = {(answer.state, answer.outcome, answer.stop_reason, answer.error) for answer in answers}
    assert ends == {("succeeded", "truncated", "max_tokens", None)}, _story(attempts)
    assert Counter(row["outcome"] for row in attempts) == Counter(truncated=4, bad_request=4)
    assert {answer.model for answer in answers} == {row["requested_model"] for row in attempts[:4]}
    assert costs(attempts) == billed(plant, attempts), _story(attempts)


def moved(plant: Plant, batch_id: str) -> dict[str, int]:
    """Return how many jobs of a batch moved to live calls, by cause."""
    use = Reports(plant.engine).half_price(batch_id)
    assert use is not None
    causes = {
        "late": use.moved_late,
        "errored": use.moved_errored,
        "expired": use.moved_expired,
        "lost": use.moved_lost,
    }
    return {cause: count for cause, count in causes.items() if count}


def _story(attempts: list[dict[str, Any]]) -> str:
    names = ("reason", "outcome", "requested_model", "error_type", "error", "cost_nano_usd", "message_batch_id")
    return "\n".join(str({name: str(row[name]) for name in names}) for row in attempts)


def test_a_message_batch_that_hangs_is_moved_to_live_calls_in_time(plant: Plant) -> None:
    plant.simulator.set_script(QUICK_API + _rule("create", "ok", never_ends="true"))
    batch = submitted(plant, deadline_s=13)
    answers = plant.finished(batch)
    attempts = plant.attempts(batch)
    assert {answer.state for answer in answers} == {"succeeded"}, _story(attempts)
    assert [(row["reason"], row["outcome"], row["error_type"]) for row in attempts[:2]] == [
        ("start", "not_run", "canceled"),
        ("late", "answered", None),
    ]
    assert moved(plant, batch.id) == {"late": 4}
    assert costs(attempts) == billed(plant, attempts), _story(attempts)


def test_if_the_cancel_hangs_both_answers_are_costed_and_one_is_kept(plant: Plant) -> None:
    script = "[batches]\ntakes_s = 60\ncancel_s = 4\nfinishes = 1.0\n"
    plant.simulator.set_script(script)
    batch = submitted(plant, deadline_s=17)
    assert {answer.state for answer in plant.finished(batch)} == {"succeeded"}
    eventually(lambda: all(row["closed_at"] for row in plant.attempts(batch)), within_s=20, because="all items end")
    attempts = plant.attempts(batch)
    assert Counter(row["outcome"] for row in attempts) == {"late": 4, "answered": 4}, _story(attempts)
    assert {row["outcome"] for row in attempts if row["reason"] == "late"} == {"answered"}
    assert moved(plant, batch.id) == {"late": 4}
    use = Reports(plant.engine).half_price(batch.id)
    assert use is not None
    late = (row["cost_nano_usd"] for row in attempts if row["outcome"] == "late")
    assert (use.overlapped, use.overlapped_usd) == (4, sum(late))
    assert costs(attempts) == billed(plant, attempts), _story(attempts)


def test_a_foreign_message_batch_of_the_same_size_is_left_alone(plant: Plant) -> None:
    plant.simulator.set_script(QUICK_API + _rule("create", "500", times=1, foreign=1))
    batch = submitted(plant)
    assert {answer.state for answer in plant.finished(batch)} == {"succeeded"}
    attempts = plant.attempts(batch)
    assert costs(attempts) == billed(plant, attempts), _story(attempts)
    foreign = [one for one in plant.simulator.batches() if one["is_foreign"]]
    assert foreign
    assert not any(one["cancel_initiated_at"] for one in foreign)


def test_of_two_doubtful_ones_of_one_size_the_results_prove_ours(plant: Plant) -> None:
    plant.simulator.set_script(QUICK_API + _rule("create", "reset_before", times=1, foreign=2))
    batch = submitted(plant)
    assert {answer.state for answer in plant.finished(batch)} == {"succeeded"}
    attempts = plant.attempts(batch)
    assert {row["outcome"] for row in attempts} == {"answered"}, _story(attempts)
    assert costs(attempts) == billed(plant, attempts)


def test_a_stray_that_appears_after_it_was_given_up_has_its_cost_recorded(plant: Plant) -> None:
    stray = _rule("create", "500", accepted="true", times=1, list_lag_s=4, takes_s=0)
    plant.simulator.set_script(QUICK_API + stray)
    batch = submitted(plant)
    assert {answer.state for answer in plant.finished(batch)} == {"succeeded"}

    eventually(lambda: len(plant.attempts(batch)) == 12, within_s=30, because="the stray is found, and its items are")
    attempts = plant.attempts(batch)
    late = {
        row["note"]: row["cost_nano_usd"] for row in attempts if row["message_batch_id"] and row["reason"] == "late"
    }
    assert late == {known: cost for known, cost in billed(plant, attempts).items() if known in late}, _story(attempts)
    assert len(late) == 4
    assert sum(costs(attempts).values()) == sum(billed(plant, attempts).values())


def test_a_person_cancels_and_the_message_batch_is_cancelled(plant: Plant) -> None:
    plant.simulator.set_script("[batches]\ntakes_s = 60\ncancel_s = 0\nfinishes = 0.5\n")
    batch = submitted(plant)

    def is_under_way() -> bool:
        ours = {row["message_batch_id"] for row in plant.attempts(batch)}
        return [row["state"] for row in message_batches(plant) if row["id"] in ours] == ["under_way"]

    eventually(is_under_way, within_s=20, because="the message batch is under way")
    batch.cancel()
    eventually(lambda: all(row["closed_at"] for row in plant.attempts(batch)), within_s=20, because="all items end")
    attempts = plant.attempts(batch)
    assert Counter(row["outcome"] for row in attempts) == {"late": 4}, _story(attempts)
    assert costs(attempts) == billed(plant, attempts)
    assert len(costs(attempts)) == 2

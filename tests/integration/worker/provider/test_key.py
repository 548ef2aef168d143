"""What no other model cures: such a request is made once, and trouble with the key fails no job."""

from collections.abc import Iterator

import pytest

from tests.support.eventually import eventually
from tests.support.sites.worker_site import ENGINES, OPUS, SONNET, Plant, one_test, running_plant

_THREADS = 8
_PROMPT = "Ten harbours were dredged in spring."


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Run one worker for all tests of this file."""
    folder = tmp_path_factory.mktemp("key")
    with running_plant(request, folder, KEY_PAUSE_S="1", WORKER_CONCURRENCY=str(_THREADS)) as plant:
        yield plant


@pytest.fixture
def plant(whole: Plant) -> Iterator[Plant]:
    """Lend it to one test."""
    with one_test(whole) as plant:
        yield plant


@pytest.mark.parametrize(("answer", "outcome"), [("400", "bad_request"), ("413", "too_large")])
def test_a_wrong_request_costs_one_request_and_the_job_fails(plant: Plant, answer: str, outcome: str) -> None:
    plant.simulator.set_script(f'[[rules]]\nanswer = "{answer}"')
    batch, failed = plant.answered(_PROMPT)
    assert (failed.state, failed.outcome) == ("failed", outcome)
    assert failed.cost_usd == 0
    assert len(plant.purchases(batch)) == len(plant.attempts(batch)) == 1


def test_a_missing_model_is_left_for_the_next(plant: Plant) -> None:
    plant.simulator.set_script('[[rules]]\nmodel = "opus"\nanswer = 404')
    batch, answer = plant.answered(_PROMPT)
    assert (answer.state, answer.model, answer.fallback_depth) == ("succeeded", SONNET, 1)
    assert [row["outcome"] for row in plant.attempts(batch)] == ["model_missing", "answered"]


def test_models_that_are_all_missing_are_asked_once_each(plant: Plant) -> None:
    plant.simulator.set_script("[[rules]]\nanswer = 404")
    batch, answer = plant.answered(_PROMPT)
    assert (answer.state, answer.outcome) == ("failed", "model_missing")
    assert len(plant.purchases(batch)) == 3


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("401", "unauthorized"),
        ("402", "unauthorized"),
        ("403", "unauthorized"),
        ("400_spend_limit", "spend_limit"),
        ("429_spend_limit", "spend_limit"),
    ],
)
def test_trouble_with_the_key_costs_one_request_and_the_job_waits_for_it(
    plant: Plant, answer: str, outcome: str
) -> None:
    plant.simulator.set_script(f'[[rules]]\nanswer = "{answer}"\ntimes = 1')
    batch, answered = plant.answered(_PROMPT)
    assert (answered.state, answered.model, answered.fallback_depth) == ("succeeded", OPUS, 0)
    refused, resumed = plant.attempts(batch)
    assert (refused["outcome"], refused["reason"], resumed["reason"]) == (outcome, "start", "resume")
    assert (resumed["opened_at"] - refused["closed_at"]).total_seconds() >= 1
    assert len(plant.purchases(batch)) == 2


def test_a_refused_key_stops_all_calls_and_every_job_is_answered_once_it_works_again(plant: Plant) -> None:
    plant.simulator.set_script("[[rules]]\nanswer = 401")
    batch = plant.submit(*(f"Harbour {number} was dredged in spring." for number in range(24)))
    states = eventually(
        lambda: states if (states := batch.progress().states) == {"waiting": 24} else None,
        within_s=30,
        because="every job waits, none fails",
    )
    assert states == {"waiting": 24}
    assert {row["outcome"] for row in plant.jobs(batch)} <= {"unauthorized", "key_paused"}
    refusals = len(plant.purchases(batch))
    assert refusals <= _THREADS + 2  # those in flight, and what may have tried the key after a pause
    plant.simulator.set_script("")
    assert {answer.state for answer in plant.finished(batch)} == {"succeeded"}
    assert {row["requested_model"] for row in plant.attempts(batch)} == {OPUS}
    assert plant.worker_log.read_bytes().count(b"the key is paused for 1 s") >= 1

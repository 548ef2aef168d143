"""One prompt asked from Python and waited for, with a real worker."""

from collections.abc import Iterator

import pytest

from models.errors import InputError
from models.outcome import State
from producer import Prompt
from tests.support.sites.worker_site import ENGINES, HAIKU, OPUS, Plant, running_plant


@pytest.fixture(scope="module", params=ENGINES)
def plant(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Run a worker for all tests of this file."""
    with running_plant(request, tmp_path_factory.mktemp("ask")) as plant:
        yield plant


def test_a_prompt_is_answered_by_the_chain_and_is_urgent(plant: Plant) -> None:
    answer = plant.producer.ask("Why is the sea salt?", timeout_s=30, tags={"team": "media"})
    assert (answer.state, answer.model, answer.fallback_depth) == (State.SUCCEEDED, OPUS, 0)
    assert answer.text
    assert answer.cost_usd
    batch = plant.producer.batch(plant.producer.store.reports.batches(limit=1)[0].batch_id)
    (job,) = plant.jobs(batch)
    assert (job["id"], job["is_urgent"]) == (answer.job_id, True)
    assert plant.producer.store.reports.batch(batch.id)["tags"] == {"team": "media"}


def test_whole_parameters_and_a_task_are_taken(plant: Plant) -> None:
    whole = Prompt(params={"max_tokens": 50, "messages": [{"role": "user", "content": "Summarize: bridges closed."}]})
    assert plant.producer.ask(whole, timeout_s=30, task="summarize").model == HAIKU


def test_what_cannot_be_answered_tells_why(plant: Plant) -> None:
    plant.simulator.set_script('[[rules]]\nprompt_contains = "nonsense"\nanswer = 400')
    answer = plant.producer.ask("nonsense", timeout_s=30)
    assert (answer.state, answer.outcome, answer.message) == (State.FAILED, "bad_request", None)
    assert answer.error


def test_what_cannot_be_asked_is_refused_and_nothing_is_kept(plant: Plant) -> None:
    before = plant.producer.store.reports.batches(limit=1000)
    with pytest.raises(InputError, match="at least one visible character"):
        plant.producer.ask(" ")
    assert plant.producer.store.reports.batches(limit=1000) == before

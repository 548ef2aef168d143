"""The lane as producers use it, through a real worker: a task kind, a deadline as a time, documents, costs, a retry."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from producer import Prompt
from producer.files.record_to_prompt import ReadOptions
from tests.integration.worker.half_price.test_half_price import billed, costs
from tests.support.read_prompts import load
from tests.support.sites.command_line import TEXTS, stranger_in
from tests.support.sites.lane_site import LANE_TIMES, QUICK_API
from tests.support.sites.worker_site import ENGINES, HAIKU, OPUS, Plant, one_test, running_plant

_TIDE = "The tide of spring."


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Run one worker for all tests of this file, with a task kind that has time."""
    folder = tmp_path_factory.mktemp("submitted")
    (folder / "tasks.toml").write_text("[tag]\nhalf_price = true\n", encoding="utf-8")
    with running_plant(request, folder, **LANE_TIMES, TASKS_FILE=str(folder / "tasks.toml")) as plant:
        yield plant


@pytest.fixture
def plant(whole: Plant) -> Iterator[Plant]:
    """Lend it to one test."""
    with one_test(whole) as plant:
        plant.simulator.set_script(QUICK_API)
        yield plant


def test_a_task_kind_chooses_half_price_and_an_urgent_job_of_it_goes_live(plant: Plant) -> None:
    batch = plant.submit(_TIDE, "The dykes of autumn.", task="tag")
    assert {answer.state for answer in plant.finished(batch)} == {"succeeded"}
    attempts = plant.attempts(batch)
    assert {row["service_tier"] for row in attempts} == {"batch"}
    assert costs(attempts) == billed(plant, attempts)
    urgent = plant.producer.submit([Prompt(_TIDE)], task="tag", urgent=True)
    (live,) = plant.finished(urgent)
    assert live.cost_usd is not None
    assert live.cost_usd > min(costs(attempts).values())
    assert plant.attempts(urgent)[0]["message_batch_id"] is None


def test_a_deadline_as_a_time_leaves_the_time_or_not(plant: Plant) -> None:
    soon, later = (datetime.now(UTC) + timedelta(seconds=seconds) for seconds in (5, 600))
    bought = []
    for by in (later, soon.isoformat()):
        batch = plant.producer.submit([Prompt(_TIDE)], half_price=True, by=by)
        assert {answer.state for answer in plant.finished(batch)} == {"succeeded"}
        bought.append([row["message_batch_id"] is not None for row in plant.attempts(batch)])
    assert bought == [[True], [False]]


def test_documents_are_mapped_in_one_message_batch_and_synthesized_in_the_next(plant: Plant) -> None:
    documents = [("harbours", "Ten harbours were dredged."), ("bridges", "Two bridges were closed.")]
    batch = plant.producer.summarize(documents, half_price=True)
    plant.batches.append(batch)
    answers = plant.finished(batch)
    assert [(answer.id, answer.state, answer.model) for answer in answers] == [
        ("harbours", "succeeded", HAIKU),
        ("bridges", "succeeded", HAIKU),
        ("synthesis", "succeeded", OPUS),
    ]
    attempts = plant.attempts(batch)
    bought = {row["job_id"]: row["message_batch_id"] for row in attempts}
    first, second, last = (bought[row["id"]] for row in plant.jobs(batch))
    assert first == second != last
    assert {row["service_tier"] for row in attempts} == {"batch"}
    assert costs(attempts) == billed(plant, attempts)
    synthesis = plant.jobs(batch)[-1]["params"]["messages"][0]["content"]
    assert all(str(answer.text) in synthesis for answer in answers[:2])


def test_the_cost_of_a_file_lies_in_the_range_that_estimate_gives_for_its_lane(plant: Plant, tmp_path: Path) -> None:
    me = stranger_in(tmp_path / "me", **plant.variables)
    articles = load(str(TEXTS / "articles.csv"), ReadOptions(template="Sum up: {text}", max_tokens=300)).prompts
    lines = [json.dumps({"prompt": article.text, "max_tokens": 300}) + "\n" for article in articles]
    for place in (0, 40):
        me.write("file.jsonl", "".join(lines[place : place + 40]))
        given = ("file.jsonl", "--task", "note")
        printed = json.loads(me.types("estimate", *given, "--json").out)
        for lane, options in (("chain", ()), ("half_price", ("--half-price",))):
            batch = plant.producer.batch(me.types("submit", *given, *options).out.strip())
            plant.batches.append(batch)
            assert {answer.state for answer in plant.finished(batch)} == {"succeeded"}
            attempts = plant.attempts(batch)
            assert {row["service_tier"] == "batch" for row in attempts} == {lane == "half_price"}
            real = sum(costs(attempts).values())
            assert sum(billed(plant, attempts).values()) == real
            assert Decimal(printed[lane]["low_usd"]) < real < Decimal(printed[lane]["worst_case_usd"])
            least, most = map(Decimal, printed[lane]["likely_usd"])
            assert least < real < most or not place  # the second estimate knows the answers to the first file


def test_a_retry_is_bought_in_a_message_batch_again(plant: Plant) -> None:
    plant.simulator.set_script(f'{QUICK_API}[[rules]]\nlane = "batch"\nanswer = 400\ntimes = 2\n')
    batch = plant.submit(_TIDE, "The dykes of autumn.", task="tag")
    assert {answer.state for answer in plant.finished(batch)} == {"failed"}
    retry = plant.producer.store.job_actions.retry
    assert retry(batch_id=batch.id, deadline_s=600, live_from_s=595) == 2
    assert {answer.state for answer in plant.finished(batch)} == {"succeeded"}
    attempts = plant.attempts(batch)
    assert [row["message_batch_id"] is not None for row in attempts] == [True] * 4
    assert costs(attempts) == billed(plant, attempts)

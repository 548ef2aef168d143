"""Documents mapped and synthesized by a real worker: each level on its rung, failures named or stopping, one cap."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from models.errors import InputError, KeyConflictError
from models.job.task_kinds import JobTerms
from models.outcome import State
from producer import Document
from producer.client import Batch
from tests.support.eventually import eventually
from tests.support.sites.worker_site import ENGINES, HAIKU, OPUS, SONNET, Plant, one_test, running_plant

_DOCUMENTS = [
    ("harbours", "Ten harbours were dredged. " * 60),
    ("bridges", "Two bridges were closed."),
    ("tide", "It ebbed."),
]
_FAILING = '[[rules]]\nprompt_contains = "Two bridges"\nanswer = 400'


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Run one worker for all tests of this file."""
    with running_plant(request, tmp_path_factory.mktemp("summarize")) as plant:
        yield plant


@pytest.fixture
def plant(whole: Plant) -> Iterator[Plant]:
    """Lend it to one test."""
    with one_test(whole) as plant:
        yield plant


def _summarized(plant: Plant, *documents: Any, **message: Any) -> Batch:
    batch = plant.producer.summarize(documents or _DOCUMENTS, part_tokens=400, **message)
    plant.batches.append(batch)
    return batch


def _asked(plant: Plant, batch: Batch, prompt_id: str) -> str:
    (row,) = [row for row in plant.jobs(batch) if row["prompt_id"] == prompt_id]
    return str(row["params"]["messages"][0]["content"])


def test_parts_are_asked_of_the_cheap_model_and_their_answers_of_the_primary(plant: Plant) -> None:
    batch = _summarized(plant, max_cost_usd=1, urgent=True, tags={"team": "media"})
    answers = list(batch.wait(timeout_s=30))
    assert [(answer.id, answer.model) for answer in answers] == [
        ("harbours/1", HAIKU),
        ("harbours/2", HAIKU),
        ("bridges", HAIKU),
        ("tide", HAIKU),
        ("synthesis", OPUS),
    ]
    asked = _asked(plant, batch, "synthesis")
    assert asked.startswith("Write one summary of what these summaries tell together.")
    for label, answer in zip(
        ("harbours, part 1 of 2", "harbours, part 2 of 2", "bridges", "tide"), answers, strict=False
    ):
        assert f'<summary of="{label}">\n{answer.text}\n</summary>' in asked
    assert answers[0].columns == {"document": "harbours", "level": "0", "part": "1 of 2"}
    assert {row["is_urgent"] for row in plant.jobs(batch)} == {True}
    assert len(plant.purchases(batch)) == 5
    with plant.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT document, level, jobs, cost_nano_usd FROM v_documents WHERE batch_id = :id"), {"id": batch.id}
        ).all()
    costs = {(row.document, row.level): (row.jobs, Decimal(row.cost_nano_usd) / 10**9) for row in rows}
    assert costs == {
        ("harbours", 0): (2, (answers[0].cost_usd or 0) + (answers[1].cost_usd or 0)),
        ("bridges", 0): (1, answers[2].cost_usd),
        ("tide", 0): (1, answers[3].cost_usd),
        (None, 1): (1, answers[4].cost_usd),
    }
    assert sum(cost for _, cost in costs.values() if cost) == batch.progress().cost_usd


def test_without_a_synthesis_each_document_has_its_own_answer_and_columns(plant: Plant) -> None:
    wet = Document("Ten harbours were dredged. " * 60, id="wet", columns={"title": "On harbours"})
    mapping: dict[str, Any] = {"map": "{title}, {part}: {text}", "reduce": "Merge. {text}", "synthesize": False}
    batch = _summarized(plant, wet, Document("It ebbed.", columns={"title": "Tide"}), **mapping)
    answers = {answer.id: answer for answer in batch.wait(timeout_s=30)}
    assert set(answers) == {"wet/1", "wet/2", "2", "wet"}
    assert {answer.model for answer in answers.values()} == {HAIKU}
    assert _asked(plant, batch, "wet/2").startswith("On harbours, 2 of 2: Ten harbours")
    assert answers["wet"].columns == {"title": "On harbours", "document": "wet", "level": "1", "parts": "2"}


def test_a_task_that_nobody_gave_a_start_maps_on_the_cheapest_model_it_may(plant: Plant) -> None:
    first = _summarized(plant, "It ebbed.", task="gist", synthesis_task="report")
    assert [answer.model for answer in first.wait(timeout_s=30)] == [HAIKU, OPUS]
    second = _summarized(plant, "It ebbed.", task="gist", terms=JobTerms(floor=SONNET))
    assert [answer.model for answer in second.wait(timeout_s=30)] == [SONNET, OPUS]


def test_the_same_documents_under_the_same_key_are_bought_once(plant: Plant) -> None:
    first = _summarized(plant, key="news")
    plant.finished(first)
    again = _summarized(plant, key="news")
    assert (again.id, again.is_new) == (first.id, False)
    assert len(plant.purchases(first)) == 5
    with pytest.raises(KeyConflictError):
        _summarized(plant, key="news", on_failed_part="stop")


def test_a_part_that_failed_is_named_in_the_synthesis(plant: Plant) -> None:
    plant.simulator.set_script(_FAILING)
    batch = _summarized(plant)
    *_, synthesis = batch.wait(timeout_s=30)
    assert (synthesis.state, synthesis.columns["missing_parts"]) == (State.SUCCEEDED, "bridges (bad_request)")
    assert "<missing>\nbridges (bad_request)\n</missing>" in _asked(plant, batch, "synthesis")


def test_a_part_that_failed_stops_the_synthesis_where_it_is_to_and_a_retry_goes_on(plant: Plant) -> None:
    plant.simulator.set_script(_FAILING)
    batch = _summarized(plant, on_failed_part="stop")
    *_, synthesis = batch.wait(timeout_s=30)
    assert (synthesis.state, synthesis.outcome) == (State.FAILED, "part_failed")
    assert synthesis.error == "without an answer: bridges (bad_request)"
    plant.simulator.set_script("")
    assert plant.producer.store.job_actions.retry(deadline_s=3600, batch_id=batch.id) == 2
    *_, synthesis = plant.finished(batch)
    assert synthesis.state is State.SUCCEEDED
    assert [row["prompt_id"] for row in plant.jobs(batch) if row["rebuys"]] == []


def test_a_cancel_in_the_middle_ends_every_level(plant: Plant) -> None:
    plant.simulator.set_script('[[rules]]\nprompt_contains = "It ebbed"\nanswer = "slow"\ndelay_s = 3')
    batch = _summarized(plant)
    eventually(lambda: batch.progress().succeeded == 3, within_s=20, because="all but one part are answered")
    eventually(lambda: len(plant.purchases(batch)) == 4, within_s=20, because="that one is asked")
    assert batch.cancel() == 2
    assert batch.progress().is_finished
    assert [answer.state for answer in batch.answers()][-2:] == [State.CANCELLED, State.CANCELLED]


def test_one_cap_holds_for_all_levels(plant: Plant) -> None:
    batch = _summarized(plant, max_cost_usd="0.03", synthesis_max_tokens=8000)
    *parts, synthesis = batch.wait(timeout_s=30)
    assert {answer.state for answer in parts} == {State.SUCCEEDED}
    assert (synthesis.state, synthesis.outcome) == (State.FAILED, "over_budget")
    assert batch.progress().cost_usd < Decimal("0.03")


@pytest.mark.parametrize(
    ("documents", "message", "problem"),
    [
        ([5], {}, "documents: int should be a Document, a text, or an id and a text"),
        ("a", {}, "documents: is one text; give a list of them"),
        (["a"], {"max_tokens": 0}, "max_tokens: 0 should be a whole number, 1 or more"),
        (["a"], {"on_failed_part": "skip"}, "on_failed_part: 'skip' should be name or stop"),
        (["a"], {"map": "{text"}, "map: '{' at character 1 has no partner"),
        (["a"], {"map": "Sum up."}, "map: names no column"),
        (["a"], {"synthesis_max_tokens": 10**6}, "synthesis_max_tokens: leaves no room"),
    ],
)
def test_what_cannot_be_summarized_is_refused_and_nothing_is_kept(
    plant: Plant, documents: list[Any], message: dict[str, Any], problem: str
) -> None:
    before = _batches(plant)
    with pytest.raises(InputError, match=problem):
        plant.producer.summarize(documents, **message)
    assert _batches(plant) == before


def _batches(plant: Plant) -> list[str]:
    return [batch.batch_id for batch in plant.producer.store.reports.batches(limit=1000)]

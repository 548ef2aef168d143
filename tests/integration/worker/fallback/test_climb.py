"""CLIMB_ON: an answer that is cut short or refused is asked for again, one rung up."""

from collections.abc import Iterator

import pytest

from tests.support.sites.worker_site import ENGINES, HAIKU, SONNET, Plant, one_test, running_plant


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Run one worker for all tests of this file."""
    with running_plant(request, tmp_path_factory.mktemp("climb"), CLIMB_ON="truncated,refused") as plant:
        yield plant


@pytest.fixture
def plant(whole: Plant) -> Iterator[Plant]:
    """Lend it to one test."""
    with one_test(whole) as plant:
        yield plant


@pytest.mark.parametrize(("word", "outcome"), [("max_tokens", "truncated"), ("refusal", "refused")])
def test_an_answer_that_will_not_do_is_asked_for_one_rung_up(plant: Plant, word: str, outcome: str) -> None:
    plant.simulator.set_script(f"[[rules]]\nmodel = 'haiku'\nanswer = '{word}'")
    batch, answer = plant.answered("Ten harbours were dredged in spring.", task="summarize")
    printed = [(row["requested_model"], row["reason"], row["outcome"]) for row in plant.attempts(batch)]
    again = [(HAIKU, "raise", outcome)] if outcome == "truncated" else []
    assert printed == [(HAIKU, "start", outcome), *again, (SONNET, "climb", "answered")]
    assert (answer.state, answer.model, answer.fallback_depth) == ("succeeded", SONNET, 1)
    billed = sum(purchase["billed_nano_usd"] for purchase in plant.purchases(batch))
    assert answer.cost_usd is not None
    assert answer.cost_usd * 10**9 == billed


def test_at_the_top_a_truncated_answer_is_kept(plant: Plant) -> None:
    plant.simulator.set_script("[[rules]]\nanswer = 'max_tokens'")
    batch, answer = plant.answered("Ten harbours were dredged in spring.", task="synthesize")
    assert (answer.state, answer.outcome) == ("succeeded", "truncated")
    assert [row["reason"] for row in plant.attempts(batch)] == ["start", "raise"]
    assert len(plant.purchases(batch)) == 2

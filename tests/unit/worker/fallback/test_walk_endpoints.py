"""A job whose endpoint is out or refuses the key: other models there are no cure, and other endpoints are."""

import pytest

from models.outcome import OnKeyTrouble, State
from tests.support.plays.walk_scene import OPUS, SONNET, scene
from worker.admission.admission import OUTAGE

_CHAIN = (OPUS, SONNET, f"cloud/{OPUS}")


def test_a_refused_key_is_waited_for_by_default() -> None:
    job = scene("401", chain=_CHAIN)
    job.walk()
    assert (job.provider.calls, job.job.state) == ([OPUS], State.WAITING)


@pytest.mark.parametrize("script", ["401", "spend", "moved"])
def test_a_refused_key_sends_the_job_past_all_models_of_its_endpoint(script: str) -> None:
    job = scene(script, chain=_CHAIN, on_key_trouble="step")
    job.walk()
    assert (job.provider.calls, job.job.state) == ([OPUS, f"cloud/{OPUS}"], State.SUCCEEDED)


def test_a_paused_key_sends_the_job_past_all_models_of_its_endpoint_without_a_request() -> None:
    job = scene(chain=_CHAIN, held=["paused:30"], on_key_trouble="step")
    job.walk()
    assert job.provider.calls == [f"cloud/{OPUS}"]


@pytest.mark.parametrize("choice", ["wait", "step"])
def test_a_key_that_every_endpoint_refuses_fails_no_job(choice: OnKeyTrouble) -> None:
    job = scene("401", "401", chain=_CHAIN, on_key_trouble=choice)
    job.walk()
    assert job.job.state is State.WAITING
    assert job.job.due_at == 60


def test_an_outage_is_left_with_all_models_of_the_endpoint() -> None:
    job = scene(chain=_CHAIN, held=["circuit_open:4"])
    job.admission.details = {"kind": OUTAGE}
    job.walk()
    assert (len(job.admission.needs), job.provider.calls) == (2, [f"cloud/{OPUS}"])


def test_the_advice_names_the_endpoint_that_failed() -> None:
    job = scene("html", chain=(f"cloud/{OPUS}",))
    job.walk()
    assert job.job.state is State.FAILED
    assert job.job.ending is not None
    assert "look at base_url of [cloud] in ENDPOINTS_FILE with stepdown doctor" in str(job.job.ending.error)

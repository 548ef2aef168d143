"""Admission and provider together, in minutes of traffic on a clock of their own."""

import random

import pytest

from producer.simulator.account.buckets import Limits
from tests.support.plays.admission_scripts import PREFIX, in_memory, parted
from tests.support.plays.fleet_traffic import Api, Fleet, Play
from worker.admission.in_process import InProcessRedis

pytestmark = pytest.mark.slow
_SECONDS = 300
_A_MINUTE = {"requests": 300, "input": 300_000, "output": 90_000}  # 5 requests of 1,000 and 300 tokens a second
_PLENTY = 100_000_000


def _scene(seed: int, kind: str = "requests", *, memory: InProcessRedis | None = None) -> tuple[Play, Api, Fleet]:
    play, draw = Play(), random.Random(seed)
    limits = {f"{name}_per_minute": _PLENTY for name in ("requests", "input_tokens", "output_tokens")}
    limits[f"{kind}_tokens_per_minute" if kind != "requests" else "requests_per_minute"] = _A_MINUTE[kind]
    api = Api(play=play, draw=draw, limits=Limits(**limits))
    fleet = Fleet(play=play, draw=draw, api=api, scripts=[in_memory(play.now, memory)])
    return play, api, fleet


@pytest.mark.parametrize("kind", ["requests", "input", "output"])
def test_at_five_times_the_limit_nearly_all_of_it_is_used_and_hardly_a_call_refused(seed: int, kind: str) -> None:
    play, api, fleet = _scene(seed, kind)
    fleet.load(jobs_a_second=25, seconds=_SECONDS)
    play.run(_SECONDS)
    quota = _A_MINUTE[kind] * (1 + _SECONDS / 60)  # a bucket that starts full, and what drips in
    assert api.used[kind] >= 0.95 * quota
    assert api.share("limited") < 0.01


def test_what_others_use_with_the_same_key_is_left_to_them_and_the_rest_is_used(seed: int) -> None:
    play, api, fleet = _scene(seed)
    taken = 0

    def others() -> None:
        nonlocal taken
        taken += 10
        api.take("requests", 10)
        play.after(4, others)

    others()
    fleet.load(jobs_a_second=25, seconds=_SECONDS)
    play.run(_SECONDS)
    assert api.used["requests"] + taken >= 0.95 * 300 * (1 + _SECONDS / 60)
    assert api.share("limited") < 0.02


def test_an_outage_costs_a_call_an_interval_and_then_all_goes_on(seed: int) -> None:
    play, api, fleet = _scene(seed)
    fleet.load(jobs_a_second=25, seconds=300)
    play.run(120)
    api.is_out = True
    began_at = play.now()
    play.run(120)
    api.is_out = False
    in_vain = [at - began_at for at, how in api.calls if how == "overloaded"]
    at_onset = [at for at in in_vain if at < 2]
    assert len(at_onset) <= 30  # what was in the air, or left before three had been told
    assert len(in_vain) - len(at_onset) <= 120 / 5
    probe_s = 12  # a tenth of an outage of two minutes
    play.run(probe_s + 10)
    back_at = play.now()
    play.run(30)
    answered = sum(how == "well" for at, how in api.calls if at > back_at)
    assert answered >= 0.9 * 5 * 30


def test_workers_that_lose_sight_of_each_other_keep_to_the_limit(seed: int) -> None:
    memory = InProcessRedis(PREFIX)
    play, api, fleet = _scene(seed, memory=memory)
    fleet.load(jobs_a_second=25, seconds=_SECONDS)
    play.run(119)
    parts = parted(memory, play.now, 2)  # as a worker that looks each second has it
    play.run(1)
    lost_at, before = play.now(), api.used["requests"]
    fleet.scripts = parts
    play.run(120)
    refused = [at - lost_at for at, how in api.calls if how == "limited" and at > lost_at]
    used = api.used["requests"] - before
    assert used >= 0.9 * 600
    assert used + len(refused) <= 1.05 * 600 + 6
    assert len(refused) <= 0.02 * used

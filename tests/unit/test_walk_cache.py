"""A job whose beginning its batch shares: where it waits for a warm cache, and where it steps down all the same."""

from typing import Any

import pytest

from models.outcome import State
from tests.walking import OPUS, PARAMS, SONNET, HandClock, Scene, scene
from worker.warmth import OwnWarmth, Spot, Warming

_LONG = {**PARAMS, "system": "x" * 175_000}  # 50,000 tokens


def _held(*held: str, warm: tuple[str, ...] = (), clock: HandClock | None = None, **terms: Any) -> Scene:
    clock = clock or HandClock()
    warmth = OwnWarmth(clock)
    for model in warm:
        warmth.note(Spot(model=model, prefix="shared"), cached_tokens=50_000)
    warming = Warming(warmth=warmth, clock=clock, sleep=lambda _: None)
    terms = {"prefix": "shared", **terms}
    return scene("ok", held=held, params=_LONG, terms=terms, clock=clock, warming=warming)


def _told(job: Scene) -> list[tuple[str, str, str]]:
    ending = job.job.ending
    assert ending is not None
    return [(each.decision, each.model, each.why) for each in ending.decisions]


@pytest.mark.parametrize("held", ["limited:30", "cooling:30"])
def test_a_warm_model_is_waited_for_where_the_next_ones_cold_cache_would_cost_more(held: str) -> None:
    clock = HandClock()
    job = _held(held, warm=(OPUS,), clock=clock)
    job.walk()
    assert (job.provider.calls, job.job.state, job.job.due_at) == ([], State.WAITING, 30)
    assert _told(job) == [("wait", OPUS, "dearer")]
    clock.now_s = 30
    job.walk()
    assert job.provider.calls == [OPUS]


@pytest.mark.parametrize(
    ("held", "warm", "terms"),
    [
        ("limited:90", (OPUS,), {}),  # more than a minute
        ("limited:30", (), {}),  # cold here, too
        ("limited:30", (OPUS, SONNET), {}),  # warm there, too
        ("limited:30", (OPUS,), {"is_urgent": True}),
        ("limited:30", (OPUS,), {"patience_s": 5.0}),  # its own word
        ("limited:30", (OPUS,), {"prefix": None}),
    ],
)
def test_otherwise_it_steps_down(held: str, warm: tuple[str, ...], terms: dict[str, Any]) -> None:
    job = _held(held, warm=warm, **terms)
    job.walk()
    assert job.provider.calls == [SONNET]


def test_what_is_sent_is_marked_and_estimated_without_what_the_cache_holds() -> None:
    cold, warm = _held(), _held(warm=(OPUS,))
    for job in (cold, warm):
        job.walk()
    assert [job.turnstile.needs[0].input_tokens > 50_000 for job in (cold, warm)] == [True, False]

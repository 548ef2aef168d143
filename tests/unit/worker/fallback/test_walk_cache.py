"""A job whose batch shares a long system prompt: marked, and its warm model waited for where the next is dearer."""

from dataclasses import replace
from typing import Any

import pytest

from models.chain.chain import RungRange
from models.errors import LedgerError
from models.job.values import Claim, Opening, OverCap
from models.money.price_book import PriceBook
from models.money.pricing import parse_costs
from models.money.usage import Usage
from models.outcome import State
from tests.support.ledgers.memory_ledger import MemoryLedger
from tests.support.plays.awaited import asleep, directly
from tests.support.plays.walk_scene import HAIKU, OPUS, PARAMS, SONNET, HandClock, Scene, scene
from worker.admission.cache_warmup import KEPT_S, CachedPrefix, CacheState, CacheWarmup

_SYSTEM = "x" * 175_000  # 50,000 tokens: as in ledger.md, section 3
_LONG = {**PARAMS, "max_tokens": 1600, "system": _SYSTEM}
_BOOK = PriceBook(parse_costs(f"{OPUS}:5:25,{SONNET}:3:15,{HAIKU}:1:5"))
_SPOT = CachedPrefix(model=OPUS, prefix="shared")


def _job(*script: str, held: tuple[str, ...] = (), warm: tuple[str, ...] = (OPUS,), **changes: Any) -> Scene:
    """Set up a job whose prompt's beginning is in the caches of the models that are `warm`."""
    clock: HandClock = changes.pop("clock", None) or HandClock()
    own = CacheState(clock)
    for model in warm:
        own.note(CachedPrefix(model=model, prefix="shared"), cached_tokens=50_000)
    warming = CacheWarmup(warmth=own, clock=clock, sleep=asleep, in_thread=directly)
    terms = {"prefix": "shared", **changes.pop("terms", {})}
    settled = {"params": _LONG, "prices": _BOOK, "clock": clock, **changes}
    job = scene(*script, held=held, terms=terms, warming=warming, **settled)
    job.worker.expected.learn(OPUS, _LONG, Usage(input_tokens=0, output_tokens=800))
    return job


def _decisions(job: Scene) -> list[tuple[str, str, str]]:
    assert job.job.ending is not None
    return [(reported.decision, reported.model, reported.reason) for reported in job.job.ending.decisions]


def _look(job: Scene) -> str:
    assert job.worker.warming is not None
    return job.worker.warming.warmth.look(_SPOT)


def test_what_is_sent_is_marked_and_neither_the_job_nor_its_estimates_are() -> None:
    job = _job(warm=())
    job.walk()
    assert job.provider.requests[0]["system"] == [
        {"type": "text", "text": _SYSTEM, "cache_control": {"type": "ephemeral"}}
    ]
    assert job.job.new.params == _LONG
    assert job.attempts[0].opening.note is None


def test_a_model_that_keeps_no_beginning_as_short_is_sent_none() -> None:
    job = _job(chain=(HAIKU,), params={**_LONG, "system": "x" * 7_000}, span=RungRange(start=0, floor=0, ceiling=0))
    job.walk()
    assert job.provider.requests[0]["system"] == "x" * 7_000


def test_where_the_cache_is_off_nothing_is_marked() -> None:
    job = _job()
    job.worker = replace(job.worker, warming=None)
    job.walk()
    assert job.provider.requests[0]["system"] == _SYSTEM


def test_what_is_read_from_a_warm_cache_does_not_count_against_the_limit() -> None:
    needs = [_job(warm=warm) for warm in ((), (OPUS,))]
    for job in needs:
        job.walk()
    cold, warm = (job.admission.needs[0].input_tokens for job in needs)
    assert cold - warm == 50_000
    assert warm < 100


@pytest.mark.parametrize(("reason", "wait_s"), [("limited", 20), ("circuit_open", 60)])
def test_a_warm_model_is_waited_for_where_the_next_one_is_dearer(reason: str, wait_s: int) -> None:
    clock = HandClock()
    job = _job(held=(f"{reason}:{wait_s}",), clock=clock)
    job.walk()
    assert (job.provider.calls, job.job.state, job.job.rung, job.job.due_at) == ([], State.WAITING, 0, wait_s)
    assert _decisions(job) == [("wait", OPUS, "dearer")]
    assert job.job.ending is not None
    details = job.job.ending.decisions[0].details
    assert (details["held_by"], details["instead_of"], details["wait_s"]) == (reason, SONNET, wait_s)
    clock.now_s = wait_s
    job.walk()
    assert job.provider.calls == [OPUS]


def test_a_model_that_says_when_to_come_back_is_waited_for_alike() -> None:
    job = _job("429:30")
    job.walk()
    assert (job.provider.calls, job.job.due_at) == ([OPUS], 30)
    assert _decisions(job) == [("wait", OPUS, "dearer")]
    assert job.job.ending is not None
    assert job.job.ending.outcome == "rate_limited"


def test_it_is_waited_for_once_a_round() -> None:
    clock = HandClock()
    job = _job(held=("limited:20", "limited:20"), clock=clock)
    job.walk()
    clock.now_s = 20
    job.walk()
    assert job.provider.calls == [SONNET]


@pytest.mark.parametrize(
    "changes",
    [
        {"warm": ()},
        {"warm": (OPUS, SONNET)},
        {"held": ("limited:61",)},
        {"terms": {"patience_s": 5.0}},
        {"terms": {"is_urgent": True}},
        {"terms": {"prefix": None}},
        {"prices": PriceBook(parse_costs(f"{OPUS}:5:25,{SONNET}:0.3:1.5,{HAIKU}:1:5"))},
        {"params": {**_LONG, "system": "x" * 7_200}},
    ],
    ids=[
        "cold",
        "both warm",
        "a long wait",
        "its own patience",
        "urgent",
        "unshared",
        "cheaper all the same",
        "a short beginning",
    ],
)
def test_else_it_steps_down_as_ever(changes: dict[str, Any]) -> None:
    job = _job(**{"held": ("limited:20",), **changes})
    job.walk()
    assert job.provider.calls == [SONNET]


def test_a_cache_that_is_cold_by_then_is_not_waited_for() -> None:
    clock = HandClock()
    job = _job(held=("limited:20",), clock=clock)
    clock.now_s = KEPT_S - 19
    job.walk()
    assert job.provider.calls == [SONNET]


@pytest.mark.parametrize(("script", "held"), [("529", ()), ("ok", ("circuit_open:9",))])
def test_whoever_was_to_warm_it_and_did_not_leaves_it_to_another(script: str, held: tuple[str, ...]) -> None:
    job = _job(script, held=held, warm=(), chain=(OPUS,), span=RungRange(start=0, floor=0, ceiling=0))
    job.walk()
    assert _look(job) == "warmer"


class _Refusing(MemoryLedger):
    def open_attempt(self, claim: Claim, opening: Opening) -> bool | OverCap:  # noqa: ARG002 - the Protocol's
        raise LedgerError("it is away")


def test_a_request_whose_row_cannot_be_written_stays_here_and_leaves_the_cache_to_another() -> None:
    clock = HandClock()
    job = _job(warm=(), clock=clock, ledger=_Refusing(clock))
    with pytest.raises(LedgerError):
        job.walk()
    assert (job.provider.calls, [ended.how for ended in job.admission.ends]) == ([], ["not_sent"])
    assert _look(job) == "warmer"


def test_a_call_that_used_no_cache_although_marked_says_that_none_need_wait() -> None:
    job = _job(warm=())  # the script's replies tell of no cache
    job.walk()
    assert _look(job) == "never"

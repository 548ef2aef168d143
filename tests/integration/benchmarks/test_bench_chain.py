"""`make bench-chain` sees the same of our side and of a peer."""

from tests.benchmarks.chain.fleet import run_fleet
from tests.benchmarks.chain.peer import run_peer
from tests.benchmarks.chain.prompts import overload_prompts
from tests.benchmarks.chain.ran import Load, Ran

_SCRIPT = """
[[rules]]
prompt_contains = "document 2 "
answer = 400
[[rules]]
model = "opus"
answer = 404
"""


def _load(script: str = _SCRIPT, *, limit_s: float = 60) -> Load:
    return Load(script=script, asked=overload_prompts(5), threads=4, limit_s=limit_s, latency_s=0)


def _calls(ran: Ran, status: int) -> int:
    return sum(call.status == status for call in ran.calls)


def test_our_fleet_and_the_articles_loop_are_counted_alike() -> None:
    fleet, article = run_fleet(_load()), run_peer("article", _load())
    for ran in (fleet, article):
        assert [end.id for end in sorted(ran.ends, key=lambda end: end.id) if not end.is_ok] == [2]
        assert {end.model for end in ran.ends if end.is_ok} == {"claude-sonnet-4-6"}
        assert (ran.succeeded, ran.failed, ran.is_cut) == (4, 1, False)
        assert _calls(ran, 200) == 4
        assert ran.billed_nano_usd > 0
    # One job finds out for the whole fleet that a model is not there; the loop asks it for every prompt.
    assert 1 <= _calls(fleet, 404) < _calls(article, 404) == 4


def test_a_peer_that_does_not_end_is_stopped_and_what_it_had_is_counted() -> None:
    ran = run_peer("article", _load('[[rules]]\nprompt_contains = "document 2 "\nanswer = "hang"', limit_s=4))
    assert (ran.succeeded, ran.failed, ran.is_cut) == (4, 0, True)

"""Decides after an attempt, by money and time: keep, retry, next rung, park or stop."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Literal

from models.chain.chain import RungRange
from models.chain.fallback_rules import LOOKING, RULES
from models.outcome import OVER_BUDGET, Outcome, Reason
from models.rung_name import endpoint_of
from worker.fallback.decision import (
    ABOUT_MONEY,
    CUTTING,
    DOUBTED,
    NO_TIME,
    OVER_TODAY,
    PASSING,
    SAME_LIMIT,
    UNFIT,
    WAITED,
    WINDOW_FULL,
    Answered,
    ChainPosition,
    Continue,
    Decision,
    Fallback,
    Park,
    Policy,
    Retry,
    Stop,
)
from worker.provider.reply import Failure, Reply

_BASE_S = 2.0
_CAP_S = 300.0
_DOUBT_S = 5.0  # a key that is really refused is paused by then
_LEAST_S = 0.5  # a parked job comes back no sooner: the dispatcher looks every second
_LASTING = {*(outcome for outcome, rule in RULES.items() if rule.lasting), UNFIT, OVER_BUDGET, OVER_TODAY}


def backoff_s(rounds: int, *, draw: Callable[[], float]) -> float:
    """Return a wait in seconds by full jitter: up to 2 s after the first vain round, doubling to 300 s.

    `draw` returns a number from 0 to 1. The wait is at least a quarter of the bound, so that no job spins.
    Source: Amazon Builders' Library, "Timeouts, retries, and backoff with jitter".

    >>> backoff_s(1, draw=lambda: 1.0), backoff_s(3, draw=lambda: 0.0), backoff_s(40, draw=lambda: 1.0)
    (2.0, 2.0, 300.0)
    """
    bound = min(_CAP_S, _BASE_S * 2.0 ** min(rounds - 1, 30))
    return bound * (0.25 + 0.75 * draw())


def decide(end: Reply | Failure, place: ChainPosition, policy: Policy) -> Decision:
    """Choose the decision after an attempt with this end, at this position."""
    rule = RULES[end.outcome]
    match rule.go:
        case "keep" | "continue" | "stop" as go:
            return _ended(end, go)
        case "climb":
            return _climb(end, place, policy)
        case "pause_key":
            return pause_key(place, str(end.outcome), policy, wait_s=policy.key_pause_s)
        case "larger":
            return _to_larger_window(place, policy)
        case "look":
            return _look(end, place, policy)
        case "next" | "other_group":
            return Retry() if place.retries < rule.retries else _step(end, place, policy)


def doubt(place: ChainPosition, policy: Policy) -> Park | None:
    """Wait once with a key that this rung refused and that answers others. Returns None after a vain wait."""
    if place.given_up.get(place.rung) == DOUBTED or policy.time_left_s <= _DOUBT_S:
        return None
    return place.marked(DOUBTED).parked(after_s=_DOUBT_S)


def climbs_for(end: Reply | Failure, climbs: Collection[Outcome]) -> bool:
    """Return whether the job climbs for an end like this.

    An answer with a flaw also counts as invalid. An empty answer that was cut also counts as truncated.
    """
    if not isinstance(end, Reply):
        return end.outcome in climbs
    is_cut = end.outcome is Outcome.EMPTY and end.stop_reason in CUTTING
    also = {Outcome.INVALID} if end.flaw else set()
    return bool({end.outcome, *also, *({Outcome.TRUNCATED} if is_cut else ())} & {*climbs})


def is_better_than_none(end: Reply | Failure | None) -> bool:
    """Return whether an answer passes the checks, though the answer was cut or ended for an unknown reason."""
    return isinstance(end, Reply) and end.outcome in {Outcome.TRUNCATED, Outcome.UNCLEAR} and not end.flaw


def is_lasting(outcome: Outcome) -> bool:
    """Return whether a rung with this outcome is given up for good."""
    return outcome in _LASTING


def depth_at(place: ChainPosition, span: RungRange) -> int:
    """Count the rungs given up on the way here. A rung that cannot take the request does not count."""
    order = span.available(())
    before = order[: order.index(place.rung)] if place.rung in order else ()
    return sum(place.given_up.get(rung, UNFIT) not in {UNFIT, *PASSING} for rung in before)


def step_past(place: ChainPosition, reason: str, policy: Policy, *, wait_s: float | None = None) -> Decision:
    """Choose the decision after a rung without a request. The rung may be free after `wait_s`."""
    return _next_rung({**place.given_up, place.rung: reason}, _awaiting(place, [place.rung], wait_s), policy)


def climb_past(place: ChainPosition, reason: str, policy: Policy, *, wait_s: float | None = None) -> Decision:
    """Choose the decision after a rung without a request, on a climb for quality. A worse model is no climb."""
    given_up, waits = {**place.given_up, place.rung: reason}, _awaiting(place, [place.rung], wait_s).waits
    if above := policy.span.above(place.rung, given_up):
        return Fallback(rung=above[0], reason=Reason.CLIMB, given_up=given_up, waits=waits)
    if not waits:
        return Stop()
    rung = min(waits, key=waits.__getitem__)
    kept = {left: word for left, word in given_up.items() if left not in waits}
    there = ChainPosition(rung=rung, given_up=kept, rounds=place.rounds)
    return park(policy, there, after_s=max(_LEAST_S, waits[rung]))


def step_past_limit(place: ChainPosition, reason: str, policy: Policy, *, wait_s: float | None) -> Decision:
    """Choose the decision after a rung whose limits are used up. A model of the same limit group is no cure."""
    alike = _alike(place, policy, policy.chain.group_of)
    given_up = {**place.given_up, place.rung: reason, **dict.fromkeys(alike, SAME_LIMIT)}
    return _next_rung(given_up, _awaiting(place, [place.rung, *alike], wait_s), policy)


def step_past_endpoint(place: ChainPosition, reason: str, policy: Policy, *, wait_s: float) -> Decision:
    """Choose the decision after a rung whose endpoint takes no call. No other model of the endpoint is a cure."""
    alike = [place.rung, *_alike(place, policy, endpoint_of)]
    return _next_rung({**place.given_up, **dict.fromkeys(alike, reason)}, _awaiting(place, alike, wait_s), policy)


def pause_key(place: ChainPosition, reason: str, policy: Policy, *, wait_s: float) -> Decision:
    """Choose the decision after a rung whose key is refused or without money: ON_KEY_TROUBLE."""
    if policy.on_key_trouble == "step":
        return step_past_endpoint(place, reason, policy, wait_s=wait_s)
    return park(policy, place, after_s=wait_s)


def wait_for(place: ChainPosition, policy: Policy, *, wait_s: float) -> Park | None:
    """Wait for this rung, once a round. Returns None if the wait exceeds the job's patience or time."""
    if wait_s > policy.patience_s or wait_s >= policy.time_left_s or place.given_up.get(place.rung) == WAITED:
        return None
    return place.marked(WAITED).parked(after_s=wait_s)


def queue_for(place: ChainPosition, policy: Policy, *, wait_s: float) -> Park | None:
    """Wait for our own limit of calls in flight, any number of times. Returns None beyond the job's time."""
    if wait_s > policy.queue_s or wait_s >= policy.time_left_s:
        return None
    return place.parked(after_s=max(_LEAST_S, wait_s))


def park(policy: Policy, place: ChainPosition, *, after_s: float) -> Decision:
    """Park a job at this position, or stop the job if the next chance comes after the deadline."""
    if after_s >= policy.time_left_s:
        return Stop(because=NO_TIME)
    return place.parked(after_s=after_s)


def _climb(end: Reply | Failure, place: ChainPosition, policy: Policy) -> Decision:
    is_full = isinstance(end, Reply) and end.stop_reason == WINDOW_FULL
    given_up = {**(_too_small(place, policy) if is_full else {}), **place.given_up, place.rung: str(end.outcome)}
    above = policy.span.above(place.rung, given_up)
    if climbs_for(end, policy.climbs) and above:
        return Fallback(rung=above[0], reason=Reason.CLIMB, given_up=given_up)
    below = policy.span.available(given_up)
    if end.outcome is Outcome.REFUSED and climbs_for(end, policy.climbs) and below:
        # No better model is left, but a lower model may accept.
        return Fallback(rung=below[0], reason=Reason.FALLBACK, given_up=given_up)
    return Answered() if is_better_than_none(end) else Stop()


def _look(end: Reply | Failure, place: ChainPosition, policy: Policy) -> Decision:
    if LOOKING.intersection(place.given_up.values()):
        return Answered() if is_better_than_none(end) else Stop()
    return _next_rung({**place.given_up, place.rung: str(end.outcome)}, place, policy)


def _ended(end: Reply | Failure, go: Literal["keep", "continue", "stop"]) -> Decision:
    if go == "continue":
        return Continue(content=tuple(end.message["content"]) if isinstance(end, Reply) else ())
    return Answered() if go == "keep" else Stop()


def _too_small(place: ChainPosition, policy: Policy) -> dict[int, str]:
    window = _window(place.rung, policy)
    too_small = [rung for rung in policy.span.available(()) if _window(rung, policy) <= window]
    return dict.fromkeys(too_small, str(Outcome.TOO_LONG))


def _to_larger_window(place: ChainPosition, policy: Policy) -> Decision:
    given_up = {**place.given_up, **_too_small(place, policy), **_lasting(place.given_up)}
    # Only a larger window can answer: a larger model that was given up for free gets a wait.
    return _next_rung(given_up, place, policy, reason=Reason.CLIMB)


def _step(end: Reply | Failure, place: ChainPosition, policy: Policy) -> Decision:
    wait_s = end.retry_after_s if isinstance(end, Failure) else None
    if wait_s is not None and (waiting := wait_for(place, policy, wait_s=wait_s)):
        return waiting
    if end.outcome in {Outcome.RATE_LIMITED, Outcome.RAMP_LIMITED}:
        return step_past_limit(place, str(end.outcome), policy, wait_s=wait_s)
    return step_past(place, str(end.outcome), policy, wait_s=wait_s)


def _next_rung(
    given_up: Mapping[int, str], place: ChainPosition, policy: Policy, *, reason: Reason = Reason.FALLBACK
) -> Decision:
    left = policy.span.available(given_up)
    if left:
        return Fallback(rung=left[0], reason=reason, given_up=given_up, waits=place.waits)
    # No rung is left. A rung that failed for free gets another round; a rung that may have been billed does not.
    lasting = _lasting(given_up)
    again = policy.span.available(lasting)
    if not again:
        return _tomorrow(lasting, place, policy)
    # If each rung has a known wait, the round was not vain: the job waits for the first of them.
    rounds = place.rounds + any(rung not in place.waits for rung in again)
    in_vain_s = backoff_s(place.rounds + 1, draw=policy.draw)
    after_s = max(_LEAST_S, min(place.waits.get(rung, in_vain_s) for rung in again))
    return park(policy, ChainPosition(rung=again[0], given_up=lasting, rounds=rounds), after_s=after_s)


def _alike(place: ChainPosition, policy: Policy, group_of: Callable[[str], str]) -> list[int]:
    """Return the other rungs left whose models are in the same group."""
    models = policy.chain.models
    left = policy.span.available({*place.given_up, place.rung})
    return [rung for rung in left if group_of(models[rung]) == group_of(models[place.rung])]


def _awaiting(place: ChainPosition, rungs: Collection[int], wait_s: float | None) -> ChainPosition:
    return place if wait_s is None else replace(place, waits={**place.waits, **dict.fromkeys(rungs, wait_s)})


def _tomorrow(lasting: Mapping[int, str], place: ChainPosition, policy: Policy) -> Decision:
    kept = {rung: reason for rung, reason in lasting.items() if reason not in ABOUT_MONEY}
    again = policy.span.available(kept)
    if policy.until_tomorrow_s is None or OVER_TODAY not in lasting.values():
        return Stop()
    place = ChainPosition(rung=again[0], given_up=kept, rounds=place.rounds)
    return park(policy, place, after_s=policy.until_tomorrow_s)


def _lasting(given_up: Mapping[int, str]) -> dict[int, str]:
    return {rung: reason for rung, reason in given_up.items() if reason in _LASTING}


def _window(rung: int, policy: Policy) -> int:
    return policy.window_of(policy.chain.models[rung]) or 0

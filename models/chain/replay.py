"""What a recorded job would have come to under another chain: expected calls, by the chain's own rules and no dice."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from models.chain.chain import Span, limit_group
from models.outcome import Outcome

ONE, ZERO = Decimal(1), Decimal(0)
UNAVAILABLE, LOST = (
    "unavailable",
    "lost",
)  # ends of a call that was never made: failed for free; maybe billed, no answer
UNFIT = "unfit"  # passed over: the request does not fit this model, which then counts as no step down
CLIMBABLE = frozenset({Outcome.TRUNCATED, Outcome.REFUSED, "empty", "invalid"})
FREE = frozenset(
    {
        Outcome.OVERLOADED,
        Outcome.SERVER_ERROR,
        Outcome.UNREACHABLE,
        Outcome.RATE_LIMITED,
        Outcome.RAMP_LIMITED,
        Outcome.MODEL_MISSING,
        Outcome.MODEL_DENIED,
    }
)
GONE = frozenset({Outcome.MALFORMED, Outcome.CUT, Outcome.TIMED_OUT})
_LIMITED = frozenset({Outcome.RATE_LIMITED, Outcome.RAMP_LIMITED})
_STOPPING = frozenset({Outcome.BAD_REQUEST, Outcome.TOO_LARGE})
_ABOUT_THE_KEY = frozenset({Outcome.SPEND_LIMIT, Outcome.UNAUTHORIZED, Outcome.REDIRECTED})
_LASTING = frozenset({LOST, Outcome.MODEL_MISSING, Outcome.MODEL_DENIED, Outcome.REJECTED, Outcome.BLOCKED})
_DOUBTFUL = frozenset({Outcome.TRUNCATED, Outcome.UNCLEAR})  # kept where nothing better comes
_NEGLIGIBLE = Decimal("1e-9")


class Seen(NamedTuple):
    """An attempt the job really made: whom it asked and how that ended; None where nobody knows."""

    model: str
    outcome: str | None


class Odds(NamedTuple):
    """How a call to a model may end that the job never made; what is left of one is the share of answers.

    `unavailable` and `lost` are shares of all calls, `poor` those of each word for a poor reply among replies;
    `passed` is the share of jobs that went on without a call.
    """

    unavailable: Decimal = ZERO
    lost: Decimal = ZERO
    poor: tuple[tuple[str, Decimal], ...] = ()
    passed: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kind of job under one chain: all that decides where it goes, and nothing of what it costs.

    `seen` are its attempts in order, `passed` the models it left without asking, each with the reason. `odds` and
    `windows` (tokens, None where unknown) are by rung. `is_succeeded` is how it ended.
    """

    models: tuple[str, ...]
    span: Span
    climbs: frozenset[str]
    odds: tuple[Odds, ...]
    windows: tuple[int | None, ...] = ()
    seen: tuple[Seen, ...] = ()
    passed: Mapping[str, str] = field(default_factory=dict)
    is_succeeded: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What to expect: chances of its own attempts by place, expected other calls by model and end, and how it ends.

    `depths` holds the chance of each fallback depth of an accepted answer; with `failed` they sum to one.
    """

    own: Mapping[int, Decimal]
    calls: Mapping[tuple[str, str], Decimal]
    depths: Mapping[int, Decimal]
    failed: Decimal


class _At(NamedTuple):
    """Where a walk stands: its rung, why each rung was given up, own attempts used up, the depth of a kept answer."""

    rung: int
    given_up: tuple[str | None, ...]
    used: frozenset[int] = frozenset()
    kept: int | None = None
    is_back: bool = False  # after a round in vain: it has waited until models answer again
    is_climbing: bool = False


class _End(NamedTuple):
    is_accepted: bool
    depth: int = 0


class _Sums:
    def __init__(self) -> None:
        self.own = defaultdict[int, Decimal](Decimal)
        self.calls = defaultdict[tuple[str, str], Decimal](Decimal)
        self.depths = defaultdict[int, Decimal](Decimal)
        self.failed = ZERO

    def end(self, end: _End, chance: Decimal) -> None:
        if end.is_accepted:
            self.depths[end.depth] += chance
        else:
            self.failed += chance


def weigh(case: Case) -> Weights:
    """Follow every way the job may go, each with its chance; ways that meet again are one.

    What the job did is certain; where it was not asked, `odds` say. Once every rung has failed for free it waits, and
    is answered by the odds without failures: how long it would have waited is not in this.
    """
    sums, ahead = _Sums(), {_At(rung=case.span.start, given_up=(None,) * len(case.models)): ONE}
    while ahead:
        following = defaultdict[_At, Decimal](Decimal)
        for at, chance in ahead.items():
            for then, share in _steps(case, at, chance, sums):
                match then:
                    case _End():
                        sums.end(then, share)
                    case _At() if share < _NEGLIGIBLE:
                        sums.end(_end_of(then, is_accepted=False), share)
                    case _At():
                        following[then] += share
        ahead = following
    return Weights(own=sums.own, calls=sums.calls, depths=sums.depths, failed=sums.failed)


def _steps(case: Case, at: _At, chance: Decimal, sums: _Sums) -> Iterator[tuple[_At | _End, Decimal]]:
    model = case.models[at.rung]
    number = next((n for n, seen in enumerate(case.seen) if seen.model == model and n not in at.used), None)
    if number is not None:
        sums.own[number] += chance
        yield _after_own(case, at, number), chance
    elif model in case.passed and not at.is_back and not any(seen.model == model for seen in case.seen):
        yield _left(case, at, case.passed[model]), chance
    else:
        odds = case.odds[at.rung]
        passed = ZERO if at.is_back or at.is_climbing else chance * odds.passed
        if passed > 0:
            yield _left(case, at, UNAVAILABLE), passed
        for end, share in _chances(odds, is_back=at.is_back):
            sums.calls[model, end] += (chance - passed) * share
            yield _after(case, at, end), (chance - passed) * share


def _chances(odds: Odds, *, is_back: bool) -> Iterator[tuple[str, Decimal]]:
    unavailable, lost = (ZERO, ZERO) if is_back else (odds.unavailable, odds.lost)
    replies = max(ONE - unavailable - lost, ZERO)
    poor = [(word, replies * share) for word, share in odds.poor]
    answered = replies - sum((share for _, share in poor), ZERO)
    for end, share in ((UNAVAILABLE, unavailable), (LOST, lost), *poor, (str(Outcome.ANSWERED), answered)):
        if share > 0:
            yield end, share


def _after_own(case: Case, at: _At, number: int) -> _At | _End:
    """Follow an attempt the job made: where it then stayed on its rung, for whatever reason, it stays."""
    used, outcome = at.used | {number}, case.seen[number].outcome
    at = at._replace(used=used)
    is_last = number == len(case.seen) - 1
    if not is_last and case.seen[number + 1].model == case.seen[number].model and number + 1 not in used:
        return at
    is_whole = is_last and len(used) == len(case.seen)
    above = case.span.above(at.rung, _given(at))
    if is_whole and not (outcome in case.climbs and above):
        is_its_own = at.kept is None or outcome in {Outcome.ANSWERED, Outcome.TRUNCATED}
        return _End(is_accepted=case.is_succeeded, depth=_depth(case, at) if is_its_own else at.kept or 0)
    return _after(case, at, outcome or str(Outcome.UNKNOWN))


def _after(case: Case, at: _At, end: str) -> _At | _End:
    """Decide as the worker does: down for availability, up for quality, stop where no model cures it."""
    if end == Outcome.ANSWERED:
        return _End(is_accepted=True, depth=_depth(case, at))
    if end in CLIMBABLE or end == Outcome.UNCLEAR:
        return _after_poor(case, at, end)
    if end in _STOPPING or end in {Outcome.UNKNOWN, Outcome.LATE}:
        return _end_of(at, is_accepted=False)
    if end in _ABOUT_THE_KEY:
        return at  # about the key: its jobs wait
    if end == Outcome.TOO_LONG:
        return _to_larger(case, at)
    why = LOST if end in GONE or end in _LASTING else UNAVAILABLE
    at = at._replace(is_climbing=False)
    return _left(case, _without_group(case, at) if end in _LIMITED else at, why)


def _after_poor(case: Case, at: _At, end: str) -> _At | _End:
    is_cut = end in _DOUBTFUL
    given = _given(at) | {at.rung}
    # Only a refusal is taken to a lower model, too: it tells nothing of how good a model is.
    above = case.span.above(at.rung, given) or (case.span.available(given) if end == Outcome.REFUSED else ())
    if end in case.climbs and above:
        kept = _depth(case, at) if is_cut else at.kept
        given_up = _with(at.given_up, at.rung, LOST)
        return at._replace(rung=above[0], given_up=given_up, kept=kept, is_climbing=True)
    return _End(is_accepted=True, depth=_depth(case, at)) if is_cut else _end_of(at, is_accepted=False)


def _left(case: Case, at: _At, why: str) -> _At | _End:
    """Leave a rung: for the next one, after a round in vain for another round, else for good."""
    at = at._replace(given_up=_with(at.given_up, at.rung, why))
    left = case.span.above(at.rung, _given(at)) if at.is_climbing else case.span.available(_given(at))
    if left:
        return at._replace(rung=left[0])
    if at.is_climbing or at.kept is not None:  # who holds a cut answer does not wait for a better one
        return _end_of(at, is_accepted=False)
    lasting = tuple(None if why == UNAVAILABLE else why for why in at.given_up)
    again = case.span.available({rung for rung, why in enumerate(lasting) if why is not None})
    if not again:
        return _end_of(at, is_accepted=False)
    return at._replace(rung=again[0], given_up=lasting, is_back=True)


def _to_larger(case: Case, at: _At) -> _At | _End:
    windows = [window or 0 for window in case.windows] or [0] * len(case.models)
    small = [rung for rung, window in enumerate(windows) if window <= windows[at.rung]]
    given_up = at.given_up
    for rung in small:
        given_up = _with(given_up, rung, LOST)
    return _left(case, at._replace(given_up=given_up), LOST)


def _without_group(case: Case, at: _At) -> _At:
    group, given_up = limit_group(case.models[at.rung]), at.given_up
    for rung, model in enumerate(case.models):
        if given_up[rung] is None and limit_group(model) == group:
            given_up = _with(given_up, rung, UNAVAILABLE)
    return at._replace(given_up=given_up)


def _end_of(at: _At, *, is_accepted: bool) -> _End:
    """End a walk: a truncated answer that was kept on the way is better than none."""
    return _End(is_accepted=is_accepted or at.kept is not None, depth=at.kept or 0)


def _depth(case: Case, at: _At) -> int:
    order = case.span.available(())
    before = order[: order.index(at.rung)] if at.rung in order else ()
    return sum(at.given_up[rung] not in {None, UNFIT} for rung in before)


def _given(at: _At) -> set[int]:
    return {rung for rung, why in enumerate(at.given_up) if why is not None}


def _with(given_up: tuple[str | None, ...], rung: int, why: str) -> tuple[str | None, ...]:
    return (*given_up[:rung], why, *given_up[rung + 1 :])

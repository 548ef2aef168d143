"""The answer of `stepdown chain suggest`: each rung beside the model that would have cost less, and the unknown."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from models.money.usage import COUNTERS
from models.reports.cheaper_models import USED_DAYS, Candidate, RungCost, TokenUse
from models.rung_name import DEFAULT_ENDPOINT, endpoint_of, family_of, model_of
from producer.output.format import counted, usd_rounded
from producer.output.table import table
from producer.output.terminal import terminal_text

LIMITS = (
    "both sides: the same tokens in the same lane, at today's rates; no setting is changed",
    "a lower rate is no proof of equal answers; a newer tokenizer may count a third more tokens for the same text",
    "even at: with so many more tokens nothing is saved",
)
_HEAD = ("rung", "model", "attempts", "cost", "instead", "would cost", "less", "even at", "retires")
_MIX = "4 input tokens to 1 output token, live, none from the cache, in short prompts"
_UNKNOWN, _ZERO = "unknown", Decimal(0)


def suggestion_lines(rungs: Sequence[RungCost], since: date) -> Iterator[str]:
    """Write the comparison as a table. Notes below the table name the unknown."""
    right = {0, 2, 3, 5, 6, 7}
    yield from table(_HEAD, [_row(*each) for each in enumerate(rungs)], right=right, folds={1, 4}, is_last_below=True)
    yield from map(terminal_text, _unmeasured(rungs, since))
    for number, rung in enumerate(rungs):
        yield from (terminal_text(f"rung {number}: {note}") for note in _notes(rung))
    best = [(rung, one) for rung in rungs if (one := rung.best) is not None]
    yield from (terminal_text(note) for each in best for note in _doubts(*each))
    if unasked := dict.fromkeys(one.model for _, one in best if not one.attempts):
        message = "no attempts in these days, so nobody has measured their answers or their tokenizer"
        yield terminal_text(f"{', '.join(unasked)}: {message}")
    yield from LIMITS if best else ()


def suggestion_json(rungs: Sequence[RungCost], since: date, *, ends_known: bool) -> dict[str, Any]:
    """Lay the comparison out as a JSON object; money and shares are text."""
    return {
        "since": since.isoformat(),
        "days": USED_DAYS,
        "usual_mix": _MIX,
        "saved_usd": _exact(saved_usd(rungs)),
        "chain": suggested_chain(rungs),
        "ends_known": ends_known,
        "rungs": [_rung_json(*each) for each in enumerate(rungs)],
        "limits": LIMITS,
    }


def suggested_chain(rungs: Sequence[RungCost]) -> tuple[str, ...]:
    """Return the chain with each suggestion in the place of its rung, each model once."""
    return tuple(dict.fromkeys(rung.rung if rung.best is None else rung.best.model for rung in rungs))


def saved_usd(rungs: Sequence[RungCost]) -> Decimal:
    """Return the USD that the suggestions would have saved on measured tokens."""
    saved = (rung.saved_usd(rung.best) for rung in rungs if rung.is_measured and rung.best is not None)
    return sum((usd or _ZERO for usd in saved), _ZERO)


def one_line(rungs: Sequence[RungCost]) -> str | None:
    """Return the suggestions in one line. Returns None if no model costs less."""
    cheaper = [rung for rung in rungs if rung.best is not None and (rung.saved_usd(rung.best) or 0) > 0]
    if not cheaper:
        return None
    is_measured = any(rung.is_measured for rung in cheaper)
    by = f"{usd_rounded(saved_usd(cheaper))} less in {USED_DAYS} days" if is_measured else "by list rates"
    places = f"{len(cheaper)} of {counted(len(rungs), 'rung')}"
    return f"another model of the same family costs less on {places} ({by}): see `stepdown chain suggest`"


def _row(number: int, rung: RungCost) -> tuple[str, ...]:
    best, ends = rung.best, "" if rung.ends is None else rung.ends.isoformat()
    attempts = f"{rung.attempts.total():,}"
    cost = _UNKNOWN if rung.cost_usd is None else usd_rounded(rung.cost_usd) if rung.is_measured else ""
    if best is None:
        none = "nothing costs less" if rung.cost_usd is not None and family_of(rung.rung) else _UNKNOWN
        return (str(number), rung.rung, attempts, cost, none, "", "", "", ends)
    would = usd_rounded(best.cost_usd or _ZERO) if rung.is_measured else ""
    return (str(number), rung.rung, attempts, cost, best.model, would, *_less(rung, best), ends)


def _less(rung: RungCost, best: Candidate) -> tuple[str, str]:
    saved, share, even = rung.saved_usd(best), _share(rung, best), _even_at(rung, best)
    if saved is None or share is None:
        return _UNKNOWN, ""
    percent = f"{share * 100:.0f} %"
    less = f"{usd_rounded(saved)} ({percent})" if rung.is_measured else percent
    # Rounded down: a promise of room for more tokens must hold.
    return less, "" if even is None else f"+{(even * 100).to_integral_value(ROUND_FLOOR)} %"


def _share(rung: RungCost, one: Candidate) -> Decimal | None:
    saved = rung.saved_usd(one)
    return saved / rung.cost_usd if saved is not None and rung.cost_usd else None


def _even_at(rung: RungCost, one: Candidate) -> Decimal | None:
    """Return the share of more tokens at which a candidate costs as much. Returns None for a dearer or a free one."""
    is_less = (rung.saved_usd(one) or 0) > 0
    return rung.cost_usd / one.cost_usd - 1 if is_less and rung.cost_usd and one.cost_usd else None


def _unmeasured(rungs: Sequence[RungCost], since: date) -> Iterator[str]:
    numbers = [str(number) for number, rung in enumerate(rungs) if not rung.is_measured]
    if numbers:
        word = "rung" if len(numbers) == 1 else "rungs"
        yield f"{word} {', '.join(numbers)}: no measured attempts since {since}, so list rates are compared: {_MIX}"


def _notes(rung: RungCost) -> Iterator[str]:
    """Write the unknown about a rung, and the costs of other days."""
    if rung.unmeasured:
        yield f"{counted(rung.unmeasured, 'attempt')} left out: nobody knows all their tokens"
    if rung.unrated:
        yield f"{counted(rung.unrated, 'attempt')} left out: nobody knows their rates"
    if rung.cost_usd is None:
        yield f"{rung.rung} has no price: add it to MODEL_COSTS, or use `stepdown prices set`"
    if family_of(rung.rung) is None:
        yield f"{rung.rung} shows no family and version in its name, so no model is compared with it"
    if rung.is_measured and usd_rounded(rung.paid_usd) != usd_rounded(rung.cost_usd or _ZERO):
        yield f"the ledger has {usd_rounded(rung.paid_usd)} for these attempts, at the rates of their days"


def _doubts(rung: RungCost, best: Candidate) -> Iterator[str]:
    if endpoint_of(best.model) != DEFAULT_ENDPOINT:
        yield f"{best.model}: nobody knows here whether {endpoint_of(best.model)} offers this model, and its id there"
    if not best.is_newer:
        yield f"{best.model} is older than {model_of(rung.rung)}; nobody knows here whether it is still offered"
    if best.attempts:
        yield f"{best.model}: {counted(best.attempts, 'attempt')} in these days; `stepdown whatif` compares its answers"


def _rung_json(number: int, rung: RungCost) -> dict[str, Any]:
    kind = family_of(rung.rung)
    return {
        "rung": number,
        "model": rung.rung,
        "family": None if kind is None else kind[0],
        "retires": _day(rung.ends),
        "basis": "ledger" if rung.is_measured else "usual_mix",
        "attempts": rung.attempts,
        "unmeasured_attempts": rung.unmeasured,
        "unrated_attempts": rung.unrated,
        "tokens": _tokens(rung.uses),
        "paid_usd": _exact(rung.paid_usd) if rung.is_measured else None,
        "cost_usd": _exact(rung.cost_usd),
        "suggestion": None if rung.best is None else rung.best.model,
        "candidates": [_candidate_json(rung, one) for one in rung.candidates],
    }


def _candidate_json(rung: RungCost, one: Candidate) -> dict[str, Any]:
    shares = {"saved_share": _share(rung, one), "even_at": _even_at(rung, one)}
    return {
        "model": one.model,
        "is_newer": one.is_newer,
        "is_in_chain": one.is_in_chain,
        "has_room": one.has_room,
        "retires": _day(one.ends),
        "attempts": one.attempts,
        "cost_usd": _exact(one.cost_usd),
        "saved_usd": _exact(rung.saved_usd(one)),
        **{name: None if share is None else f"{share:.4f}" for name, share in shares.items()},
    }


def _tokens(uses: Sequence[TokenUse]) -> Mapping[str, Mapping[str, int]]:
    lanes = defaultdict[str, dict[str, int]](lambda: dict.fromkeys(COUNTERS, 0))
    for use in uses:
        for name in COUNTERS:
            lanes[use.lane][name] += 0 if use.usage is None else getattr(use.usage, name)
    return lanes


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _exact(usd: Decimal | None) -> str | None:
    return None if usd is None else f"{usd:.9f}"

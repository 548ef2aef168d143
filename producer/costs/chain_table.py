"""How the chain is shown: its models, and what speaks for and against each start of a task kind."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from models.chain.best_start import LEAST, StartVerdict, WeighedStart
from models.chain.chain import short_name
from models.money.pricing import Price
from producer.costs.price_table import rate_texts
from producer.output.format import money, rate
from producer.output.table import table
from producer.output.terminal import terminal_text

_HEAD = ("rung", "model", "input", "output", "window", "retires", "limit group")
_UNKNOWN = "unknown"
_VERDICTS = {
    StartVerdict.PICKED: "picked",
    StartVerdict.DEARER: "dearer",
    StartVerdict.TOO_FEW: f"not picked before {LEAST} jobs have started there",
    StartVerdict.UNPRICED: "not picked: what it costs is not known",
    StartVerdict.LOSES: "not picked: more jobs than at the ceiling may end here refused or invalid",
    StartVerdict.NO_YARDSTICK: f"not picked before {LEAST} jobs have started at the ceiling, to compare with",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """A model of the chain: its price and window (in tokens), None where nobody knows them; the day it ends, if any."""

    model: str
    price: Price | None
    window: int | None
    limit_group: str
    retires: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """The start, floor and ceiling of a task kind, in rungs. `weighed`: each rung as a start, if starts are learned."""

    task: str
    start: int
    floor: int
    ceiling: int
    is_auto: bool
    weighed: tuple[WeighedStart, ...] = ()


def chain_lines(rungs: Sequence[Rung], kinds: Sequence[Kind]) -> Iterator[str]:
    """Write the chain as a table, and a paragraph for each task kind."""
    yield from table(
        _HEAD,
        [_row(number, rung) for number, rung in enumerate(rungs)],
        right={0, 2, 3, 4},
        folds={1},
        is_last_below=True,
    )
    models = [rung.model for rung in rungs]
    yield from [""] if kinds else []
    for kind in kinds:
        span = f"floor {_named(models, kind.floor)}, ceiling {_named(models, kind.ceiling)}"
        yield f"{terminal_text(kind.task)} starts on {_named(models, kind.start)}{_because(kind)}; {span}"
        for one in kind.weighed:
            yield f"  {_named(models, one.rung)}: {verdict(one)}"


def verdict(one: WeighedStart) -> str:
    """Say of a start how often it did, between which bounds, what an accepted answer costs from it, and what follows.

    >>> verdict(WeighedStart(rung=2, reason=StartVerdict.PICKED, judged=430, accepted=412, low=Decimal("0.935"),
    ...     high=Decimal("0.973"), cost_usd=Decimal("0.0011234")))
    '412 of 430 accepted (93.5 to 97.3 %), $0.001123 per accepted answer; picked'
    """
    message = f"{one.accepted:,} of {one.judged:,} accepted"
    bounds = f" ({one.low * 100:.1f} to {one.high * 100:.1f} %)" if one.judged else ""
    return f"{message}{bounds}{_cost(one.cost_usd)}; {_VERDICTS[one.reason]}"


def chain_json(rungs: Sequence[Rung], kinds: Sequence[Kind]) -> dict[str, Any]:
    """Lay the chain out; money and shares are text, so that no program makes a float of them."""
    models = [rung.model for rung in rungs]
    return {
        "rungs": [
            {
                "rung": number,
                "model": rung.model,
                "rates": None if rung.price is None else rate_texts(rung.price.rates),
                "window": rung.window,
                "limit_group": rung.limit_group,
                "retires": None if rung.retires is None else rung.retires.isoformat(),
            }
            for number, rung in enumerate(rungs)
        ],
        "tasks": [
            {
                "task": kind.task,
                "is_auto": kind.is_auto,
                **{name: models[getattr(kind, name)] for name in ("start", "floor", "ceiling")},
                "weighed": [_weighed_json(one, models) for one in kind.weighed],
            }
            for kind in kinds
        ],
    }


def _row(number: int, rung: Rung) -> tuple[str, ...]:
    price, window = rung.price, rung.window
    return (
        str(number),
        rung.model,
        _UNKNOWN if price is None else rate(price.rates.input),
        _UNKNOWN if price is None else rate(price.rates.output),
        _UNKNOWN if window is None else f"{window:,}",
        "" if rung.retires is None else rung.retires.isoformat(),
        rung.limit_group,
    )


def _because(kind: Kind) -> str:
    if not kind.is_auto:
        return ""
    is_learned = any(one.reason is StartVerdict.PICKED for one in kind.weighed)
    return " (learned)" if is_learned else " (auto: nothing is learned yet)"


def _cost(cost_usd: Decimal | None) -> str:
    if not cost_usd or not cost_usd.is_finite():
        return ""
    return f", {money(cost_usd.quantize(Decimal('0.000001')))} per accepted answer"


def _named(models: Sequence[str], rung: int) -> str:
    return terminal_text(short_name(models[rung]))


def _weighed_json(one: WeighedStart, models: Sequence[str]) -> dict[str, Any]:
    cost = None if one.cost_usd is None or not one.cost_usd.is_finite() else f"{one.cost_usd:.9f}"
    return {
        "model": models[one.rung],
        "reason": one.reason,
        "judged": one.judged,
        "accepted": one.accepted,
        "low": f"{one.low:.6f}",
        "high": f"{one.high:.6f}",
        "usd_per_accepted_answer": cost,
    }

"""Faults in the prices, each with both rates and the mend, for `prices check` and the doctor."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from importlib.metadata import version

from migrations.run import revisions
from models.accounting.price_list import PriceList
from models.chain.retirements import LIST, retirements
from models.database.engine import opened_if_there
from models.errors import LedgerError
from models.money.price_book import GENAI_SOURCE, PriceBook, snapshot_day
from models.money.pricing import KINDS, Price, Rates, complete_rates, derived_kinds
from models.reports.cheaper_models import USED_DAYS, RungCost, TokenUse, TokenUses, compare, thresholds_of
from models.settings import Settings
from producer.output.format import rate
from producer.output.terminal import terminal_text

SERVED_DAYS = 30
_RETIRES_WITHIN_DAYS = 90
_OLD_DAYS = 60
_HAIKU_4_5 = "claude-haiku-4-5"
_HAIKU_3_5 = (Decimal("0.80"), Decimal(4))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """A fault in the prices: `amounts` has, for each rate that differs, ours and the price book's in USD."""

    kind: str
    model: str | None
    message: str
    amounts: Mapping[str, tuple[Decimal, Decimal]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The prices that a person set in the ledger, and the models that answered lately.

    `uses` are the tokens of the last 30 days by rung, if they were read. `why_not` is the reason why the ledger could
    not be read. A ledger that was read, or is new and empty, has None.
    """

    dated: Mapping[str, Sequence[Price]] = field(default_factory=dict)
    served: Sequence[str] = ()
    uses: Sequence[TokenUse] = ()
    why_not: str | None = None


def known_to(settings: Settings, *, now: datetime, with_uses: bool = False) -> Known:
    """Read the prices and models in the ledger, if there is a ledger. With uses, the tokens of each rung, too."""
    current = newest = None
    try:
        with opened_if_there(settings.database_url.get_secret_value()) as engine:
            if engine is None:
                return Known()
            current, newest = revisions(engine)
            if current == newest:
                prices = PriceList(engine)
                dated, served = prices.dated(), prices.served_since(now - timedelta(days=SERVED_DAYS))
                if not with_uses:
                    return Known(dated=dated, served=served)
                thresholds = thresholds_of(settings.price_book(dated), settings.chain.models, now=now)
                since = now - timedelta(days=USED_DAYS)
                return Known(dated=dated, served=served, uses=TokenUses(engine).since(since, [*thresholds]))
            if current is None and engine.dialect.name == "sqlite":
                return Known()
    except LedgerError as error:
        return Known(why_not=str(error))
    return Known(
        why_not=f"it is at revision {current or 'none'}, this version needs {newest}: run `stepdown db upgrade`"
    )


def book_of(settings: Settings, *, now: datetime) -> tuple[PriceBook, str | None]:
    """Return the price book with the prices set in the ledger, and a reason if the ledger is away."""
    known = known_to(settings, now=now)
    return settings.price_book(known.dated), known.why_not


def chain_costs(settings: Settings, known: Known, *, now: datetime) -> list[RungCost]:
    """Compare each rung of the chain with other models of its family."""
    book, ends = settings.price_book(known.dated), retirements() or {}
    return compare(settings.chain.models, known.uses, book, ends, now=now)


def wrong_prices(settings: Settings, known: Known, *, now: datetime) -> Iterator[Wrong]:
    """Find faults in overrides, in the prices of the chain and of recent models, and in the price book's age."""
    book, listed = settings.price_book(known.dated), PriceBook({})
    for model in sorted({*settings.price_overrides, *known.dated}):
        ours, theirs = book.price(model, at=now), listed.price(model, at=now)
        if ours is not None and theirs is not None and ours.source != theirs.source:
            yield from _differing(ours, theirs, is_setting=model in settings.price_overrides)
    chain = settings.chain.models
    for model in chain:
        if book.price(model, at=now) is None:
            yield _unpriced(model, "has no price")
    for model in known.served:
        if model not in chain and book.price(model, at=now) is None:
            yield _unpriced(model, f"answered in the last {SERVED_DAYS} days and has no price, so its cost is unknown")
    yield from _retiring(chain, now)
    yield from _aged(now)


def age_of_prices(now: datetime) -> str:
    """Return a sentence on the age of the price book, and on the source of the age."""
    day = snapshot_day(now.date())
    if day is None:
        return f"{GENAI_SOURCE} does not say how old it is, and no rate in it has a date"
    ago = (now.date() - day).days
    return (
        f"{GENAI_SOURCE} does not say when it was made; the newest rate that had begun when it was installed is of "
        f"{day}, {ago} days ago"
    )


def _differing(ours: Price, theirs: Price, *, is_setting: bool) -> Iterator[Wrong]:
    thresholds = sorted({above for above, _ in (*ours.tiers, *theirs.tiers)})
    mine, listed = _figures(ours, thresholds), _figures(theirs, thresholds)
    amounts = {label: (mine[label][0], listed[label][0]) for label in mine if mine[label][0] != listed[label][0]}
    if not amounts:
        return
    name = terminal_text(ours.model)
    has = ", ".join(
        f"{label} {rate(own)}{' (derived from input)' if mine[label][1] else ''}" for label, (own, _) in amounts.items()
    )
    says = ", ".join(f"{label} {rate(other)}" for label, (_, other) in amounts.items())
    is_classic = name.startswith(_HAIKU_4_5) and (ours.rates.input, ours.rates.output) == _HAIKU_3_5
    classic = ". 0.80 in and 4.00 out is Claude Haiku 3.5's price, not Haiku 4.5's" if is_classic else ""
    where = "MODEL_COSTS" if is_setting else "`stepdown prices set`"
    right = _setting(theirs) if is_setting else f"`{_command(theirs)}`"
    message = f"{name}: {where} has {has}; {theirs.source} says {says}, in USD per million tokens{classic}: {right}"
    yield Wrong(kind="differs", model=ours.model, message=message, amounts=amounts)


def _figures(price: Price, thresholds: Sequence[int]) -> dict[str, tuple[Decimal, bool]]:
    """List every rate by its usual name, and whether the rate is derived."""
    by_place = {"": price.rates} | {f" above {above}": price.rates_for(above + 1) for above in thresholds}
    return {
        f"{kind}{place}": (getattr(rates, kind), kind in derived_kinds(price.source, rates))
        for place, rates in by_place.items()
        for kind in KINDS
    }


def _setting(right: Price) -> str:
    if right.tiers:
        return "take it out of MODEL_COSTS, which has no rates for long prompts"
    return f"write {right.model}:{':'.join(_needed(right.rates).values())} in MODEL_COSTS, or take it out"


def _command(right: Price) -> str:
    options = [f"--{kind.replace('_', '-')} {terms}" for kind, terms in _needed(right.rates).items()]
    tiers = [f"--above {above}:{':'.join(_needed(rates).values())}" for above, rates in right.tiers]
    return " ".join([f"stepdown prices set {right.model}", *options, *tiers])


def _needed(rates: Rates) -> dict[str, str]:
    terms = {kind: rate(getattr(rates, kind)) for kind in KINDS}
    is_derived = complete_rates({"input": rates.input, "output": rates.output}) == rates
    return {kind: terms[kind] for kind in KINDS[:2]} if is_derived else terms


def _unpriced(model: str, problem: str) -> Wrong:
    name = terminal_text(model)
    fix = f"add it to MODEL_COSTS, or `stepdown prices set {name} --input USD --output USD`"
    return Wrong(kind="unpriced", model=model, message=f"{name} {problem}: {fix}")


def _retiring(chain: Sequence[str], now: datetime) -> Iterator[Wrong]:
    listed, sdk = retirements(), f"anthropic {version('anthropic')}"
    if listed is None:
        message = f"which models end cannot be told: {LIST} ({sdk}) cannot be read: look at Anthropic's list yourself"
        yield Wrong(kind="unreadable", model=None, message=message)
        return
    for model in chain:
        day = listed.get(model)
        left = None if day is None else (day - now.date()).days
        if left is None or left > _RETIRES_WITHIN_DAYS:
            continue
        when = f"is retired on {day}, in {left} days" if left > 0 else f"was retired on {day}"
        message = f"{terminal_text(model)} {when} (DEPRECATED_MODELS of {sdk}): put another in its place in MODEL_CHAIN"
        yield Wrong(kind="retired", model=model, message=message)


def _aged(now: datetime) -> Iterator[Wrong]:
    day = snapshot_day(now.date())
    if day is None or (now.date() - day).days > _OLD_DAYS:
        message = f"{age_of_prices(now)}: `pip install -U genai-prices`, then check again"
        yield Wrong(kind="old", model=None, message=message)

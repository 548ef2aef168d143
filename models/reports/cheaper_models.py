"""The cost of each rung beside other models of its family, by the tokens of the last 30 days.

Both sides have today's rates. A rung without such attempts is compared by a usual mix of tokens.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import RowMapping, Select, and_, case, func, literal, select

from models.database.engine import LedgerPart
from models.money.price_book import PriceBook, context_window, listed_models
from models.money.pricing import parts_usd
from models.money.usage import COUNTERS, Usage
from models.outcome import CostStatus
from models.rung_name import DEFAULT_ENDPOINT, endpoint_of, family_of, model_of, named_at
from models.schema.views import ATTEMPTS

USED_DAYS = 30
USUAL_MIX = Usage(input_tokens=800_000, output_tokens=200_000)
_PROMPT = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
_TIER = ("service_tier", "speed", "inference_geo")
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUse:
    """The summed tokens of attempts that have one price per token; their prompts are longer than `above`.

    `longest` has the most tokens of one attempt. `usage` is None for attempts whose tokens are not known.
    `paid_usd` sums the known costs.
    """

    rung: str
    lane: str = "live"
    usage: Usage | None
    above: int = 0
    attempts: int = 0
    longest: int = 0
    paid_usd: Decimal = _ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Another model of a rung's family. `cost_usd` is None without a price; `ends` is its last day, if that is known.

    `attempts` counts its own attempts in these days. `has_room`: no request was longer than its window.
    """

    model: str
    version: tuple[int, int]
    is_newer: bool
    is_in_chain: bool
    has_room: bool
    attempts: int
    ends: date | None
    cost_usd: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RungCost:
    """The cost of a rung's tokens, and the candidates. `cost_usd` is None without a price.

    `uses` are the compared tokens, the usual mix if none were measured. `unmeasured` counts attempts without known
    tokens, `unrated` those at a speed without a rate.
    """

    rung: str
    ends: date | None = None
    is_measured: bool = False
    uses: Sequence[TokenUse] = ()
    unmeasured: int = 0
    unrated: int = 0
    cost_usd: Decimal | None = None
    candidates: Sequence[Candidate] = ()

    @property
    def attempts(self) -> Counter[str]:
        """The compared attempts by lane."""
        counts = Counter[str]()
        for use in self.uses:
            counts[use.lane] += use.attempts
        return counts

    @property
    def paid_usd(self) -> Decimal:
        """The costs that the ledger has of the compared attempts."""
        return sum((use.paid_usd for use in self.uses), _ZERO)

    @property
    def best(self) -> Candidate | None:
        """The candidate that saves most, a newer one before any older one. Returns None if none costs less.

        The successor of a rung that ends may cost more. A model that ends, or stands in the chain, is no candidate.
        """
        free = [one for one in self.candidates if one.ends is None and one.has_room and not one.is_in_chain]
        cheaper = [one for one in free if (self.saved_usd(one) or 0) > 0]
        if self.ends is not None and not any(one.is_newer for one in cheaper):
            cheaper = [one for one in free if one.is_newer and one.cost_usd is not None] or cheaper
        return min(cheaper, key=_place, default=None)

    def saved_usd(self, candidate: Candidate) -> Decimal | None:
        """Return the difference of both costs, negative for a candidate that costs more. Returns None if unknown."""
        return None if self.cost_usd is None or candidate.cost_usd is None else self.cost_usd - candidate.cost_usd


class TokenUses(LedgerPart):
    """Sums tokens by rung and price. Raises LedgerError if the ledger is away."""

    def since(self, start: datetime, thresholds: Sequence[int]) -> list[TokenUse]:
        """Sum the attempts opened since `start` that were billed or may be; `thresholds` as of `thresholds_of`."""
        return [_use(row) for row in self._rows(_summed(start, sorted(thresholds, reverse=True)))]


def thresholds_of(book: PriceBook, rungs: Sequence[str], *, now: datetime) -> set[int]:
    """Return the prompt lengths at which a price of these rungs, or of their candidates, changes."""
    models = {*rungs, *(other for rung in rungs for other in _others(rung, book))}
    prices = [book.price(model, at=now) for model in models]
    return {above for price in prices if price is not None for above, _ in price.tiers}


def compare(
    rungs: Sequence[str], uses: Sequence[TokenUse], book: PriceBook, ends: Mapping[str, date], *, now: datetime
) -> list[RungCost]:
    """Compare each rung of a chain; `ends` are the last days of models. Models that have ended are no candidates."""
    last_days = {kind: day for model, day in ends.items() if (kind := family_of(model)) is not None}
    chain, attempts = {_key(rung) for rung in rungs}, Counter[Any]()
    for use in uses:
        attempts[_key(use.rung)] += use.attempts

    def candidate(name: str, own: RungCost, version: tuple[int, int]) -> Candidate:
        kind, window = family_of(name) or ("", version), context_window(name)
        return Candidate(
            model=name,
            version=kind[1],
            is_newer=kind[1] > version,
            is_in_chain=_key(name) in chain,
            has_room=window is None or max(use.longest for use in own.uses) <= window,
            attempts=attempts[_key(name)],
            ends=last_days.get(kind),
            cost_usd=_cost_usd(name, own.uses, book, now),
        )

    def compared(rung: str) -> RungCost:
        own, kind = _own(rung, uses, book, now), family_of(rung)
        others = [] if kind is None else [candidate(name, own, kind[1]) for name in _others(rung, book)]
        alive = [one for one in others if one.ends is None or one.ends > now.date()]
        # The list is of Anthropic's own API: nobody says when another endpoint ends a model.
        return replace(own, ends=ends.get(rung), candidates=sorted(alive, key=_place))

    return [compared(rung) for rung in rungs]


def _key(rung: str) -> tuple[str, Any]:
    """Return a key that is the same for a model's names with and without its date."""
    return endpoint_of(rung), family_of(rung) or rung


def _place(one: Candidate) -> tuple[bool, bool, Decimal, int, int]:
    """Order candidates: newer ones, the least cost, the highest version first."""
    return not one.is_newer, one.cost_usd is None, one.cost_usd or _ZERO, -one.version[0], -one.version[1]


def _own(rung: str, uses: Sequence[TokenUse], book: PriceBook, now: datetime) -> RungCost:
    own = [use for use in uses if use.rung == rung]
    known = [use for use in own if use.usage is not None]
    rated = [use for use in known if _cost_usd(rung, [use], book, now) is not None]
    unmeasured = sum(use.attempts for use in own if use.usage is None)
    unrated = sum(use.attempts for use in known) - sum(use.attempts for use in rated)
    compared = rated or [TokenUse(rung=rung, usage=USUAL_MIX)]
    return RungCost(
        rung=rung,
        is_measured=bool(rated),
        uses=compared,
        unmeasured=unmeasured,
        unrated=unrated,
        cost_usd=_cost_usd(rung, compared, book, now),
    )


def _cost_usd(model: str, uses: Sequence[TokenUse], book: PriceBook, now: datetime) -> Decimal | None:
    total = _ZERO
    for use in uses:
        usage = use.usage or USUAL_MIX
        price = book.price(model, at=now, **usage.tier)
        if price is None:
            return None
        # The sum of many prompts is longer than a threshold that none of them has passed.
        total += parts_usd(usage, replace(price, rates=price.rates_for(use.above + 1), tiers=())).total
    return total


def _others(rung: str, book: PriceBook) -> Iterator[str]:
    """List the models of a rung's family, but its own version, as rungs at the same endpoint."""
    own, endpoint = family_of(rung), endpoint_of(rung)
    if own is None:
        return
    stated = [name for name in book.stated if endpoint_of(name) in {DEFAULT_ENDPOINT, endpoint}]
    known = {family_of(name): model_of(name) for name in (*listed_models(), *stated)}
    for kind, model in known.items():
        if kind is not None and kind[0] == own[0] and kind != own:
            yield named_at(endpoint, model)


def _summed(start: datetime, thresholds: Sequence[int]) -> Select[Any]:
    attempt = ATTEMPTS.c
    counters = [attempt[name] for name in COUNTERS]
    prompt = sum((attempt[name] for name in _PROMPT[1:]), start=attempt[_PROMPT[0]])
    is_whole = attempt.cost_status != CostStatus.AT_LEAST
    is_known = and_(is_whole, *(attempt[name].is_not(None) for name in (*_PROMPT, "output_tokens")))
    above = case(*((prompt > threshold, threshold) for threshold in thresholds), else_=0) if thresholds else literal(0)
    # Postgres takes two parameters of one value for two values: a group is by columns of a subquery.
    each = (
        select(
            *(attempt[name] for name in ("requested_model", "lane", *_TIER, "cost_nano_usd")),
            *counters,
            case((is_known, above), else_=None).label("above"),
            (prompt + attempt.output_tokens).label("length"),
        )
        .where(attempt.opened_at >= start, attempt.cost_status != CostStatus.FREE)
        .subquery()
    )
    keys = [each.c[name] for name in ("requested_model", "lane", *_TIER, "above")]
    sums = [func.sum(each.c[name]).label(name) for name in COUNTERS]
    paid = func.sum(each.c.cost_nano_usd, type_=attempt.cost_nano_usd.type).label("paid_usd")
    return select(
        *keys, *sums, paid, func.count().label("attempts"), func.max(each.c.length).label("longest")
    ).group_by(*keys)


def _use(row: RowMapping) -> TokenUse:
    usage = None
    if row["above"] is not None:
        counts: dict[str, Any] = {name: int(row[name] or 0) for name in COUNTERS}
        usage = Usage(**counts, **{name: row[name] for name in _TIER})
    return TokenUse(
        rung=row["requested_model"],
        lane=row["lane"],
        usage=usage,
        above=row["above"] or 0,
        attempts=row["attempts"],
        longest=row["longest"] or 0,
        paid_usd=row["paid_usd"] or _ZERO,
    )

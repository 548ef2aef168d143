"""Reads prices that a person writes, in options or in a TOML file, as dated prices. An error names every mistake."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, model_validator

from models.errors import InputError, InputMistakes
from models.money.pricing import DERIVED, KINDS, Price, complete_rates, parse_rate
from models.text import line
from models.toml_file import read_toml
from models.validation import StrictModel, validated
from producer.output.dates import parse_day
from producer.output.terminal import terminal_text

NOTHING_SET = "nothing was set"
_MOST_TOKENS = 2**31 - 1
_TOKENS = "a whole number of tokens, each only once"
_SHAPE = "write TOKENS:INPUT:OUTPUT[:CACHE_READ[:WRITE_5M[:WRITE_1H]]]"


def _rate(given: object) -> Decimal:
    if type(given) not in {int, str, Decimal}:
        raise ValueError
    return parse_rate(str(given))


def _model(model: str) -> str:
    if not model or model != line(model) or model != model.strip():
        raise ValueError
    return model


_Rate: TypeAlias = Annotated[Decimal, BeforeValidator(_rate), Field(description="a number of USD per million tokens")]


class _Named(StrictModel):
    model: Annotated[str, AfterValidator(_model)] = Field(
        description="the model's id, such as claude-opus-4-7, of at most 200 characters"
    )
    valid_from: date | None = Field(
        default=None, alias="from", description="a day such as 2026-12-01, without quotes and without a time"
    )


class _Rates(StrictModel):
    input: _Rate
    output: _Rate
    cache_read: _Rate | None = None
    cache_write_5m: _Rate | None = None
    cache_write_1h: _Rate | None = None

    def given(self) -> dict[str, Decimal]:
        """Return the rates that are given, by kind."""
        return {kind: rate for kind in KINDS if (rate := getattr(self, kind)) is not None}


class _Tier(_Rates):
    tokens: int = Field(gt=0, le=_MOST_TOKENS, description=_TOKENS)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: object) -> object:
        """Read a tier of an option."""
        if not isinstance(given, str):
            return given
        tokens, *rates = given.split(":")
        if not 2 <= len(rates) <= len(KINDS):  # noqa: PLR2004 - input and output at least
            raise ValueError(f"{given!r}: {_SHAPE}")
        return {"tokens": int(tokens) if tokens.isdecimal() else None, **dict(zip(KINDS, rates, strict=False))}


def _each_once(tiers: list[_Tier]) -> list[_Tier]:
    if len({tier.tokens for tier in tiers}) < len(tiers):
        raise ValueError("tokens", f"should be {_TOKENS}")
    return sorted(tiers, key=lambda tier: tier.tokens)


class _Entry(_Rates, _Named):
    above: Annotated[list[_Tier], AfterValidator(_each_once)] = Field(
        default=[], description="a table: begin it with [[price.above]]"
    )

    def price(self, today: date) -> Price:
        """Return the price, which begins today if the entry names no day."""
        day = self.valid_from or today
        is_derived = any(len(each.given()) < len(KINDS) for each in (self, *self.above))
        return Price(
            model=self.model,
            source=f"prices set on {today} from {day} on{DERIVED if is_derived else ''}",
            rates=complete_rates(self.given()),
            tiers=tuple((tier.tokens, complete_rates(tier.given())) for tier in self.above),
            valid_from=day,
        )


_ENTRY = TypeAdapter(_Entry)


def price_from_options(
    model: str, rates: Mapping[str, str | None], *, above: Sequence[str], day: str | None, today: date
) -> Price:
    """Read one price: `rates` by kind, tiers as TOKENS:INPUT:OUTPUT and so on, and its first `day`, or today.

    Raises InputError for the day, InputMistakes for all else.
    """
    source = "prices set"
    given = {kind: rate for kind, rate in rates.items() if rate is not None}
    first = today if day is None else parse_day(day, source=source, field="--from")
    entry, problems = validated(_ENTRY, {"model": model, "from": first, **given, "above": [*above]}, hides_values=True)
    if entry is None:
        mistakes = [InputError(fix, source=source, field=_option(field)) for field, fix in problems]
        raise InputMistakes(mistakes, end=NOTHING_SET)
    return entry.price(today)


def prices_from_file(path: Path, *, today: date) -> list[Price]:
    """Read every `[[price]]` of a TOML file: model, from, input, output, cache rates, and `[[price.above]]` tiers.

    Raises InputError if the file cannot be read. Raises InputMistakes that name each entry from 1 and its field.
    """
    source = terminal_text(str(path))
    prices, mistakes = dict[tuple[str, date | None], Price](), list[InputError]()
    for number, given in enumerate(_entries(path, source), start=1):
        entry, problems = validated(_ENTRY, given, hides_values=True)
        if entry is not None:
            price = entry.price(today)
            if prices.setdefault((price.model, price.valid_from), price) is not price:
                problems = [("from", f"{price.valid_from} is given twice for this model; one day has one price")]
        place = f"{source}: price {number}{_called(given)}"
        mistakes += [InputError(fix, source=place, field=field) for field, fix in problems]
    if mistakes:
        raise InputMistakes(mistakes, end=NOTHING_SET)
    return [*prices.values()]


def _entries(path: Path, source: str) -> list[dict[str, Any]]:
    try:
        content = read_toml(path, parse_float=Decimal)
    except ValueError as error:
        raise InputError(str(error), source=source) from None
    if unknown := sorted(set(content) - {"price"}):
        raise InputError("is unknown here; each price begins with [[price]]", source=source, field=unknown[0])
    entries = content.get("price")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise InputError("holds no price; each begins with [[price]]", source=source)
    return entries


def _called(entry: Mapping[str, Any]) -> str:
    model = entry.get("model")
    return f" ({terminal_text(model)})" if isinstance(model, str) and model else ""


def _option(field: str) -> str:
    """Return the option of a field.

    >>> [_option(field) for field in ("model", "cache_read", "above.input", "above.tokens")]
    ['MODEL', '--cache-read', '--above input', '--above']
    """
    names = {"model": "MODEL", "above.tokens": "--above"}
    return names.get(field, f"--{field.replace('_', '-').replace('.', ' ')}")

"""Prices as a person writes them, in options or in a TOML file, to dated prices; every mistake is told at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from models.errors import InputError, InputMistakes
from models.money.pricing import DERIVED, KINDS, Price, Rates, complete_rates, parse_rate
from models.text import line
from models.toml_file import read_toml
from producer.output.dates import parse_day
from producer.output.terminal import terminal_text

NOTHING_SET = "nothing was set"
_CACHE_KINDS = KINDS[2:]
_FIELDS = ("model", "from", *KINDS, "above")
_MOST_TOKENS = 2**31 - 1
_SHAPE = "write TOKENS:INPUT:OUTPUT[:CACHE_READ[:WRITE_5M[:WRITE_1H]]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """One price being read: where it is written, how its fields are called there, and what is wrong so far."""

    source: str
    is_options: bool
    mistakes: list[InputError] = field(default_factory=list)

    def wrong(self, problem: str, name: str) -> None:
        option = "MODEL" if name == "model" else f"--{name.replace('_', '-')}"
        self.mistakes.append(InputError(problem, source=self.source, field=option if self.is_options else name))


def price_from_options(
    model: str, rates: Mapping[str, str | None], *, above: Sequence[str], day: str | None, today: date
) -> Price:
    """Read one price: `rates` by kind, tiers as TOKENS:INPUT:OUTPUT and so on, `day` from which it counts or today.

    Raises InputMistakes.
    """
    form = _Form(source="prices set", is_options=True)
    entry: dict[str, Any] = {kind: rate for kind, rate in rates.items() if rate is not None}
    entry |= {"model": model, "above": [_tier_entry(text, form) for text in above]}
    try:
        entry["from"] = today if day is None else parse_day(day, source=form.source, field="--from")
    except InputError as error:
        form.mistakes.append(error)
    price = _price(entry, form, today)
    if price is None:
        raise InputMistakes(form.mistakes, end=NOTHING_SET)
    return price


def prices_from_file(path: Path, *, today: date) -> list[Price]:
    """Read every `[[price]]` of a TOML file: model, from, input, output, cache rates, and `[[price.above]]` tiers.

    Raises InputError where it cannot be read, InputMistakes that name each entry from 1 and its field.
    """
    source = terminal_text(str(path))
    entries, found, mistakes = _entries(path, source), list[Price](), list[InputError]()
    for number, entry in enumerate(entries, start=1):
        form = _Form(source=f"{source}: price {number}{_called(entry)}", is_options=False)
        price = _price(entry, form, today) if isinstance(entry, dict) else None
        if not isinstance(entry, dict):
            form.wrong("should be a table: begin it with [[price]]", "price")
        if price is not None and any((one.model, one.valid_from) == (price.model, price.valid_from) for one in found):
            form.wrong(f"{price.valid_from} is given twice for this model; one day has one price", "from")
        mistakes.extend(form.mistakes)
        found.extend([] if price is None else [price])
    if mistakes:
        raise InputMistakes(mistakes, end=NOTHING_SET)
    return found


def _entries(path: Path, source: str) -> list[Any]:
    try:
        content = read_toml(path, parse_float=Decimal)
    except ValueError as error:
        raise InputError(str(error), source=source) from None
    if unknown := sorted(set(content) - {"price"}):
        raise InputError("is unknown here; each price begins with [[price]]", source=source, field=unknown[0])
    entries = content.get("price")
    if not isinstance(entries, list) or not entries:
        raise InputError("holds no price; each begins with [[price]]", source=source)
    return entries


def _called(entry: object) -> str:
    model = entry.get("model") if isinstance(entry, dict) else None
    return f" ({terminal_text(model)})" if isinstance(model, str) and model else ""


def _price(entry: Mapping[str, Any], form: _Form, today: date) -> Price | None:
    for name in sorted(set(entry) - set(_FIELDS)):
        form.wrong(f"is unknown; choose from {', '.join(_FIELDS)}", name)
    model, day = entry.get("model"), entry.get("from", today)
    if not isinstance(model, str) or not model or model != line(model) or model != model.strip():
        form.wrong("should be the model's id, such as claude-opus-4-7, of at most 200 characters", "model")
    if type(day) is not date:  # a datetime is a date, too
        form.wrong("should be a day such as 2026-12-01, without quotes and without a time", "from")
    rates, tiers = _rates(entry, form), list(_tiers(entry.get("above", []), form))
    if form.mistakes or rates is None or not isinstance(model, str):
        return None
    is_derived = any(kind not in given for given in (entry, *entry.get("above", [])) for kind in _CACHE_KINDS)
    return Price(
        model=model,
        source=f"prices set on {today} from {day} on{DERIVED if is_derived else ''}",
        rates=rates,
        tiers=tuple(sorted(tiers, key=lambda tier: tier[0])),
        valid_from=day,
    )


def _rates(entry: Mapping[str, Any], form: _Form, within: str = "") -> Rates | None:
    given, before = dict[str, Decimal](), len(form.mistakes)
    for kind in KINDS:
        value = entry.get(kind)
        if value is None and kind in _CACHE_KINDS:
            continue
        try:
            if type(value) not in {int, str, Decimal}:
                raise ValueError("should be a number of USD per million tokens")  # noqa: TRY301 - one place tells
            given[kind] = parse_rate(str(value))
        except ValueError as error:
            form.wrong(str(error), f"{within}{kind}")
    return complete_rates(given) if len(form.mistakes) == before else None


def _tiers(listed: object, form: _Form) -> Iterator[tuple[int, Rates]]:
    if not isinstance(listed, list) or not all(isinstance(tier, dict) for tier in listed):
        form.wrong("should be a table: begin it with [[price.above]]", "above")
        return
    seen = set[int]()
    for tier in listed:
        tokens = tier.get("tokens")
        for name in sorted(set(tier) - {"tokens", *KINDS}):
            form.wrong(f"is unknown; choose from tokens, {', '.join(KINDS)}", f"above.{name}")
        if type(tokens) is not int or not 0 < tokens <= _MOST_TOKENS or tokens in seen:
            form.wrong(
                "should be a whole number of tokens, each only once", "above" if form.is_options else "above.tokens"
            )
            continue
        seen.add(tokens)
        rates = _rates(tier, form, within="above " if form.is_options else "above.")
        if rates is not None:
            yield tokens, rates


def _tier_entry(text: str, form: _Form) -> dict[str, Any]:
    tokens, *rates = text.split(":")
    if not 2 <= len(rates) <= len(KINDS):  # noqa: PLR2004 - input and output at least
        form.wrong(f"{text!r}: {_SHAPE}", "above")
        return {"tokens": 1, "input": 0, "output": 0}
    return {"tokens": int(tokens) if tokens.isdecimal() else None, **dict(zip(KINDS, rates, strict=False))}

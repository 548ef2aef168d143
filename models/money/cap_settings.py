"""Caps as the settings write them: amounts of USD, by task or by tag."""

from decimal import Decimal, InvalidOperation
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator

from models.errors import Mistake, SettingsError

_MOST = Decimal(1_000_000_000)  # nine billion would not fit into nano-dollars in 64 bits
_DECIMALS = 9


def parse_caps(variable: str, text: str) -> dict[str, Decimal]:
    """Read name:usd by comma, such as `summarize:5,synthesize:20` or `team=media:20`: USD for one UTC day each."""
    caps: dict[str, Decimal] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, amount = (part.strip() for part in entry.rpartition(":"))
        if not name:
            raise _wrong(variable, entry, "write name:usd by comma")
        if variable == "TAG_CAPS_USD" and not all(name.partition("=")):
            raise _wrong(variable, entry, f"{name!r} should be tag=value")
        if name in caps:
            raise _wrong(variable, entry, f"{name} is named twice")
        try:
            caps[name] = usd(amount)
        except ValueError as error:
            raise _wrong(variable, entry, str(error)) from None
    return caps


def usd(text: str) -> Decimal:
    """Read an amount above nothing, at most a billion, no finer than a nano-dollar. Raises ValueError with the fix."""
    try:
        # Decimal reads 1_000 and every script's digits, which people mean otherwise.
        amount = Decimal(text) if text.isascii() and "_" not in text else Decimal("NaN")
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 < amount <= _MOST or round(amount, _DECIMALS) != amount:
        message = f"{text!r} should be USD, such as 2.50: above 0, at most {_MOST}, with at most {_DECIMALS} decimals"
        raise ValueError(message)
    return amount


Usd: TypeAlias = Annotated[Decimal, BeforeValidator(lambda given: usd(str(given)))]


def _wrong(variable: str, entry: str, fix: str) -> SettingsError:
    return SettingsError([Mistake(variable=variable, value=entry, fix=fix)])

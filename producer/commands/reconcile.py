"""`stepdown ledger reconcile`: whether the provider has charged what the ledger says, and where not, why."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.errors import LedgerError
from producer.commands.options import JsonOption, settings
from producer.output.terminal import print_lines, print_whole

if TYPE_CHECKING:
    from producer.reconcile.causes import Cause, Drift
    from producer.reconcile.side_by_side import Line

# Nothing heavy is imported at the top: --help and shell completion answer in a fraction of a second.
# ruff: noqa: PLC0415

_DRIFT = 1
_COUNTS, _COSTS = (("ledger", "provider", "more there"), ("ledger cost", "provider cost", "cost more there"))
_TITLES = ["day", "model", "tokens or searches", *_COUNTS, *_COSTS, "differs"]
_SAID = {
    "midnight": "calls that ran over midnight UTC: on the next day there; no money is missing",
    "unknown": "calls whose end nobody saw were billed after all",
    "open": "calls that have not ended yet",
    "others": "not this ledger's: others use the key or the organization (--key-id), or rows were lost",
    "behind": "the provider's report is older than the last of the day's calls: ask again later",
    "not billed": "in the ledger and not in the report: another key or organization, or not charged",
    "unpriced": "tokens that the ledger has no price for: set MODEL_COSTS",
    "discount": "the provider charges less than its list price: the ledger has list prices",
    "prices": "the same tokens at another price: look at MODEL_COSTS, and at the price book's date",
    "rounding": "rounding",
}


def reconcile(
    since: Annotated[str, typer.Option(metavar="DAY", help="the first UTC day: 2026-11-01")],
    until: Annotated[str | None, typer.Option(metavar="DAY", help="the last UTC day; left out, today")] = None,
    key_id: Annotated[str | None, typer.Option(metavar="ID", help="what this API key was charged: apikey_...")] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the ledger with the provider's own usage and cost report; exits 1 where they differ."""
    from models.accounting.expected_bill import read_bills
    from producer.costs.price_check import book_of
    from producer.output.dates import parse_day, require_order
    from producer.reconcile.causes import compare
    from producer.reconcile.provider_report import read_billed

    given, now = settings(), datetime.now(UTC)
    first = parse_day(since, source="reconcile", field="--since")
    last = now.date() if until is None else parse_day(until, source="reconcile", field="--until")
    require_order(first, last, source="reconcile")
    book, why_not = book_of(given, now=now)
    if why_not is not None:
        raise LedgerError(f"ledger: {why_not}")
    # The report first: what the ledger gets to know meanwhile is then not missing there.
    billed = read_billed(given, first, last, key_id=key_id)
    bills = read_bills(given.database_url.get_secret_value(), first, last, book)
    drift = compare(bills, billed)
    if as_json:
        print_whole(json.dumps(_as_json(drift, first, last)))
    else:
        print_lines(_report_lines(drift, first, last))
    if drift.is_drift:
        raise typer.Exit(_DRIFT)


def _report_lines(drift: "Drift", first: date, last: date) -> Iterator[str]:
    from producer.output.format import counted, money
    from producer.output.table import table

    yield from table(
        _TITLES, [_row(line) for line in drift.lines], right=range(3, len(_TITLES)), folds={1, 2}, drops=(5, 3, 4)
    )
    ledger = sum((line.ledger_usd for line in drift.lines), Decimal(0))
    provider = sum((line.provider_usd for line in drift.lines), Decimal(0))
    refreshed = "" if drift.refreshed_at is None else f", as of {drift.refreshed_at:%Y-%m-%d %H:%M} UTC"
    yield f"{first} to {last}: ledger {money(_nano(ledger))}, provider {money(_nano(provider))}{refreshed}"
    yield f"drift: {_signed(drift.usd)}" if drift.is_drift else "no drift"
    for cause in drift.causes:
        yield _cause(cause)
    if drift.unsure.attempts:
        unsure = counted(drift.unsure.attempts, "attempt")
        yield f"{unsure} of unknown cost or still open; the provider billed nothing for that"


def _row(line: "Line") -> list[str]:
    from models.accounting.expected_bill import STANDARD
    from producer.output.format import money

    counts = (f"{line.ledger_count:,}", f"{line.provider_count:,}", f"{line.count:+,}" if line.count else "0")
    usd = (money(_nano(line.ledger_usd)), money(_nano(line.provider_usd)), _signed(line.usd))
    model = line.model if line.tier == STANDARD else f"{line.model} ({line.tier})"
    return [str(line.day), model, line.kind, *counts, *usd, "yes" if line.is_drift else ""]


def _cause(cause: "Cause") -> str:
    from producer.output.format import counted, money

    bound = "" if cause.most_usd is None else f" of at most {money(_nano(cause.most_usd))}"
    count = "" if cause.attempts is None else f", {counted(cause.attempts, 'call')}"
    return f"  {cause.because:<10} {_signed(cause.usd)}{bound}{count}: {_SAID[cause.because]}"


def _signed(usd: Decimal) -> str:
    from producer.output.format import money

    return money(_nano(usd), is_signed=True)


def _nano(usd: Decimal) -> Decimal:
    from models.money.pricing import NANO_USD

    return usd.quantize(NANO_USD)


def _as_json(drift: "Drift", first: date, last: date) -> dict[str, Any]:
    return {
        "since": str(first),
        "until": str(last),
        "is_drift": drift.is_drift,
        "drift_usd": f"{drift.usd:f}",
        "refreshed_at": None if drift.refreshed_at is None else drift.refreshed_at.isoformat(),
        "causes": [_cause_json(cause) for cause in drift.causes],
        "unsure_attempts": drift.unsure.attempts,
        "lines": [_line_json(line) for line in drift.lines],
    }


def _cause_json(cause: "Cause") -> dict[str, Any]:
    return {
        "because": str(cause.because),
        "usd": f"{cause.usd:f}",
        "attempts": cause.attempts,
        "most_usd": None if cause.most_usd is None else f"{cause.most_usd:f}",
        "message": _SAID[cause.because],
    }


def _line_json(line: "Line") -> dict[str, Any]:
    return {
        "day": str(line.day),
        "model": line.model,
        "service_tier": line.tier,
        "kind": line.kind,
        "ledger_count": line.ledger_count,
        "provider_count": line.provider_count,
        "ledger_usd": f"{line.ledger_usd:f}",
        "provider_usd": f"{line.provider_usd:f}",
        "is_drift": line.is_drift,
    }

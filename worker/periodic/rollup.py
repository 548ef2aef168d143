"""Has the days that are over added up. Every worker does; the ledger lets one of them at a time."""

from datetime import date
from typing import Protocol

from worker.events import DaysRolled, Report


class Rolls(Protocol):
    """Adds up days that are over."""

    def roll(self) -> list[date]:
        """Add up those that are not, or have changed since."""
        ...


def roll_up(rollup: Rolls, report: Report) -> int:
    """Add up what can be, and tell it; returns how many days. Raises LedgerError."""
    days = rollup.roll()
    if days:
        report(DaysRolled(first=days[0], last=days[-1], count=len(days)))
    return len(days)

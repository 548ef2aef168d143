"""The rollup of finished days. Every worker asks for a rollup; the ledger lets one worker at a time add up."""

from datetime import date
from typing import Protocol

from worker.events import DaysRolled, Report


class Rolls(Protocol):
    """Adds up days that are over."""

    def roll(self) -> list[date]:
        """Add up days without a rollup, or with changes since."""
        ...


def roll_up(rollup: Rolls, report: Report) -> int:
    """Add up finished days, and report them. Returns the number of days. Raises LedgerError."""
    days = rollup.roll()
    if days:
        report(DaysRolled(first=days[0], last=days[-1], count=len(days)))
    return len(days)

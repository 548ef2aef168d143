"""The rollup of finished days. Every worker asks for a rollup; the ledger lets one worker at a time add up."""

from collections.abc import Callable
from datetime import date

from worker.events import DaysRolled, Report


def roll_up(roll: Callable[[], list[date]], report: Report) -> int:
    """Add up the finished days, and report them. Returns the number of days. Raises LedgerError."""
    days = roll()
    if days:
        report(DaysRolled(first=days[0], last=days[-1], count=len(days)))
    return len(days)

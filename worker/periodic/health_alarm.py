"""Checks whether the primary is reliable, and raises the alarm once if not."""

from collections.abc import Callable
from dataclasses import dataclass, field

from models.job.primary_health import OK, PrimaryHealth
from worker.events import PrimaryJudged, Report


@dataclass(slots=True, kw_only=True)
class HealthAlarm:
    """Reports each change for the worse, and the return to good. `today` judges the start models by this day's jobs."""

    today: Callable[[], list[PrimaryHealth]]
    report: Report
    _told: dict[str, str] = field(default_factory=dict, init=False)

    def look(self) -> int:
        """Look once; returns how many models are in trouble. Raises LedgerError."""
        found = self.today()
        for verdict in found:
            before = self._told.get(verdict.start_model, OK)
            is_news = verdict.verdict != before and (verdict.is_alarming or verdict.verdict == OK)
            if is_news:
                self._told[verdict.start_model] = verdict.verdict
                self.report(PrimaryJudged(verdict=verdict))
        return sum(verdict.is_alarming for verdict in found)

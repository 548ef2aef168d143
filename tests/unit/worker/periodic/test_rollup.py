"""A worker tells which days it had added up, and says nothing where there were none."""

from datetime import date

from worker.events import DaysRolled, Event
from worker.periodic.rollup import roll_up


def test_days_that_were_added_up_are_told_from_the_first_to_the_last() -> None:
    reported: list[Event] = []
    assert roll_up(lambda: [date(2026, 3, 30), date(2026, 4, 1)], reported.append) == 2
    assert reported == [DaysRolled(first=date(2026, 3, 30), last=date(2026, 4, 1), count=2)]


def test_nothing_is_told_where_no_day_was_left() -> None:
    reported: list[Event] = []
    assert roll_up(list, reported.append) == 0
    assert reported == []

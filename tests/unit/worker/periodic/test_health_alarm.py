"""The alarm is raised once when a primary is in trouble, and taken back once when it is well."""

from dataclasses import dataclass, field
from decimal import Decimal

from models.job.primary_health import DEGRADED, OK, UNRELIABLE, PrimaryHealth
from worker.events import Event, PrimaryJudged
from worker.periodic.health_alarm import HealthAlarm


@dataclass(slots=True)
class Days:
    """What each look finds."""

    verdicts: list[str]
    seen: list[Event] = field(default_factory=list)

    def today(self) -> list[PrimaryHealth]:
        share = Decimal("0.5")
        word = self.verdicts.pop(0)
        return [
            PrimaryHealth(
                share_endpoint_out=Decimal(0),
                start_model="claude-opus-4-7",
                jobs=40,
                mean_depth=share,
                share_depth_0=share,
                share_depth_2plus=share,
                verdict=word,
            )
        ]


def _reported(*verdicts: str) -> list[str]:
    days = Days(list(verdicts))
    alarm = HealthAlarm(today=days.today, report=days.seen.append)
    for _ in verdicts:
        alarm.look()
    return [event.verdict.verdict for event in days.seen if isinstance(event, PrimaryJudged)]


def test_nothing_is_told_of_a_primary_that_is_well() -> None:
    assert _reported("too few jobs", OK, OK) == []


def test_the_alarm_is_raised_once_for_each_change() -> None:
    assert _reported(OK, UNRELIABLE, UNRELIABLE, DEGRADED, DEGRADED) == [UNRELIABLE, DEGRADED]


def test_its_end_is_told_and_the_next_one_is_news_again() -> None:
    assert _reported(UNRELIABLE, OK, OK, UNRELIABLE) == [UNRELIABLE, OK, UNRELIABLE]


def test_a_new_day_of_few_jobs_is_no_news_either_way() -> None:
    assert _reported(UNRELIABLE, "too few jobs", UNRELIABLE, OK) == [UNRELIABLE, OK]


def test_a_look_counts_the_models_in_trouble() -> None:
    days = Days([DEGRADED, OK])
    alarm = HealthAlarm(today=days.today, report=days.seen.append)
    assert (alarm.look(), alarm.look()) == (1, 0)

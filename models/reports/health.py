"""The state of this UTC day's jobs: their number, and whether they get their answers at their start."""

from collections.abc import Mapping
from decimal import Decimal

from sqlalchemy import Date, column, func, select, table, text, update

from models.database.engine import LedgerPart, reading, transaction
from models.job.primary_health import PrimaryHealth
from models.outcome import AT_HALF_PRICE
from models.schema.columns import midnight, now
from models.schema.daily_cost import Threshold
from models.schema.job import IN_FLIGHT, QUEUED, WAITING, Job

_SHARES = ("mean_depth", "share_depth_0", "share_depth_2plus", "share_endpoint_out")
_FIGURES = ("start_model", "jobs", *_SHARES, "verdict")
_VIEW = table("v_primary_health", column("day", Date), *(column(name) for name in _FIGURES))

# Each part has the words of a partial index. A count of all jobs by state reads every row there ever was.
OPEN_JOBS = text(f"""
    SELECT state, SUM(jobs) FROM (
        SELECT 'queued' AS state, COUNT(*) AS jobs FROM jobs WHERE {QUEUED}
        UNION ALL SELECT 'waiting', COUNT(*) FROM jobs WHERE {WAITING}
        UNION ALL SELECT state, COUNT(*) FROM jobs WHERE {IN_FLIGHT} GROUP BY state
        UNION ALL SELECT 'held', COUNT(*) FROM jobs WHERE phase = 'held'
    ) AS counted GROUP BY state
""")  # noqa: S608 - of our own words


_AT_HALF_PRICE = text(f"""
    SELECT outcome, COUNT(*) FROM jobs WHERE {WAITING} AND outcome IN {AT_HALF_PRICE} GROUP BY outcome
""")  # noqa: S608 - of our own words


class Health(LedgerPart):
    """Counts jobs, reads today's verdicts, and keeps the figures behind the verdicts. Raises LedgerError."""

    def open_jobs(self) -> dict[str, int]:
        """Count the open jobs of the whole ledger by state. Jobs that wait for a person are under `held`."""
        with reading(self._engine) as connection:
            return {str(state): int(count) for state, count in connection.execute(OPEN_JOBS)}

    def at_half_price(self) -> dict[str, int]:
        """Count the waiting jobs in the lane of message batches, by outcome."""
        with reading(self._engine) as connection:
            return {str(outcome): int(count) for outcome, count in connection.execute(_AT_HALF_PRICE)}

    def ended_today(self) -> dict[str, int]:
        """Count the jobs that have ended this UTC day, by state."""
        with reading(self._engine) as connection:
            ended = (
                select(Job.state, func.count()).where(Job.finished_at >= midnight(now(connection))).group_by(Job.state)
            )
            return {str(state): count for state, count in connection.execute(ended)}

    def today(self) -> list[PrimaryHealth]:
        """Judge each start model by the jobs that succeeded this UTC day."""
        with reading(self._engine) as connection:
            day = now(connection).date()
            rows = connection.execute(select(_VIEW).where(_VIEW.c.day == day).order_by(_VIEW.c.start_model)).mappings()
            return [
                PrimaryHealth(
                    **{name: row[name] for name in _FIGURES} | {name: Decimal(str(row[name])) for name in _SHARES}
                )
                for row in rows
            ]

    def judge_by(self, thresholds: Mapping[str, int]) -> None:
        """Set the figures by which the views judge from now on, each by its name."""
        with transaction(self._engine) as connection:
            for name, value in sorted(thresholds.items()):
                connection.execute(
                    update(Threshold).where(Threshold.name == name, Threshold.value != value).values(value=value)
                )

"""Whether jobs get their answers where they start: what `v_primary_health` says of this UTC day."""

from collections.abc import Mapping
from decimal import Decimal

from sqlalchemy import Date, Engine, column, select, table, update

from models.base import db_now
from models.daily import Threshold
from models.database import reading, transaction
from models.verdict import Verdict

_FIGURES = ("start_model", "jobs", "mean_depth", "share_depth_0", "share_depth_2plus", "verdict")
_VIEW = table("v_primary_health", column("day", Date), *(column(name) for name in _FIGURES))


class Health:
    """Reads today's verdicts, and keeps the figures they are made by. Raises LedgerError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def today(self) -> list[Verdict]:
        """Judge each start model by the jobs that succeeded this UTC day, by the database's clock."""
        with reading(self._engine) as connection:
            day = connection.execute(select(db_now(0.0))).scalar_one().date()
            rows = connection.execute(select(_VIEW).where(_VIEW.c.day == day).order_by(_VIEW.c.start_model)).mappings()
            return [
                Verdict(
                    start_model=row["start_model"],
                    jobs=row["jobs"],
                    mean_depth=Decimal(str(row["mean_depth"])),
                    share_depth_0=Decimal(str(row["share_depth_0"])),
                    share_depth_2plus=Decimal(str(row["share_depth_2plus"])),
                    verdict=row["verdict"],
                )
                for row in rows
            ]

    def judge_by(self, thresholds: Mapping[str, int]) -> None:
        """Have the views judge by these figures from now on, each by its name."""
        with transaction(self._engine) as connection:
            for name, value in sorted(thresholds.items()):
                connection.execute(
                    update(Threshold).where(Threshold.name == name, Threshold.value != value).values(value=value)
                )

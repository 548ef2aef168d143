"""The rollup: adds up each finished UTC day's attempts once, so that a year's cost is read from its days.

The rollup changes the speed of answers alone. The view v_cost_daily reads each day that is not added up from its
attempts. The view also reads a day so if an attempt has changed since.
"""

from collections.abc import Iterator
from datetime import date

from sqlalchemy import Connection, Date, Engine, bindparam, column, delete, func, insert, select, table, update

from models.database.engine import transaction
from models.schema.columns import db_now
from models.schema.daily_cost import MARK_STALE, DailyRow, RolledDay
from models.schema.views import COSTS

_ONE_AT_A_TIME = 7381096  # the key of an advisory lock on Postgres; SQLite has one writer anyway
_NAMES = [column.name for column in DailyRow.__table__.columns]
_DAYS = table("v_days", column("day", Date))
_IS_DAY = DailyRow.day == bindparam("of_day")
_IS_FRESH = select(RolledDay.day).where(RolledDay.day == _DAYS.c.day, ~RolledDay.is_stale).exists()
# While a day is stale the view reads the day from its attempts.
_ADD_UP = insert(DailyRow).from_select(
    _NAMES, select(*(COSTS.c[name] for name in _NAMES)).where(COSTS.c.day == bindparam("of_day"))
)
_NOTE = update(RolledDay).where(RolledDay.day == bindparam("of_day")).values(is_stale=False, rolled_at=db_now(0.0))


class Rollup:
    """Keeps `attempts_daily`. Raises LedgerError if the ledger is away.

    A day is added up `settle_s` seconds after its end by the database's clock. All writes of its last moments are
    committed by then.
    """

    def __init__(self, engine: Engine, *, settle_s: float = 300.0) -> None:
        self._engine = engine
        self._settle_s = settle_s

    def roll(self) -> list[date]:
        """Add up each finished day that is new or has changed since. Returns these days, the oldest first.

        Each day is a transaction. On Postgres this process stops if another process adds up days already.
        """
        return list(self._rolled(is_patient=False))

    def rebuild(self) -> list[date]:
        """Delete all sums and add up every day anew. Returns the days. Meanwhile answers are right, but slower."""
        with transaction(self._engine) as connection:
            # In order, as others lock the days. The rows of days stay: a mark must find the row, and wait.
            connection.execute(select(RolledDay.day).order_by(RolledDay.day).with_for_update())
            connection.execute(update(RolledDay).values(is_stale=True))
            connection.execute(delete(DailyRow))
        return list(self._rolled(is_patient=True))

    def _rolled(self, *, is_patient: bool) -> Iterator[date]:
        for day in self._days():
            with transaction(self._engine) as connection:
                if not _alone(connection, is_patient=is_patient):
                    return
                _add_up(connection, day)
            yield day

    def _days(self) -> list[date]:
        with transaction(self._engine) as connection:
            settled = connection.execute(select(db_now(-self._settle_s))).scalar_one().date()
            days = select(_DAYS.c.day).where(_DAYS.c.day < settled, ~_IS_FRESH).order_by(_DAYS.c.day)
            return list(connection.scalars(days))


def _alone(connection: Connection, *, is_patient: bool) -> bool:
    if connection.dialect.name != "postgresql":
        return True
    if is_patient:
        connection.execute(select(func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))
        return True
    return bool(connection.scalar(select(func.pg_try_advisory_xact_lock(_ONE_AT_A_TIME))))


def _add_up(connection: Connection, day: date) -> None:
    # First, so that the day's row is ours until we commit. A change of an attempt then marks the day after us.
    connection.execute(MARK_STALE, {"of_day": day})
    connection.execute(delete(DailyRow).where(_IS_DAY), {"of_day": day})
    connection.execute(_ADD_UP, {"of_day": day})
    connection.execute(_NOTE, {"of_day": day})

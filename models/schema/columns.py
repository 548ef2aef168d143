"""Column kinds, named once: money, times, ids and JSON that read back the same from SQLite and Postgres."""

import json
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any

from sqlalchemy import BigInteger, Connection, DateTime, Dialect, MetaData, String, Text, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from models.money.pricing import NANO_USD

_PER_USD = 1_000_000_000


class NanoUSD(TypeDecorator[Decimal]):
    """Whole nano-dollars in a BIGINT, a Decimal of USD in Python. A finer amount is refused, never rounded."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """Turn USD into nano-dollars."""
        if value is None:
            return None
        nano = value * _PER_USD
        if nano != nano.to_integral_value():
            raise ValueError(f"{value} USD is finer than a nano-dollar: round it where it is computed")
        return int(nano)

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:  # noqa: ARG002
        """Turn nano-dollars into USD."""
        return None if value is None else (Decimal(value) / _PER_USD).quantize(NANO_USD)


class UTCDateTime(TypeDecorator[datetime]):
    """An aware UTC time. SQLite keeps no zone: the zone is taken off for SQLite and put back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times: they are how a ledger loses an hour."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give every time its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


escaped_json = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


class EscapedJSON(TypeDecorator[Any]):
    """JSON as ASCII text, so that NUL and lone surrogates, which Postgres refuses, come back unchanged."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Escape everything outside ASCII."""
        return None if value is None else escaped_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """Read the text back as JSON."""
        return None if value is None else json.loads(value)


class db_now(FunctionElement[datetime]):  # noqa: N801 - reads as the SQL function it is
    """The database's own clock, some seconds from now: the one clock all workers share.

    Use as db_now(0.0), db_now(30.0) or db_now(bindparam("lease_s")).
    """

    type = UTCDateTime()
    inherit_cache = True


@compiles(db_now, "postgresql")
def _postgres_now(element: db_now, compiler: SQLCompiler, **options: Any) -> str:
    return f"(clock_timestamp() + make_interval(secs => {compiler.process(element.clauses, **options)}))"


@compiles(db_now, "sqlite")
def _sqlite_now(element: db_now, compiler: SQLCompiler, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', ({seconds}) || ' seconds')"


def now(connection: Connection) -> datetime:
    """Return the time by the database's clock, in UTC."""
    at: datetime = connection.execute(select(db_now(0.0))).scalar_one()
    return at


def midnight(at: datetime) -> datetime:
    """Return the beginning of a time's UTC day.

    >>> midnight(datetime(2026, 12, 31, 23, tzinfo=UTC))
    datetime.datetime(2026, 12, 31, 0, 0, tzinfo=datetime.timezone.utc)
    """
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


Id = Annotated[str, mapped_column(String(36))]
Word = Annotated[str, mapped_column(String(32))]
Line = Annotated[str, mapped_column(String(200))]
Time = Annotated[datetime, mapped_column(UTCDateTime)]
Money = Annotated[Decimal, mapped_column(NanoUSD)]
Json = Annotated[Any, mapped_column(EscapedJSON)]


class Base(DeclarativeBase):
    """The base of every row. Constraints are named, so that both engines and every migration use the same names."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        },
    )


def columns_of(value: Any, table: type[Base]) -> dict[str, Any]:
    """Return the fields of a value that have a column of the same name, by column."""
    kind: Any = type(value)
    return {name: getattr(value, name) for name in shared_names(kind, table)}


@cache
def shared_names(kind: Any, table: type[Base]) -> tuple[str, ...]:
    """Return the names of a dataclass's fields that are columns of a table, too."""
    return tuple(field.name for field in fields(kind) if field.name in table.__table__.columns)

"""Runs under Alembic: brings the database named by the caller, or by DATABASE_URL, to a revision."""

from alembic import context
from sqlalchemy import Engine

import models.store  # noqa: F401 - every table comes with its readers and writers
from models.database.engine import open_database
from models.schema.columns import Base
from models.settings import load_settings


def _engine() -> Engine:
    given = context.config.attributes.get("engine")
    return given if isinstance(given, Engine) else open_database(load_settings().database_url.get_secret_value())


# One transaction reads and writes the revision: two processes that start together take turns.
with _engine().begin() as connection:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # the driver begins by itself for rows only, not for tables
    if connection.dialect.name == "postgresql":
        # A migration that waits for a lock makes every worker wait, too.
        connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7381095)")
    context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()

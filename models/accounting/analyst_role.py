"""The analyst: a role that may read the views, and nothing else."""

from sqlalchemy import Engine, inspect, text

from models.database.engine import reading, transaction

_STATEMENT_TIMEOUT = "30s"


def analyst_sql(engine: Engine, role: str) -> str:
    """Return the SQL that lets `role` read every view of a Postgres ledger. The SQL may be run again.

    `role` is a plain name, which is written unquoted. Raises LedgerError.
    """
    with reading(engine) as connection:
        schema, database = connection.execute(text("SELECT current_schema(), current_database()")).one()
        views = sorted(name for name in inspect(connection).get_view_names(schema) if name.startswith("v_"))
    quoted = engine.dialect.identifier_preparer.quote_identifier
    where = quoted(schema)
    granted = ",\n  ".join(f"{where}.{quoted(name)}" for name in views)
    return f"""\
-- {len(views)} views for reading, and nothing else: no prompt, no answer and no error text is in them.
-- Run it as the owner of the ledger's tables, and again after each `stepdown db upgrade`. Then give a password:
--   psql ...   \\password {role}
-- It asks with `stepdown ledger sql`, or any client; `ledger report` and `export` read more than views.
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
    CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
  END IF;
END $$;
-- These two are defaults, which a session may set otherwise; what holds is that nothing but SELECT is granted.
ALTER ROLE {role} SET default_transaction_read_only = on;
ALTER ROLE {role} SET statement_timeout = '{_STATEMENT_TIMEOUT}';
REVOKE ALL ON ALL TABLES IN SCHEMA {where} FROM {role};
GRANT CONNECT ON DATABASE {quoted(database)} TO {role};
GRANT USAGE ON SCHEMA {where} TO {role};
GRANT SELECT ON
  {granted}
TO {role};
-- Before Postgres 15 everybody may make tables in a schema called public: REVOKE CREATE ON SCHEMA {where} FROM PUBLIC;
"""  # noqa: S608 - made of names, and printed for a person to run


def make_analyst(engine: Engine, role: str) -> None:
    """Run that SQL, as the owner of the ledger's tables. Raises LedgerError."""
    job_actions = analyst_sql(engine, role)
    with transaction(engine) as connection:
        connection.exec_driver_sql(job_actions)

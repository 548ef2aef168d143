"""The command that lets somebody read the money and nothing else: `stepdown db analyst`."""

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from producer.options import hint, say, settings

# Nothing heavy is imported at the top: --help and shell completion answer in a fraction of a second.
# ruff: noqa: PLC0415

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def analyst(
    role: Annotated[str, typer.Option(help="what the role is called")] = "stepdown_analyst",
    apply: Annotated[bool, typer.Option("--apply", help="run the SQL instead of printing it")] = False,
) -> None:
    """Print the SQL for a Postgres role that may read the views only; for a SQLite file, its read-only URI."""
    from migrations.run import ensure_schema
    from models.database import database_url, open_database
    from models.errors import InputError
    from models.readonly import read_only_uri
    from models.roles import analyst_sql, make_analyst

    if not _NAME.fullmatch(role):
        raise InputError(f"{role!r} should be small letters, digits and _", source="db analyst", field="--role")
    url = settings().database_url.get_secret_value()
    where = database_url(url)
    if where.get_backend_name() == "sqlite":
        say(read_only_uri(Path(where.database or "")))
        hint("A file has no roles: whoever can open it can read every prompt and every answer in it.")
        hint("Give an analyst an export instead: stepdown ledger export -o attempts.csv")
        return
    engine = open_database(url)
    ensure_schema(engine)
    if apply:
        make_analyst(engine, role)
        say(f"{role} may read the views of {engine.url.render_as_string(hide_password=True)}, and nothing else")
    else:
        sys.stdout.write(analyst_sql(engine, role))
    engine.dispose()

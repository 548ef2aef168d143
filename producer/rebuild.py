"""The command that adds the ledger's days up anew."""

from producer.options import say, settings

# Nothing heavy is imported at the top: --help and shell completion answer in a fraction of a second.
# ruff: noqa: PLC0415


def rebuild() -> None:
    """Add every finished day up anew, from its attempts; the answers stay what they are, and are right meanwhile."""
    from migrations.run import ensure_schema
    from models.database import open_database
    from models.rollup import Rollup

    engine = open_database(settings().database_url.get_secret_value())
    try:
        ensure_schema(engine)
        days = Rollup(engine).rebuild()
    finally:
        engine.dispose()
    between = f", {days[0]} to {days[-1]}" if days else ""
    say(f"{len(days)} days added up{between}")

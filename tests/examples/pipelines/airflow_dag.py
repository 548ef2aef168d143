"""Airflow: put this file and nightly.py into the dags folder. A retried task finds the batch of its first try."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.sdk import dag, task
from nightly import summarize_day


@dag(schedule="15 2 * * *", start_date=datetime(2026, 11, 1, tzinfo=UTC), catchup=False)
def nightly_summaries() -> None:
    """Summarize a day's articles each night."""

    @task(retries=3, retry_delay=timedelta(minutes=5))
    def summarize(ds: str | None = None) -> int:  # the day, which Airflow gives
        return len(summarize_day(str(ds), Path(f"articles-{ds}.csv")))

    summarize()


nightly_summaries()

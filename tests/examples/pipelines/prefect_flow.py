"""Prefect: `python prefect_flow.py 2026-11-23`, or deploy it with a schedule. A retry buys nothing twice."""

import sys
from pathlib import Path

from nightly import summarize_day
from prefect import flow, task


@task(retries=3, retry_delay_seconds=300)
def summarize(day: str) -> int:
    """Summarize a day's articles; returns how many there are."""
    return len(summarize_day(day, Path(f"articles-{day}.csv")))


@flow(name="nightly-summaries")
def nightly_summaries(day: str) -> int:
    """Summarize a day's articles."""
    return summarize(day)


if __name__ == "__main__":
    nightly_summaries(sys.argv[1])

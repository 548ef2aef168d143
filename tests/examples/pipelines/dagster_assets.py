"""Dagster: `dagster dev -f dagster_assets.py`. A partition that is materialized again is the same batch."""

from pathlib import Path

import dagster
from nightly import summarize_day

DAYS = dagster.DailyPartitionsDefinition(start_date="2026-11-01")


@dagster.asset(partitions_def=DAYS, retry_policy=dagster.RetryPolicy(max_retries=3))
def summaries(context: dagster.AssetExecutionContext) -> dict[str, str]:
    """Summarize each article of the day."""
    day = context.partition_key
    return summarize_day(day, Path(f"articles-{day}.csv"))


NIGHTLY = dagster.build_schedule_from_partitioned_job(
    dagster.define_asset_job("nightly_summaries", [summaries], partitions_def=DAYS), hour_of_day=2, minute_of_hour=15
)
defs = dagster.Definitions(assets=[summaries], schedules=[NIGHTLY])

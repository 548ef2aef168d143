"""The views of migrations/ that code reads, as tables."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Date, Float, Integer, String, TableClause, column, table

from models.schema.columns import NanoUSD, UTCDateTime

_TOKENS = "input_tokens cache_read_tokens cache_write_5m_tokens cache_write_1h_tokens output_tokens web_searches"


def _view(name: str, columns: Mapping[Any, str]) -> TableClause:
    return table(name, *(column(each, kind) for kind, names in columns.items() for each in names.split()))


ATTEMPTS = _view(
    "v_attempts",
    {
        String: """attempt_id job_id batch_id task endpoint model requested_model outcome service_tier speed
        inference_geo lane cost_status price_source""",
        Integer: f"attempt_no rung fallback_depth latency_ms {_TOKENS}",
        UTCDateTime: "opened_at closed_at",
        NanoUSD: "cost_nano_usd",
    },
)
COSTS = _view(
    "v_cost_daily",
    {
        Date: "day",
        String: "endpoint model task lane",
        Integer: f"attempts answered failed open unknown_costs {_TOKENS}",
        NanoUSD: "cost_nano_usd",
    },
)
BATCH_LATENCY = _view(
    "v_batch_latency",
    {String: "model", Integer: "message_batches timed ended cancelled", Float: "p50_s p95_s max_s"},
)
STARTS = _view(
    "v_starts",
    {
        String: "task model",
        Integer: """judged accepted truncated refused empty invalid too_long climbed climbed_accepted
        unknown_costs""",
        NanoUSD: "mean_cost_nano_usd",
    },
)

"""The views of migrations/ that code reads, as tables."""

from sqlalchemy import Integer, String, column, table

from models.schema.columns import NanoUSD, UTCDateTime

ATTEMPTS = table(
    "v_attempts",
    column("attempt_id", String),
    column("job_id", String),
    column("batch_id", String),
    column("task", String),
    column("attempt_no", Integer),
    column("model", String),
    column("requested_model", String),
    column("rung", Integer),
    column("fallback_depth", Integer),
    column("outcome", String),
    column("opened_at", UTCDateTime),
    column("closed_at", UTCDateTime),
    column("latency_ms", Integer),
    column("input_tokens", Integer),
    column("cache_read_tokens", Integer),
    column("cache_write_5m_tokens", Integer),
    column("cache_write_1h_tokens", Integer),
    column("output_tokens", Integer),
    column("web_searches", Integer),
    column("service_tier", String),
    column("speed", String),
    column("inference_geo", String),
    column("cost_nano_usd", NanoUSD),
    column("cost_status", String),
    column("price_source", String),
)

STARTS = table(
    "v_starts",
    column("task", String),
    column("model", String),
    *(column(name, Integer) for name in ("judged", "accepted")),
    *(column(name, Integer) for name in ("truncated", "refused", "empty", "invalid", "too_long")),
    *(column(name, Integer) for name in ("climbed", "climbed_accepted", "unknown_costs")),
    column("mean_cost_nano_usd", NanoUSD),
)

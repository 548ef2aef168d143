"""A caller who stands by for a long answer: as long as its call may take."""

import asyncio
from pathlib import Path

import pytest

from models.settings import load_settings
from producer.client import Producer
from tests.support.sites.app_client import asked, visiting


@pytest.mark.parametrize(("max_tokens", "stands_by_s"), [(100, 600), (32_000, 2_000)])
def test_a_message_under_a_key_ends_by_the_deadline_of_its_call(
    sqlite_url: str, tmp_path: Path, max_tokens: int, stands_by_s: float
) -> None:
    settings = load_settings(env_file=None, database_url=sqlite_url, state_dir=tmp_path, call_timeout_s=120)

    async def ask(producer: Producer) -> int:
        headers = {"idempotency-key": "tide/1", "x-stainless-timeout": "0.5"}
        async with visiting(producer, settings, headers=headers) as client:
            return (await client.post("/v1/messages", json=asked(max_tokens=max_tokens))).status_code

    with Producer(settings) as producer:
        assert asyncio.run(ask(producer)) == 529
        (batch,) = producer.store.reports.batches(limit=2)
        (answer,) = producer.store.reports.answers(batch.batch_id)
        job = producer.store.reports.job(answer.job_id)
    assert (job["deadline_at"] - job["created_at"]).total_seconds() == pytest.approx(stands_by_s, abs=5)

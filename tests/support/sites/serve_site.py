"""A worker with `stepdown serve` before it, as the provider's own SDK meets them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic.types.messages import MessageBatch
from anthropic.types.messages.batch_create_params import Request
from sqlalchemy import Select, select

from models.schema.attempt import Attempt
from models.schema.job import Job
from tests.support.eventually import eventually
from tests.support.sites.worker_site import OPUS, Plant, forget_faults, running_plant, running_server


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A plant with a server before it, and the SDK's client of that."""

    plant: Plant
    url: str
    client: anthropic.Anthropic
    log: Path

    def ended(self, batch_id: str) -> MessageBatch:
        """Poll a batch, as the provider's example does."""

        def look() -> MessageBatch | None:
            batch = self.client.messages.batches.retrieve(batch_id)
            return batch if batch.processing_status == "ended" else None

        found = eventually(look, within_s=30, because="the message batch ends")
        assert found is not None
        return found

    def forget(self) -> None:
        """Leave nothing of the tests before to the next: no script, no open job, no call in flight, no closed model."""
        self.plant.simulator.set_script("")
        for batch_id in self._read(select(Job.batch_id).where(Job.finished_at.is_(None)).distinct()):
            self.plant.producer.batch(batch_id).cancel()
        in_flight = select(Attempt.id).where(Attempt.outcome.is_(None))
        eventually(lambda: not self._read(in_flight), within_s=30, because="no call is in flight")
        forget_faults(self.plant.variables["REDIS_URL"])

    def _read(self, ids: Select[Any]) -> list[str]:
        with self.plant.engine.connect() as connection:
            return list(connection.scalars(ids))

    def purchases_of(self, batch_id: str) -> int:
        """Count what was bought for a batch."""
        return len(self.plant.purchases(self.plant.producer.batch(own_id(batch_id))))


@contextmanager
def open_site(request: pytest.FixtureRequest, folder: Path, **variables: str) -> Iterator[Site]:
    """Run a worker and a server on the engine that a fixture is parametrized with."""
    with (
        running_plant(request, folder, **variables) as plant,
        running_server(plant.variables, folder / "serve.log") as url,
        anthropic.Anthropic(base_url=url, api_key="any-will-do-here", max_retries=0) as client,
    ):
        yield Site(plant=plant, url=url, client=client, log=folder / "serve.log")


def requests(*words: str, model: str = OPUS) -> list[Request]:
    """Make the requests of a message batch."""
    return [
        Request(
            custom_id=f"doc-{word}",
            params={"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": f"Explain {word}."}]},
        )
        for word in words
    ]


def own_id(batch_id: str) -> str:
    """Give the id that a batch of the server has in the ledger."""
    digits = batch_id.removeprefix("msgbatch_")
    return "-".join([digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]])

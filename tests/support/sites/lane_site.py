"""Runs the lane of message batches step by step in the test's own process, on a real ledger and the simulator."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from models.job.task_kinds import JobTerms
from models.schema.attempt import Attempt
from models.schema.columns import db_now
from models.schema.message_batch import MessageBatch
from producer.client import Batch
from producer.prompt.prompt import Prompt
from tests.support.sites.worker_site import Plant, idle_plant, settings_of
from worker.composition import open_lane, open_worker
from worker.events import Event
from worker.half_price.lane import Lane
from worker.half_price.pack import pack
from worker.half_price.work import work
from worker.run import Worker

# The operator's times for a real worker, and an API that ends message batches at once.
LANE_TIMES = {
    "HALF_PRICE_USUAL_S": "0",
    "HALF_PRICE_GRACE_S": "1",
    "HALF_PRICE_POLL_S": "0.1",
    "HALF_PRICE_LIVE_S": "5",
}
QUICK_API = "[batches]\ntimes_faster = 1\ntakes_s = 0\ncancel_s = 0\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSite:
    """A worker that makes no call by itself, its lane, and a producer to give jobs to the lane."""

    plant: Plant
    worker: Worker
    lane: Lane
    events: list[Event]

    def submitted(
        self,
        count: int = 2,
        *,
        task: str | None = None,
        max_tokens: int = 1000,
        max_cost_usd: str | None = None,
        **terms: Any,
    ) -> Batch:
        """Submit prompts that may take their time."""
        texts = [f"{number} harbours were dredged in spring." for number in range(count)]
        prompts = [Prompt(text, max_tokens=max_tokens) for text in texts]
        given = JobTerms(half_price=True, **{"deadline_s": 80_000, **terms})
        batch = self.plant.producer.submit(prompts, task=task, terms=given, max_cost_usd=max_cost_usd)
        self.plant.batches.append(batch)
        return batch

    def packed(self) -> str:
        """Pack the waiting jobs into one message batch. Returns its id."""
        pack(self.lane, self.lane.batches.candidates(limit=2_001))
        return str(self.rows()[-1]["id"])

    def work(self, batch_id: str, lane: Lane | None = None) -> str:
        """Make the next call of a message batch now. Returns the state after the call."""
        self.change(batch_id, look_at=db_now(0.0))
        self.worker.loop.run(work(batch_id, lane or self.lane))
        return str(self.row(batch_id)["state"])

    def change(self, batch_id: str, **values: Any) -> None:
        """Change the row of a message batch, as time or another worker would."""
        with self.plant.engine.begin() as connection:
            connection.execute(update(MessageBatch).where(MessageBatch.id == batch_id).values(**values))

    def rows(self) -> list[dict[str, Any]]:
        """Read all rows of message batches, in order."""
        with self.plant.engine.connect() as connection:
            rows = connection.execute(select(MessageBatch.__table__).order_by(MessageBatch.made_at, MessageBatch.id))
            return [dict(row) for row in rows.mappings()]

    def row(self, batch_id: str) -> dict[str, Any]:
        """Read the row of a message batch."""
        return next(row for row in self.rows() if row["id"] == batch_id)

    def look_in_s(self, batch_id: str) -> float:
        """Return the seconds from now until the next call of a message batch."""
        with self.plant.engine.connect() as connection:
            now = connection.execute(select(db_now(0.0))).scalar_one()
        return float((self.row(batch_id)["look_at"] - now).total_seconds())

    def items(self, batch_id: str) -> list[dict[str, Any]]:
        """Read the attempts of a message batch."""
        with self.plant.engine.connect() as connection:
            ours = select(Attempt.__table__).where(Attempt.message_batch_id == batch_id).order_by(Attempt.id)
            return [dict(row) for row in connection.execute(ours).mappings()]


@contextmanager
def running_lane(request: pytest.FixtureRequest, folder: Path, **variables: str) -> Iterator[LaneSite]:
    """Open a worker in this process on the engine that `request.param` names."""
    events: list[Event] = []
    with idle_plant(request, folder, HALF_PRICE_USUAL_S="0", **variables) as plant:
        plant.worker_log.touch()
        settings = settings_of(plant.variables)
        with open_worker(settings, report=events.append) as worker:
            yield LaneSite(plant=plant, worker=worker, lane=open_lane(settings, worker), events=events)

"""Runs a real worker whose chain goes over two endpoints, each a simulator with a purchase log of its own."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from models.money.pricing import NANO_USD
from producer.client import Batch
from producer.simulator.process import RunningSimulator, running_simulator
from tests.support.sites.worker_site import OPUS, SONNET, Plant, running_plant

CHAIN = f"{OPUS},cloud/{OPUS},{SONNET},cloud/{SONNET}"
PROMPTS = [f"{number} harbours were dredged in spring." for number in range(12)]
_FACTOR = 2


@dataclass(frozen=True, slots=True)
class Site:
    """A worker whose chain has two simulators for endpoints."""

    plant: Plant
    cloud: RunningSimulator

    def costs(self, batch: Batch) -> Counter[str]:
        """Add up each endpoint's attempts, in nano-dollars."""
        costs: Counter[str] = Counter()
        for row in self.plant.attempts(batch):
            costs[row["endpoint"]] += int(row["cost_nano_usd"] / NANO_USD)
        return costs

    def billed(self, batch: Batch) -> Counter[str]:
        """Add up both purchase logs, in nano-dollars. The cloud's prices are others."""
        ours = {row["id"] for row in self.plant.jobs(batch)}
        return Counter(
            {
                name: sum(row["billed_nano_usd"] * factor for row in log.purchases() if row["job"] in ours)
                for name, log, factor in (("anthropic", self.plant.simulator, 1), ("cloud", self.cloud, _FACTOR))
            }
        )


@contextmanager
def running_site(request: pytest.FixtureRequest, folder: Path, **variables: str) -> Iterator[Site]:
    """Start both simulators and a worker. The chain goes over both."""
    with ExitStack() as until_end:
        cloud = until_end.enter_context(running_simulator(log=folder / "cloud.jsonl"))
        path = folder / "endpoints.toml"
        table = f'[cloud]\nkind = "compatible"\nbase_url = "{cloud.url}"\nkey = "k"\nprice_factor = {_FACTOR}\n'
        path.write_text(f"{table}trust_model = true\n", encoding="utf-8")
        chosen = {"MODEL_CHAIN": CHAIN, "TASK_STARTS": "", "ENDPOINTS_FILE": str(path), "PROBE_EVERY_S": "1"}
        yield Site(until_end.enter_context(running_plant(request, folder, **(chosen | variables))), cloud)

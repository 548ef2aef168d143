"""A worker and a server for the clients to meet, with the simulator as the API behind them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from producer.simulator.process import RunningSimulator, running_simulator
from tests.support.servers.valkey import running_valkey
from tests.support.sites.worker_site import environment_of, running_server, running_worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where the server is, and the simulator that holds what it bought."""

    url: str
    simulator: RunningSimulator


@contextmanager
def open_site() -> Iterator[Site]:
    """Run a worker and a server, with the simulator as their API."""
    with TemporaryDirectory() as named, ExitStack() as until_end:
        folder = Path(named)
        simulator = until_end.enter_context(running_simulator(log=folder / "purchases.jsonl"))
        where = {
            "REDIS_URL": until_end.enter_context(running_valkey(folder)),
            "DATABASE_URL": f"sqlite:///{folder}/ledger.db",
            "ANTHROPIC_BASE_URL": simulator.url,
            "STATE_DIR": named,
        }
        environment = environment_of(where)
        until_end.enter_context(running_worker(environment, folder / "worker.log"))
        url = until_end.enter_context(running_server(environment, folder / "serve.log"))
        yield Site(url=url, simulator=simulator)

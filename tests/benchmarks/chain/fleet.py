"""Our side: two worker processes on one key, one Valkey and one SQLite ledger, as a person would start them."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from models.job.answer import Answer
from producer.client import Batch, Producer
from producer.prompt.prompt import Prompt
from producer.simulator.process import RunningSimulator, running_simulator
from tests.benchmarks.chain.ran import BenchPrompt, End, Load, Ran, ran
from tests.support.servers.valkey import running_valkey
from tests.support.sites.worker_site import environment_of, running_worker, settings_of

_WORKERS = 2
_LOOK_EVERY_S = 0.1
# Whatever tests.support.sites.worker_site sets for the sake of quick tests goes back to its default here.
_DEFAULTS = dict.fromkeys(("CALL_TIMEOUT_S", "KEY_PAUSE_S", "PATIENCE_S", "CLOCK_TICK_S", "TASK_STARTS"), "")


def run_fleet(load: Load, *, side: str = "stepdown", **variables: str) -> Ran:
    """Submit everything as one batch and wait for its end; `variables` are settings, as a person would set them."""
    with submitted_to(load, **variables) as (producer, simulator):
        simulator.set_script(load.script)  # its buckets are full again, and its seconds begin
        return answered(producer, simulator, load, side=side)


def answered(producer: Producer, simulator: RunningSimulator, load: Load, *, side: str) -> Ran:
    """Submit a load to a fleet that is there, and wait for its end."""
    before = len(simulator.purchases())
    started, began_s = datetime.now(UTC), time.monotonic()
    batch = producer.submit([_prompt(asked) for asked in load.asked])
    is_whole = _wait(batch, began_s + load.limit_s)
    wall_s = time.monotonic() - began_s
    ends = [_end(answer) for answer in batch.answers() if answer.state in ("succeeded", "failed")]
    parked = sum(producer.store.reports.job(answer.job_id)["rounds"] > 0 for answer in batch.answers())
    return ran(side, simulator, started, ends, wall_s=wall_s, is_cut=not is_whole, after=before, parked=parked)


@contextmanager
def submitted_to(load: Load, **variables: str) -> Iterator[tuple[Producer, RunningSimulator]]:
    """Start a fleet and a simulator for a load; nothing is submitted yet."""
    with (
        TemporaryDirectory(prefix="bench-chain-") as name,
        running_simulator(latency_s=load.latency_s) as simulator,
        ExitStack() as until_end,
    ):
        folder = Path(name)
        environment = environment_of(
            {
                **_DEFAULTS,
                "REDIS_URL": until_end.enter_context(running_valkey(folder)),
                "DATABASE_URL": f"sqlite:///{folder}/ledger.db",
                "ANTHROPIC_BASE_URL": simulator.url,
                "MODEL_CHAIN": ",".join(load.chain),
                "ENDPOINTS_FILE": _endpoints(load, folder, until_end),
                "STATE_DIR": str(folder),
                "WORKER_CONCURRENCY": str(load.threads // _WORKERS),
                **variables,
            }
        )
        producer = until_end.enter_context(Producer(settings_of(environment)))
        for number in range(_WORKERS):
            log, worker = folder / f"worker-{number}.log", f"bench-{number}@%h"
            until_end.enter_context(running_worker(environment, log, more=("-n", worker)))
        yield producer, simulator


def _endpoints(load: Load, folder: Path, until_end: ExitStack) -> str:
    if not any("/" in model for model in load.chain):
        return ""
    cloud, path = until_end.enter_context(running_simulator(latency_s=load.latency_s)), folder / "endpoints.toml"
    path.write_text(f'[cloud]\nkind = "compatible"\nbase_url = "{cloud.url}"\nkey = "bench"\n', encoding="utf-8")
    return str(path)


def _prompt(asked: BenchPrompt) -> Prompt:
    return Prompt(asked.text, id=str(asked.id), task=asked.task or None, max_tokens=asked.max_tokens)


def _wait(batch: Batch, until_s: float) -> bool:
    """Wait for its end, or for the limit; tells which of them came."""
    while not batch.progress().is_finished:
        if time.monotonic() > until_s:
            return False
        time.sleep(_LOOK_EVERY_S)
    return True


def _end(answer: Answer) -> End:
    return End(
        id=int(answer.id),
        is_ok=answer.state == "succeeded",
        model=answer.model,
        text=answer.text,
        stop_reason=answer.stop_reason,
        error=answer.outcome,
    )

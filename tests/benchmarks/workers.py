"""The two workers that are compared, each a real process on a real broker."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from models.queue.celery_app import celery_app
from models.settings import load_settings
from producer.client import Producer
from producer.prompt.prompt import Prompt
from producer.running.start import worker_command
from tests.benchmarks.bare_call import PROMPT
from tests.benchmarks.measured import Measured, measured
from tests.support.eventually import eventually

_ROOT = Path(__file__).parents[2]
_WARM_UP = 50
_WITHIN_S = 300
_QUEUE_WINDOW = 10_000  # messages; more than any run has jobs
_NOOP = ["-A", "tests.benchmarks.noop", "worker", "-P", "threads", "--without-gossip", "--without-mingle", "-l", "INFO"]


def stepdown_worker(redis_url: str, api: str, folder: Path, *, jobs: int, concurrency: int) -> Measured:
    """Measure this project's worker, end to end: claim, attempt, call, answer, cost, on a SQLite ledger."""
    ledger = f"sqlite:///{folder}/ledger.db"
    with stepdown_site(redis_url, api, folder, ledger=ledger, concurrency=concurrency) as (pid, run):
        run(_WARM_UP)
        return measured(pid, jobs, lambda: run(jobs))


@contextmanager
def stepdown_site(
    redis_url: str,
    api: str,
    folder: Path,
    *,
    ledger: str,
    concurrency: int,
    reader: str | None = None,
    workers: int = 1,
    more: Mapping[str, str] | None = None,
) -> Iterator[tuple[int, Callable[..., float]]]:
    """Run workers on a ledger. Yields the first one's process id, and the call that runs so many jobs to their end.

    That call takes options of Producer.submit and `within_s`, and returns its seconds. `reader` is the URL by which the
    producer reads the ledger, by default `ledger`. `more` are settings of both.
    """
    variables = {
        "REDIS_URL": redis_url,
        "DATABASE_URL": ledger,
        "ANTHROPIC_API_KEY": "bench",
        "ANTHROPIC_BASE_URL": api,
        "WORKER_CONCURRENCY": str(concurrency),
        "QUEUE_WINDOW": str(_QUEUE_WINDOW),
        **(more or {}),
    }
    settings = load_settings(env_file=None, **{name.lower(): value for name, value in variables.items()})
    looks = load_settings(
        env_file=None,
        **{name.lower(): value for name, value in (variables | {"DATABASE_URL": reader or ledger}).items()},
    )
    with ExitStack() as site:
        producer = site.enter_context(Producer(looks))
        pids = []
        for number in range(workers):
            own = folder / f"worker-{number}"
            own.mkdir(exist_ok=True)
            command = [*worker_command(settings), "-n", f"bench-{number}@%h"]
            pids.append(site.enter_context(_process(command, variables, own)))
        yield pids[0], partial(_run, producer)


def _run(producer: Producer, count: int, *, within_s: float = _WITHIN_S, **options: Any) -> float:
    started = time.monotonic()
    batch = producer.submit([Prompt(f"{PROMPT} {number}") for number in range(count)], **options)
    eventually(lambda: batch.progress().is_finished, within_s=within_s, because="the batch ends")
    succeeded = batch.progress().succeeded
    if succeeded != count:
        message = f"{succeeded} of {count} jobs succeeded: what was measured is not the work"
        raise RuntimeError(message)
    return time.monotonic() - started


def bare_worker(redis_url: str, folder: Path, *, jobs: int, concurrency: int) -> Measured:
    """Measure a Celery worker whose task does nothing."""
    command = [sys.executable, "-m", "celery", *_NOOP, "-c", str(concurrency)]
    app = celery_app(redis_url, rungs=1)
    with _process(command, {"REDIS_URL": redis_url}, folder) as pid:

        def send(count: int) -> float:
            started, done = time.monotonic(), folder / f"done-{count}"
            with app.producer_pool.acquire(block=True) as publisher, publisher.batch(max_size=1000):
                for number in range(count):
                    last = {"done": str(done)} if number == count - 1 else {}
                    app.send_task("bench.noop", kwargs={"id": str(number), **last}, producer=publisher)
            eventually(done.exists, within_s=_WITHIN_S, because="the last no-op task is done")
            return time.monotonic() - started

        send(_WARM_UP)
        result = measured(pid, jobs, lambda: send(jobs))
    app.close()
    return result


@contextmanager
def _process(command: Sequence[str], variables: Mapping[str, str], folder: Path) -> Iterator[int]:
    log = folder / "worker.log"
    with (
        log.open("wb") as words,
        subprocess.Popen(command, cwd=_ROOT, env={**os.environ, **variables}, stdout=words, stderr=words) as process,
    ):
        try:
            eventually(
                lambda: " ready." in log.read_text(encoding="utf-8"), within_s=60, because=f"the worker of {log} starts"
            )
            yield process.pid
        finally:
            process.terminate()

"""`make chaos`: real processes, and faults drawn from a seed; at the end every invariant, and a table."""

import argparse
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

import libfaketime
import redis

from migrations.run import upgrade
from models.errors import LedgerError
from models.job.task_kinds import JobTerms
from models.queue.redis_keys import queue_key
from producer.client import Batch
from tests.faults.came_to import Outcome
from tests.faults.invariants import examine
from tests.faults.older import older_version
from tests.faults.site import LEASE_S, Site, Worker, open_site
from tests.faults.stories import stories, untold
from tests.support.eventually import eventually
from tests.support.sites.worker_site import API_KEY

HEALED_WITHIN_S = 45.0  # faults.md, I8
_WORKERS = 3
_STORIES = 5
_SKEWED: Mapping[str, str] = {
    "LD_PRELOAD": str(Path(libfaketime.__file__).parent / "vendor/libfaketime/src/libfaketime.so.1"),
    "FAKETIME": "+2h",
    "DONT_FAKE_MONOTONIC": "1",
}
FAULTS = (
    "kill_a_worker",
    "deploy_a_worker",
    "freeze_a_worker",
    "restart_redis",
    "flush_redis",
    "freeze_redis",
    "feed_redis",
    "crash_the_ledger",
    "freeze_the_ledger",
    "overload_every_model",
    "break_calls",
)
_OF_A_SERVER = ("crash_the_ledger", "freeze_the_ledger")  # SQLite is a file, and has no process of its own
_BATCHES = "[batches]\ntakes_s = 1\ncancel_s = 0.5\nfinishes = 0.5\nlist_lag_s = 0.3\n"
_OVERLOADED = _BATCHES + "[[rules]]\nanswer = 529"
_LOST_CREATES = "[[batch_rules]]\nanswer = 'reset_before'\nshare = 0.3\n"
_CUT = "[[rules]]\nanswer = 'cut'\nshare = 0.3\n[[rules]]\nanswer = 'reset_after'\nshare = 0.1"
_BREAKING = _BATCHES + _LOST_CREATES + _CUT
_IN_TIME = JobTerms(half_price=True, deadline_s=40)  # of every third batch
_OPEN = (
    "SELECT count(*) AS n FROM jobs WHERE state IN ('queued', 'running') OR (state = 'waiting' AND due_at IS NOT NULL)"
)


@dataclass(slots=True, kw_only=True)
class Chaos:
    """A site under faults. Each fault is a method without arguments that has been lifted when it returns."""

    site: Site
    draw: random.Random
    skewed: Worker | None = None
    faults: Counter[str] = field(default_factory=Counter)
    over: Event = field(default_factory=Event)

    def kill_a_worker(self) -> None:
        """SIGKILL, and another takes its place."""
        victim = self.draw.choice(self._ours())
        victim.kill()
        self._replace(victim)

    def deploy_a_worker(self) -> None:
        """SIGTERM, and another takes its place."""
        victim = self.draw.choice(self._ours())
        self._replace(victim)
        victim.ask_to_end()

    def freeze_a_worker(self) -> None:
        """Stop one for longer than its leases."""
        victim = self.draw.choice(self._ours())
        victim.freeze()
        self._pass(2 * LEASE_S)
        victim.thaw()

    def restart_redis(self) -> None:
        """Kill it; what it held is gone."""
        self.site.broker.crash()
        self._pass(1)
        self.site.broker.start()

    def flush_redis(self) -> None:
        """Empty it."""
        with self._redis() as client:
            client.flushall()

    def freeze_redis(self) -> None:
        """Have it answer nobody for a while."""
        self.site.broker.freeze()
        self._pass(3)
        self.site.broker.thaw()

    def feed_redis(self) -> None:
        """Put values into a queue that are no messages."""
        with self._redis() as client:
            client.rpush(queue_key(0), "rubbish", "{}", '{"body": 1}')

    def crash_the_ledger(self) -> None:
        """End Postgres at once, and start it again."""
        self.site.database.crash()
        self._pass(2)
        self.site.database.start()

    def freeze_the_ledger(self) -> None:
        """Have Postgres answer nobody for longer than a lease."""
        self.site.database.freeze()
        self._pass(1.5 * LEASE_S)
        self.site.database.thaw()

    def overload_every_model(self) -> None:
        """Have the API answer 529 to all."""
        self.site.simulator.set_script(_OVERLOADED)
        self._pass(3)
        self.site.simulator.set_script(_BATCHES)

    def break_calls(self) -> None:
        """Have bodies cut and connections reset."""
        self.site.simulator.set_script(_BREAKING)
        self._pass(3)
        self.site.simulator.set_script(_BATCHES)

    def begin(self, name: str) -> None:
        """Inject one fault, and lift it."""
        self.faults[name] += 1
        getattr(self, name)()

    def _ours(self) -> list[Worker]:
        return [worker for worker in self.site.workers[1:] if worker.is_alive()]  # the first is the older version's

    def _replace(self, victim: Worker) -> None:
        is_skewed = victim is self.skewed
        hired = self.site.hire_at_once(**(_SKEWED if is_skewed else {}))
        if is_skewed:
            self.skewed = hired

    def _pass(self, seconds: float) -> None:
        self.over.wait(seconds)

    @contextmanager
    def _redis(self) -> Iterator[redis.Redis]:
        with redis.Redis.from_url(self.site.variables["REDIS_URL"]) as client:
            yield client


def run(
    folder: Path,
    *,
    seconds: float,
    seed: int,
    engine: str = "postgres",
    only: str | None = None,
    every_s: float | None = None,
) -> Outcome:
    """Work under faults for so long, then lift them all, wait until nothing moves, and examine.

    Every fault comes once before any comes twice; `only` names the one to draw, `every_s` paces them. The clock of a
    worker on SQLite is the ledger's clock, so none is skewed there.
    """
    older, revision = older_version(folder / "older")
    variables: Any = {"HOLD_ABOVE_USD": "0", "CALL_TIMEOUT_S": "3", "DAY_CAP_USD": "1000"}
    with open_site(engine, folder, script=_BATCHES, latency_s=0.3, revision=revision, **variables) as site:
        site.hire(PYTHONPATH=str(older))
        upgrade(site.engine)  # while the older version's worker is at work
        chaos = Chaos(site=site, draw=random.Random(seed))
        for _ in range(_WORKERS):
            site.hire_at_once()
        if engine == "postgres":
            chaos.skewed = site.hire_at_once(**_SKEWED)
        for worker in site.workers:
            worker.ready()
        with _submitting(site) as (batches, refused):
            _inject(chaos, seconds, _names(chaos.draw, engine, only), every_s)
        healed_s = _rest(site, batches)
        return _outcome(chaos, seed, batches, len(refused), healed_s)


def _inject(chaos: Chaos, seconds: float, names: Iterator[str], every_s: float | None) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        chaos.begin(next(names))
        pause_s = chaos.draw.uniform(0.5, 2.0) if every_s is None else max(0.0, every_s - (time.monotonic() - began))
        chaos.over.wait(pause_s)


def _names(draw: random.Random, engine: str, only: str | None) -> Iterator[str]:
    known = [name for name in FAULTS if engine == "postgres" or name not in _OF_A_SERVER]
    if only is None:
        # Rubbish in a queue ends the older version's worker: it comes last of the first round.
        yield from sorted(known, key=lambda name: (name == "feed_redis", draw.random()))
    while True:
        yield draw.choice(known) if only is None else only


@contextmanager
def _submitting(site: Site) -> Iterator[tuple[list[Batch], list[str]]]:
    batches: list[Batch] = []
    refused: list[str] = []
    over = Event()

    def work() -> None:
        while not over.wait(0.5):
            try:
                # Every other batch has a cap that it does not reach: what is reserved must be right all the same.
                terms = None if len(batches) % 3 else _IN_TIME
                batches.append(site.submit(10, max_cost_usd=1 if len(batches) % 2 else None, terms=terms))
            except LedgerError as error:
                refused.append(str(error))

    thread = Thread(target=work, name="producer")
    thread.start()
    try:
        yield batches, refused
    finally:
        over.set()
        thread.join()


def _rest(site: Site, batches: list[Batch]) -> float:
    """Wait until every job has ended or is held; returns the seconds from the last fault."""
    lifted = time.monotonic()
    eventually(
        lambda: not site.rows(_OPEN)[0]["n"],
        within_s=HEALED_WITHIN_S,
        because=f"{len(batches)} batches end or are held",
    )
    return time.monotonic() - lifted


def _outcome(chaos: Chaos, seed: int, batches: list[Batch], refused: int, healed_s: float) -> Outcome:
    site = chaos.site
    found = examine(site)
    for batch in batches:
        site.producer.store.job_actions.release(batch_id=batch.id, deadline_s=3600)
    eventually(lambda: not site.rows(_OPEN)[0]["n"], within_s=60, because="what was released ends")
    message = "\n".join(worker.message() for worker in site.workers)
    signed = f"%:{site.workers[0].pid}:%"  # the older version's: host, process id and a word of its own
    (older,) = site.rows("SELECT count(*) AS n FROM attempts WHERE worker LIKE :signed", signed=signed)
    leaks = [f"I7: {what} is in a worker's log" for what in (API_KEY, "Summarize: harbour") if what in message]
    return Outcome(
        seed=seed,
        faults=dict(sorted(chaos.faults.items())),
        refused=refused,
        healed_s=healed_s,
        found=found,
        after_release=examine(site),
        by_older=older["n"],
        leaks=tuple(leaks),
        story=message,
        untold=untold(site),
        stories=stories(site, _STORIES),
    )


def main(say: Callable[[str], object] = sys.stdout.write) -> int:
    """Run from the command line; exit code 1 where an invariant did not hold."""
    parser = argparse.ArgumentParser(prog="make chaos", description="Real processes under faults drawn from a seed.")
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    parser.add_argument("--only", choices=FAULTS)
    parser.add_argument("--every-s", type=float)
    parser.add_argument("--engine", choices=("postgres", "sqlite"), default="postgres", help="of the ledger")
    parser.add_argument("--stories", action="store_true", help=f"tell those of {_STORIES} jobs at the end")
    given = parser.parse_args()
    say(f"seed {given.seed}: {given.seconds:g} s of faults\n")
    with TemporaryDirectory(prefix="chaos-") as folder:
        outcome = run(Path(folder), **{name: value for name, value in vars(given).items() if name != "stories"})
    say(outcome.table())
    say(f"\n{outcome.stories}\n" if given.stories else "")
    return 1 if outcome.found.wrong or outcome.after_release.wrong or outcome.leaks or outcome.untold else 0


if __name__ == "__main__":
    sys.exit(main())

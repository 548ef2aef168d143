"""While the fleet is throttled, `doctor`, `status` and `job` tell by whom, since when and until when; then no more."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.queue.throttles import Throttle, ThrottleReader
from models.settings import load_settings
from producer.simulator.process import RunningSimulator, running_simulator
from tests.support.eventually import eventually
from tests.support.sites.command_line import Stranger, settings_for, stranger_in
from tests.support.sites.worker_site import HAIKU, OPUS, forget_faults

_QUICK = {"PROBE_EVERY_S": "0.5", "CLOCK_TICK_S": "0.2"}


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    """Run one API for the tests of this file."""
    with running_simulator() as simulator:
        yield simulator


@pytest.fixture
def me(tmp_path: Path, simulator: RunningSimulator, redis_url: str) -> Stranger:
    """Work with a fleet that knows of no fault."""
    forget_faults(redis_url)
    simulator.set_script("")
    return stranger_in(tmp_path, REDIS_URL=redis_url, **settings_for(simulator, **_QUICK))


def _submit(me: Stranger, count: int) -> str:
    me.write("jobs.txt", "".join(f"Summarize: harbour {number}.\n" for number in range(count)))
    return me.types("submit", "jobs.txt").out.strip()


def _throttles(me: Stranger, *, quiet_s: float) -> list[Throttle]:
    given = {name: me.environment[name.upper()] for name in ("anthropic_api_key", "anthropic_base_url", "redis_url")}
    settings, url = load_settings(env_file=None, **given), given["redis_url"]
    return ThrottleReader(url, namespace=settings.namespace, chain=settings.chain, quiet_s=quiet_s).read()


def _status(me: Stranger, batch: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(me.types("status", batch, "--json").out)
    return found


def test_the_doctor_warns_of_an_overloaded_primary_and_is_well_after_it(
    me: Stranger, simulator: RunningSimulator
) -> None:
    simulator.set_script('[[rules]]\nmodel = "opus"\nanswer = 529')
    with me.starts("worker", log="worker.log"):
        _submit(me, 40)

        def is_left_alone() -> bool:
            return "circuit_open" in {throttle.reason for throttle in _throttles(me, quiet_s=60)}

        eventually(is_left_alone, within_s=60, because="the fleet leaves the primary alone")
        message = me.types("doctor", expect=None).out
        assert re.search(
            rf"(?m)^warn +throttle +{OPUS} is overloaded since \d\d:\d\d:\d\d UTC \(for \d+(\.\d)? s\): one probe at a"
            r" time, the next (at once|in \d+(\.\d)? s); its jobs step down or wait$",
            message,
        )
        simulator.set_script("")

        def is_quiet() -> bool:
            _submit(me, 1)
            return not _throttles(me, quiet_s=1)

        eventually(is_quiet, within_s=60, because="a probe finds the primary well")


def test_status_and_job_tell_the_limit_that_jobs_wait_for_and_a_true_time(
    me: Stranger, simulator: RunningSimulator
) -> None:
    simulator.set_script("[limits.haiku-4-5]\nrequests_per_minute = 12\n")
    me.configure(MODEL_CHAIN=HAIKU, PATIENCE_S="600")
    with me.starts("worker", log="worker.log"):
        me.types("watch", _submit(me, 1))  # its reply tells the limit
        batch = _submit(me, 30)

        def limited() -> list[dict[str, Any]]:
            return [one for one in _status(me, batch)["waits"] if one["reason"] == "limited"]

        (found, *_) = eventually(limited, within_s=60, because="jobs wait for the limit")
        assert (found["model"], found["limit"], found["per_minute"]) == (HAIKU, "requests", 12.0)
        assert 0 <= found["next_in_s"] <= found["last_in_s"] <= 300
        shown = me.types("status", batch).out
        assert re.search(rf"waits? for {HAIKU}'s requests \(12 a minute\): (in|the next in|\d+ due now|due now)", shown)
        assert f"  now: this key's requests for {HAIKU} (12 a minute) are used up since " in shown
        rows = [json.loads(line) for line in me.types("show", batch, "--jsonl").out.splitlines()]
        waiting = [row["job"] for row in rows if row["state"] == "waiting"]
        reported = " ".join(me.types("job", waiting[-1]).out.split())
        assert "waits for haiku-4-5's requests (12 a minute)" in reported
        assert json.loads(me.types("job", waiting[-1], "--json").out)["due_in_s"] >= 0
        me.types("cancel", batch)

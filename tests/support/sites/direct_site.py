"""Lends a test a script that calls without a queue (`direct_script`), with the API and the ledger it calls on."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.sites import warm_start
from tests.support.sites.worker_site import ROOT, Plant, idle_plant

PROMPT = "Ten harbours were dredged in spring, and two bridges were closed before dawn."
SCRIPT = [sys.executable, "-m", "tests.support.sites.direct_script"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A script that calls, and the API and the ledger it calls on."""

    plant: Plant
    process: "subprocess.Popen[str]"

    def call(self, prompt: str = PROMPT, **options: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Call once; returns what the script got, and the purchases it made."""
        return self.do("call", prompt=prompt, **options)

    def do(self, what: str, **order: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Have the script do one of its orders; returns what it got, and the purchases it made."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        before = len(self.plant.simulator.purchases())
        self.process.stdin.write(json.dumps({"do": what, **order}) + "\n")
        self.process.stdin.flush()
        got: dict[str, Any] = json.loads(self.process.stdout.readline())
        return got, self.plant.simulator.purchases()[before:]

    def job(self, purchases: list[dict[str, Any]]) -> dict[str, Any]:
        """Read the row of the job that was bought for."""
        return self.plant.producer.store.reports.job(purchases[0]["job"])

    def attempts(self, purchases: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Read the attempts of that job."""
        return self.plant.producer.store.reports.attempts(purchases[0]["job"])


@contextmanager
def calling(request: pytest.FixtureRequest, folder: Path, **variables: str) -> Iterator[Caller]:
    """Run one script until the end of the block; in the end it must close without a complaint."""
    with idle_plant(request, folder, KEY_PAUSE_S="1", **variables) as plant, plant.worker_log.open("wb") as words:
        with warm_start.Popen(
            SCRIPT,
            cwd=ROOT,
            env=plant.variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            text=True,
        ) as process:
            yield Caller(plant=plant, process=process)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(20) == 0
        words_said = plant.worker_log.read_text(encoding="utf-8")
        assert "Traceback" not in words_said
        assert "Warning" not in words_said

"""Runs the cases of tests/cases: the fault server as the API, a real worker, and `stepdown` as a person types it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import redis

from migrations.run import upgrade
from models.job.answer import Answer
from models.job.progress import Progress
from models.reports.jobs import Reports
from tests.support.eventually import eventually
from tests.support.servers.fixtures import opened
from tests.support.sites import warm_start
from tests.support.sites.worker_site import environment_of, forget_faults, running_worker

CASES = Path(__file__).parents[1] / "cases"
_COMMAND = str(Path(sys.executable).with_name("stepdown"))
_PATIENCE_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A worker whose API is the fault server, and the command line beside it."""

    port: int
    log: Path
    environment: Mapping[str, str]
    reports: Reports

    def begin(self, name: str) -> Path:
        """Have the API play a case, with nothing learned from the one before; returns its folder."""
        forget_faults(self.environment["REDIS_URL"])
        connection = HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_S)
        connection.request("PUT", "/case", str(CASES / name / "script.py"))
        assert connection.getresponse().status == 200
        connection.close()
        self.log.write_text("")
        return CASES / name

    def types(self, *arguments: str | Path, expect: int = 0) -> str:
        """Run `stepdown` to its end and return what it said."""
        command = [_COMMAND, *map(str, arguments)]
        run = warm_start.run(command, capture_output=True, text=True, env=dict(self.environment), timeout=_PATIENCE_S)
        assert run.returncode == expect, run
        return str(run.stdout + run.stderr)

    def submitted(self, file: Path, *options: str) -> str:
        """Submit a file; returns the batch's id."""
        template = ["--template", "{text}"] if file.suffix == ".csv" else []
        return self.types("submit", file, *template, "--max-tokens", "500", *options).strip()

    def ended(self, batch: str, *, within_s: float = 30) -> dict[str, Answer]:
        """Wait for the end of a batch; returns its answers by their ids."""
        eventually(lambda: self.progress(batch).is_finished, within_s=within_s, because="every job ends")
        return {answer.id: answer for answer in self.reports.answers(batch)}

    def progress(self, batch: str) -> Progress:
        """Count the jobs of a batch."""
        return self.reports.progress(batch)

    def jobs(self, batch: str) -> list[dict[str, Any]]:
        """Read the row of each job of a batch."""
        return [self.reports.job(answer.job_id) for answer in self.reports.answers(batch)]

    def attempts(self, batch: str) -> list[dict[str, Any]]:
        """Read the attempts of a batch's first job, in order."""
        return self.reports.attempts(self.jobs(batch)[0]["id"])

    def story(self, batch: str) -> str:
        """Read what `stepdown job` says of a batch's first job, as one line."""
        return " ".join(self.types("job", self.jobs(batch)[0]["id"]).split())

    def calls(self) -> list[dict[str, Any]]:
        """Read what the API was asked for, but for questions about models."""
        lines = map(json.loads, self.log.read_text().splitlines())
        return [line for line in lines if "status" in line]


@contextmanager
def running_case(folder: Path, valkey_url: str, *, path: str = "", **variables: str) -> Iterator[Case]:
    """Run the fault server and a worker until the end of the block; `path` ends the API's address."""
    log = folder / "calls.jsonl"
    with ExitStack() as until_end:
        port = until_end.enter_context(_fault_server(log, folder / "fixed"))
        url = f"sqlite:///{folder / 'ledger.db'}"
        engine = until_end.enter_context(opened(url))
        upgrade(engine)
        until_end.enter_context(redis.Redis.from_url(valkey_url)).flushall()
        where = {"REDIS_URL": valkey_url, "DATABASE_URL": url, "STATE_DIR": str(folder)}
        address = {"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}{path}"}
        environment = environment_of({**where, **address, **variables})
        until_end.enter_context(running_worker(environment, folder / "worker.log"))
        yield Case(port=port, log=log, environment=environment, reports=Reports(engine))


@contextmanager
def _fault_server(log: Path, fixed: Path) -> Iterator[int]:
    command = [sys.executable, str(CASES / "fault_server.py"), str(CASES / "base_url_v1" / "script.py"), str(log)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "CASE_FIXED": str(fixed)}
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()

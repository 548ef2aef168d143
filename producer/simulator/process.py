"""A simulator in its own process, for tests and demos: started on a free port, ended by its id."""

from __future__ import annotations

import json
import sys
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from subprocess import PIPE, Popen, TimeoutExpired
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path(__file__).parents[2]
_PATIENCE_S = 10.0


class SimulatorError(RuntimeError):
    """The simulator did not start, or refused a script; the message is the simulator's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSimulator:
    """A simulator that can be called at `url`."""

    url: str
    pid: int
    log_path: Path

    def purchases(self) -> list[dict[str, Any]]:
        """Read the purchase log from its file, finished lines only."""
        lines = self.log_path.read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines]

    def set_script(self, toml_text: str) -> None:
        """Replace the script at once; a wrong script raises SimulatorError and the old script stays."""
        status, answer = self._call("POST", "/_simulator/script", toml_text.encode())
        if status != HTTPStatus.OK:
            raise SimulatorError(answer.decode())

    def batches(self) -> list[dict[str, Any]]:
        """Ask for all message batches, the oldest first, each with `number`, `is_foreign` and `custom_ids`."""
        batches: list[dict[str, Any]] = json.loads(self._call("GET", "/_simulator/batches")[1])
        return batches

    def stats(self) -> dict[str, Any]:
        """Ask for counts: requests, billed_nano_usd, answers, jobs, in_flight, most_in_flight, cpu_s."""
        stats: dict[str, Any] = json.loads(self._call("GET", "/_simulator/stats")[1])
        return stats

    def _call(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        address = urlsplit(self.url)
        with closing(HTTPConnection(address.hostname or "", address.port, timeout=_PATIENCE_S)) as connection:
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, response.read()


@contextmanager
def running_simulator(
    *, script: str | None = None, seed: int = 7, latency_s: float = 0.0, log: Path | None = None
) -> Iterator[RunningSimulator]:
    """Start a simulator on a free loopback port; `script` is TOML text, `log` is appended to.

    Without `log` the purchases go to a temporary file that ends with the simulator.
    """
    with TemporaryDirectory(prefix="simulator-") as folder:
        log_path = log or Path(folder, "purchases.jsonl")
        arguments = ["--seed", str(seed), "--latency-s", str(latency_s), "--log", str(log_path.absolute())]
        if script is not None:
            script_path = Path(folder, "script.toml")
            script_path.write_text(script, encoding="utf-8")
            arguments += ["--script", str(script_path)]
        with _process(arguments, Path(folder, "stderr.txt")) as (process, url):
            yield RunningSimulator(url=url, pid=process.pid, log_path=log_path)


@contextmanager
def _process(arguments: list[str], stderr: Path) -> Iterator[tuple[Popen[str], str]]:
    command = [sys.executable, "-m", "producer.simulator", *arguments]
    with (
        stderr.open("wb") as errors,
        Popen(command, cwd=_ROOT, stdout=PIPE, stderr=errors, text=True) as process,
    ):
        try:
            yield process, _url_of(process, stderr)
        finally:
            _end(process)


def _url_of(process: Popen[str], stderr: Path) -> str:
    """Wait for the line with the simulator's address; no line means that the process has ended."""
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        process.wait(_PATIENCE_S)
        raise SimulatorError(stderr.read_text(encoding="utf-8").strip())
    return line.split()[1]


def _end(process: Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_PATIENCE_S)
    except TimeoutExpired:
        process.kill()

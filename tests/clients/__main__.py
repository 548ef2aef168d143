"""`make clients`: Airflow's operator and schemathesis against a served chain; exit code 1 where one finds fault.

Both need other versions of what we pin (schemathesis an older jsonschema-rs), so each has an environment of its own.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.running import HAIKU, ROOT, environment_of, running_server, running_worker
from tests.servers.valkey import running_valkey
from tests.simulator.process import RunningSimulator, running_simulator

_HOME = ROOT / ".stepdown" / "clients"
_AIRFLOW = ("apache-airflow==3.3.2", "apache-airflow-providers-anthropic==1.2.0")
_SCHEMATHESIS = ("schemathesis==4.32.5",)
_EXAMPLES = 60
_SLOW = '[[rules]]\nprompt_contains = "erosion"\nanswer = "ok"\ndelay_s = 4.0\ntimes = 1'


@dataclass(frozen=True, slots=True, kw_only=True)
class _Site:
    url: str
    simulator: RunningSimulator


def main() -> int:
    """Run each client; 0 where none finds fault."""
    airflow, schemathesis = _python("airflow", _AIRFLOW), _python("schemathesis", _SCHEMATHESIS)
    with _site() as site:
        checks = {
            "airflow: one task instance run twice buys once": _ran_twice(site, airflow),
            "airflow: a run that timed out is gone on with": _gone_on(site, airflow),
            "schemathesis: /api/v1 is as its document says": _described(site, schemathesis),
        }
    sys.stdout.writelines(f"{'ok    ' if is_right else 'FAILED'}  {said}\n" for said, is_right in checks.items())
    return 0 if all(checks.values()) else 1


@contextmanager
def _site() -> Iterator[_Site]:
    """Run a worker and a server, with the simulator as their API."""
    with TemporaryDirectory() as named, ExitStack() as until_end:
        folder = Path(named)
        simulator = until_end.enter_context(running_simulator(log=folder / "purchases.jsonl"))
        where = {
            "REDIS_URL": until_end.enter_context(running_valkey(folder)),
            "DATABASE_URL": f"sqlite:///{folder}/ledger.db",
            "ANTHROPIC_BASE_URL": simulator.url,
            "STATE_DIR": named,
            "REPEATED_BATCH": "same",  # the operator sends no key
        }
        environment = environment_of(where)
        until_end.enter_context(running_worker(environment, folder / "worker.log"))
        url = until_end.enter_context(running_server(environment, folder / "serve.log"))
        yield _Site(url=url, simulator=simulator)


def _python(name: str, needs: tuple[str, ...]) -> Path:
    python = _HOME / name / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", _HOME / name], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *needs], check=True)
    return python


def _ran_twice(site: _Site, python: Path) -> bool:
    before = len(site.simulator.purchases())
    told = _task(site, python, words=("salt", "tides", "waves"), timeouts_s=(60, 60))
    bought = len(site.simulator.purchases()) - before
    is_one = len(set(told["ids"])) == 1
    return is_one and bought == len(told["results"]) and set(told["results"].values()) == {"succeeded"}


def _gone_on(site: _Site, python: Path) -> bool:
    """Time out while one prompt of two is answered: only the other is bought again."""
    site.simulator.set_script(_SLOW)
    before = len(site.simulator.purchases())
    told = _task(site, python, words=("sand", "erosion"), timeouts_s=(1.5, 60))
    jobs = [purchase["job"] for purchase in site.simulator.purchases()[before:]]
    is_cut = told["ids"][0] is None
    return is_cut and sorted(map(jobs.count, set(jobs))) == [1, 2] and set(told["results"].values()) == {"succeeded"}


def _task(site: _Site, python: Path, *, words: tuple[str, ...], timeouts_s: tuple[float, ...]) -> dict[str, Any]:
    connection = {"conn_type": "anthropic", "password": "any-will-do-here", "host": site.url}
    requests = [{"custom_id": word, "params": _asked(word)} for word in words]
    asked = {"requests": requests, "model": HAIKU, "timeouts_s": timeouts_s}
    with TemporaryDirectory() as home:
        variables = {**os.environ, "AIRFLOW_HOME": home, "AIRFLOW_CONN_STEPDOWN": json.dumps(connection)}
        run = subprocess.run(
            [python, Path(__file__).with_name("airflow_task.py")],
            check=True,
            env=variables,
            input=json.dumps(asked),
            stdout=subprocess.PIPE,
            text=True,
        )
    told: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return told


def _asked(word: str) -> Mapping[str, Any]:
    return {"max_tokens": 50, "messages": [{"role": "user", "content": f"Explain {word}."}]}


def _described(site: _Site, python: Path) -> bool:
    command = [str(python.with_name("schemathesis")), "run", f"{site.url}/api/v1/openapi.json", "--url", site.url]
    # What holds across fields no schema can say: that what it allows is taken is asked in test_serve_fuzz.
    options = [
        "--checks",
        "all",
        "--exclude-checks",
        "positive_data_acceptance",
        "--max-examples",
        str(_EXAMPLES),
        "--no-color",
    ]
    with TemporaryDirectory() as folder:
        return subprocess.run([*command, *options], check=False, cwd=folder).returncode == 0


if __name__ == "__main__":
    sys.exit(main())

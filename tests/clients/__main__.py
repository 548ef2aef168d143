"""`make clients`: other people's programs against a served chain; exit code 1 where one finds fault.

A stranger's server sells message batches to a worker. Airflow sends batches, schemathesis tries our own API, and
`messages` has those that send messages. Each needs versions of its own, so each has an environment of its own.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.clients import llmock, messages
from tests.clients.environments import NotInstalledError, python_of
from tests.clients.site import Site, open_site
from tests.support.sites.worker_site import HAIKU

_AIRFLOW = ("apache-airflow==3.3.2", "apache-airflow-providers-anthropic==1.2.0")
_SCHEMATHESIS = ("schemathesis==4.32.5",)
_EXAMPLES = 60
_SLOW = '[[rules]]\nprompt_contains = "erosion"\nanswer = "ok"\ndelay_s = 4.0\ntimes = 1'


def main() -> int:
    """Run each client; 0 where none finds fault."""
    is_good = True
    with open_site() as site:
        for checks in (messages.checks, _others):
            for message, is_right in checks(site):
                sys.stdout.write(f"{'ok    ' if is_right else 'FAILED'}  {message}\n")
                sys.stdout.flush()
                is_good = is_good and is_right
    return 0 if is_good else 1


def _others(site: Site) -> Iterator[tuple[str, bool]]:
    others = (
        ("airflow", _AIRFLOW, _airflow),
        ("schemathesis", _SCHEMATHESIS, _schemathesis),
        ("llmock", llmock.NEEDS, _llmock),
    )
    for name, needs, checks in others:
        try:
            python = python_of(name, *needs)
        except NotInstalledError as error:
            yield f"{name}: cannot be installed: {error}", False
        else:
            yield from checks(site, python)


def _airflow(site: Site, python: Path) -> Iterator[tuple[str, bool]]:
    yield "airflow: one task instance run twice buys once", _ran_twice(site, python)
    yield "airflow: a run that timed out is gone on with", _gone_on(site, python)


def _schemathesis(site: Site, python: Path) -> Iterator[tuple[str, bool]]:
    yield "schemathesis: /api/v1 is as its document says", _described(site, python)


def _llmock(_site: Site, python: Path) -> Iterator[tuple[str, bool]]:
    yield "llmock: a batch at half price", llmock.is_bought_at_half_price(python)


def _ran_twice(site: Site, python: Path) -> bool:
    before = len(site.simulator.purchases())
    reported = _task(site, python, words=("salt", "tides", "waves"), timeouts_s=(60, 60))
    bought = len(site.simulator.purchases()) - before
    is_one = len(set(reported["ids"])) == 1
    return is_one and bought == len(reported["results"]) and set(reported["results"].values()) == {"succeeded"}


def _gone_on(site: Site, python: Path) -> bool:
    """Time out while one prompt of two is answered: only the other is bought again."""
    site.simulator.set_script(_SLOW)
    before = len(site.simulator.purchases())
    reported = _task(site, python, words=("sand", "erosion"), timeouts_s=(1.5, 60))
    jobs = [purchase["job"] for purchase in site.simulator.purchases()[before:]]
    is_cut = reported["ids"][0] is None
    return (
        is_cut and sorted(map(jobs.count, set(jobs))) == [1, 2] and set(reported["results"].values()) == {"succeeded"}
    )


def _task(site: Site, python: Path, *, words: tuple[str, ...], timeouts_s: tuple[float, ...]) -> dict[str, Any]:
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
    reported: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return reported


def _asked(word: str) -> Mapping[str, Any]:
    return {"max_tokens": 50, "messages": [{"role": "user", "content": f"Explain {word}."}]}


def _described(site: Site, python: Path) -> bool:
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

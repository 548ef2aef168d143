"""`make frameworks`: the sketches of tests/examples in the real frameworks, each in an environment of its own.

Each is run twice for one day: the first time buys each prompt once, the second nothing. Then dbt builds its model over
the same ledger. It needs a package registry, once; `make test` runs what the sketches schedule, and skips nothing.
"""

import csv
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from tests.faults.site import Site, open_site
from tests.support.sites.worker_site import ROOT

_HOME = ROOT / ".stepdown" / "frameworks"
_PIPELINES = ROOT / "tests" / "examples" / "pipelines"
_ARTICLES = 3
_LONGEST_S = 300
_QUIET = {"DO_NOT_TRACK": "1", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """One of them: what is installed, the variable that names its folder, and how its sketch is run for a day."""

    name: str
    needs: tuple[str, ...]
    day: str
    home: str
    command: tuple[str, ...]
    before: tuple[str, ...] = ()


_ALL = (
    Framework(
        name="airflow",
        needs=("apache-airflow==3.3.2",),
        day="2026-11-19",
        home="AIRFLOW_HOME",
        before=("airflow", "db", "migrate"),
        command=("airflow", "dags", "test", "nightly_summaries", "2026-11-19"),
    ),
    Framework(
        name="dagster",
        needs=("dagster==1.13.29",),
        day="2026-11-20",
        home="DAGSTER_HOME",
        command=(
            *("dagster", "asset", "materialize", "-f", str(_PIPELINES / "dagster_assets.py")),
            *("--select", "summaries", "--partition", "2026-11-20"),
        ),
    ),
    Framework(
        name="prefect",
        needs=("prefect==3.9.1",),
        day="2026-11-21",
        home="PREFECT_HOME",
        command=("python", str(_PIPELINES / "prefect_flow.py"), "2026-11-21"),
    ),
)
_LANGCHAIN = ("langchain-anthropic==1.7.10",)
_ASKS_A_TOOL = """
[[rules]]
times = 1
answer = "tool_use"
tool = "look_up"
tool_input = {harbour = "Rotterdam"}
"""
_DBT = ("dbt-core==1.12.0", "dbt-postgres==1.11.0")


def main() -> int:
    """Run all that are named, or all; 1 where one fails, or buys anything twice."""
    wanted = sys.argv[1:] or [*(framework.name for framework in _ALL), "langchain", "dbt"]
    with TemporaryDirectory() as folder, open_site("postgres", Path(folder)) as site:
        site.hire()
        found = [*_twice(site, wanted)]
        found += [run(site) for name, run in (("langchain", _langchain), ("dbt", _dbt)) if name in wanted]
    return 0 if all(found) else 1


def _twice(site: Site, wanted: list[str]) -> Iterator[bool]:
    for framework in _ALL:
        if framework.name not in wanted:
            continue
        installed = _environment(framework.name, *framework.needs, "-e", str(ROOT))
        home = site.folder / framework.name
        home.mkdir()
        _articles(site.folder / f"articles-{framework.day}.csv")
        variables = _variables(site, installed) | {"HOME": str(home), framework.home: str(home)}
        variables |= {"PYTHONPATH": str(_PIPELINES), "AIRFLOW__CORE__DAGS_FOLDER": str(_PIPELINES)}
        is_ready = not framework.before or _run(framework.before, site.folder, variables)
        for expected in (_ARTICLES, 0):
            before, begun_s = len(site.simulator.purchases()), time.monotonic()
            is_well = is_ready and _run(framework.command, site.folder, variables)
            bought = len(site.simulator.purchases()) - before
            took = f"{time.monotonic() - begun_s:.1f} s"
            _report(f"{framework.name}: {'ran' if is_well else 'FAILED'}, bought {bought}, expected {expected}, {took}")
            yield is_well and bought == expected


def _langchain(site: Site) -> bool:
    installed = _environment("langchain", *_LANGCHAIN, "-e", str(ROOT))
    site.simulator.set_script(_ASKS_A_TOOL)
    command = ("python", str(_PIPELINES / "langchain_agent.py"), "Which harbours were dredged in spring?")
    is_well = _run(command, site.folder, _variables(site, installed))
    site.simulator.set_script("")
    rows = site.rows("SELECT depth, calls_below, state FROM v_call_tree ORDER BY path")
    _report(f"langchain: {'ran' if is_well else 'FAILED'}: {[tuple(row.values()) for row in rows]}")
    return is_well and [tuple(row.values()) for row in rows] == [
        (1, 1, "succeeded"),
        (2, 0, "succeeded"),
        (1, 0, "succeeded"),
    ]


def _dbt(site: Site) -> bool:
    installed, where = _environment("dbt", "--only-binary", ":all:", *_DBT), urlsplit(site.variables["DATABASE_URL"])
    variables = _variables(site, installed) | {
        "LEDGER_HOST": str(where.hostname),
        "LEDGER_PORT": str(where.port),
        "LEDGER_USER": str(where.username),
        "LEDGER_PASSWORD": str(where.password),
        "LEDGER_NAME": where.path[1:],
    }
    paths = ("--profiles-dir", ".", "--target-path", f"{site.folder}/target", "--log-path", f"{site.folder}/logs")
    is_well = _run(("dbt", "build", *paths), _PIPELINES / "dbt", variables)
    rows = site.rows("SELECT task, jobs, cost_nano_usd FROM marts.cost_by_task") if is_well else []
    _report(f"dbt: {'ran' if is_well else 'FAILED'}: {rows}")
    return is_well and bool(rows)


def _environment(name: str, *needs: str) -> Path:
    """Make an environment, once; returns the folder of its commands."""
    commands = _HOME / name / "bin"
    if not (commands / "python").exists():
        begun_s = time.monotonic()
        subprocess.run([sys.executable, "-m", "venv", _HOME / name], check=True)
        pip = [str(commands / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", *needs]
        subprocess.run(pip, check=True)
        _report(f"{name}: installed in {time.monotonic() - begun_s:.0f} s")
    return commands


def _variables(site: Site, commands: Path) -> dict[str, str]:
    settings = {name: value for name, value in site.variables.items() if value}
    return settings | _QUIET | {"PATH": f"{commands}:{os.environ['PATH']}"}


def _run(command: tuple[str, ...], folder: Path, variables: Mapping[str, str]) -> bool:
    ended = subprocess.run(
        command, cwd=folder, env=dict(variables), check=False, capture_output=True, text=True, timeout=_LONGEST_S
    )
    if ended.returncode:
        _report((ended.stdout + ended.stderr)[-2000:])
    return ended.returncode == 0


def _articles(path: Path) -> None:
    with (_PIPELINES.parent / "articles.csv").open(encoding="utf-8", newline="") as whole:
        rows = list(csv.reader(whole))
    with path.open("w", encoding="utf-8", newline="") as part:
        csv.writer(part).writerows(rows[: _ARTICLES + 1])


def _report(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

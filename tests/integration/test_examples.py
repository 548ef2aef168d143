"""The pipelines of tests/examples do what they say: each is run as it stands, with a worker and the simulator."""

import ast
import csv
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from tests.support.ledgers.small_ledger import book
from tests.support.sites.command_line import TEXTS
from tests.support.sites.worker_site import HAIKU, ROOT, Plant, one_test, running_plant

_PIPELINES = ROOT / "tests" / "examples" / "pipelines"
_BIN = Path(sys.executable).parent
_LONGEST = 40
_SKETCHES = ("airflow_dag.py", "dagster_assets.py", "prefect_flow.py")
_NIGHTLY = (
    "import sys; from pathlib import Path; import nightly; print(nightly.summarize_day(sys.argv[1], Path(sys.argv[2])))"
)
_NOTEBOOK = """
import json, sys
shared = {}
for cell in json.load(open(sys.argv[1], encoding="utf-8"))["cells"]:
    if cell["cell_type"] == "code":
        exec("".join(cell["source"]), shared)
"""


@pytest.fixture(scope="module", params=["sqlite"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Run one worker for all tests of this file."""
    with running_plant(request, tmp_path_factory.mktemp("examples")) as plant:
        yield plant


@pytest.fixture
def plant(whole: Plant) -> Iterator[Plant]:
    """Lend it to one test."""
    with one_test(whole) as plant:
        yield plant


def _run(plant: Plant, folder: Path, *command: str | Path) -> "subprocess.CompletedProcess[str]":
    path = {"PATH": f"{_BIN}:{plant.variables['PATH']}", "PYTHONPATH": str(_PIPELINES)}
    environment = {**plant.variables, **path}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True, timeout=120)


def _articles(folder: Path, day: str) -> Path:
    """Write a day's articles, three of those that lie beside the pipelines."""
    path = folder / f"articles-{day}.csv"
    with (TEXTS / "articles.csv").open(encoding="utf-8", newline="") as whole:
        rows = list(csv.reader(whole))
    with path.open("w", encoding="utf-8", newline="") as part:
        csv.writer(part).writerows(rows[:4])
    return path


def _bought(plant: Plant) -> int:
    return len(plant.simulator.purchases())


def test_each_is_at_most_forty_lines() -> None:
    files = [path for path in sorted(_PIPELINES.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert len(lengths) >= 12
    assert {name: length for name, length in lengths.items() if length > _LONGEST} == {}


def test_five_levels_of_agents_are_one_tree_and_a_sixth_is_refused(plant: Plant, tmp_path: Path) -> None:
    before = _bought(plant)
    ended = _run(plant, tmp_path, sys.executable, _PIPELINES / "subagents.py", "Which harbours were dredged?")
    assert [line.partition(":")[0] for line in ended.stdout.splitlines()] == [
        "plan",
        "search",
        "read",
        "extract",
        "summarize",
    ]
    assert "depth 6 is more than MAX_DEPTH=5" in ended.stderr
    assert _bought(plant) == before + 5
    question = "SELECT depth, task, model_used, calls_below FROM v_call_tree ORDER BY path"
    with plant.engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(text(question))]
    assert [row[0] for row in rows] == [1, 2, 3, 4, 5]
    assert [row[3] for row in rows] == [4, 3, 2, 1, 0]
    assert rows[4][1:3] == ("summarize", HAIKU)


def test_a_night_that_is_run_again_buys_nothing_twice(plant: Plant, tmp_path: Path) -> None:
    path, before = _articles(tmp_path, "2026-11-22"), _bought(plant)
    reported = [_run(plant, tmp_path, sys.executable, "-c", _NIGHTLY, "2026-11-22", path).stdout for _ in range(2)]
    summaries: dict[str, str] = ast.literal_eval(reported[0])
    assert (len(summaries), all(summaries.values()), reported[1]) == (3, True, reported[0])
    assert _bought(plant) == before + 3


def test_the_line_of_the_crontab_runs_as_cron_runs_it(plant: Plant, tmp_path: Path) -> None:
    (line,) = [line for line in (_PIPELINES / "crontab").read_text().splitlines() if not line.startswith("#")]
    *when, command = line.split(maxsplit=5)
    assert when == ["15", "2", "*", "*", "*"]
    for reported, here in (("/srv/stepdown/.venv/bin", _BIN), ("/srv/stepdown", ROOT), ("/srv/news", tmp_path)):
        assert reported in command
        command = command.replace(reported, str(here))
    day, before = "2026-11-23", _bought(plant)
    _articles(tmp_path, day)
    for _ in range(2):
        ended = _run(plant, tmp_path, "/bin/sh", "-c", f"{command} {day}")
        assert ended.stdout == ""
    assert _bought(plant) == before + 3
    with (tmp_path / f"summaries-{day}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [bool(row["text"]) for row in rows] == [True] * 3


def test_the_notebooks_cells_run_in_their_order(plant: Plant, tmp_path: Path) -> None:
    cells = json.loads((_PIPELINES / "ledger.ipynb").read_text(encoding="utf-8"))["cells"]
    assert {cell["cell_type"] for cell in cells} == {"markdown", "code"}
    before = _bought(plant)
    ended = _run(plant, tmp_path, sys.executable, "-c", _NOTEBOOK, _PIPELINES / "ledger.ipynb")
    assert _bought(plant) == before + 4
    assert HAIKU in ended.stdout


@pytest.mark.parametrize("name", _SKETCHES)
def test_a_sketch_schedules_what_is_run_here(name: str) -> None:
    tree = ast.parse((_PIPELINES / name).read_text(encoding="utf-8"))
    wanted = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "nightly"
        for alias in node.names
    }
    nightly = ast.parse((_PIPELINES / "nightly.py").read_text(encoding="utf-8"))
    assert wanted == {"summarize_day"} <= {node.name for node in nightly.body if isinstance(node, ast.FunctionDef)}
    (call,) = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "summarize_day"
    ]
    assert (len(call.args), call.keywords) == (2, [])


def test_the_dbt_model_is_one_query_for_both_engines(engine: Engine) -> None:
    book(engine)
    model = (_PIPELINES / "dbt" / "models" / "cost_by_task.sql").read_text(encoding="utf-8")
    sources = (_PIPELINES / "dbt" / "models" / "ledger.yml").read_text(encoding="utf-8")
    named = re.findall(r"\{\{ source\('ledger', '(\w+)'\) \}\}", model)
    assert {f"- name: {name}" for name in named} <= {line.strip() for line in sources.splitlines()}
    query = re.sub(r"\{\{ source\('ledger', '(\w+)'\) \}\}", r"\1", model)
    with engine.connect() as connection:
        rows: dict[Any, Any] = {row["task"]: row for row in connection.execute(text(query)).mappings()}
        whole = connection.execute(text("SELECT SUM(cost_nano_usd) FROM v_attempts")).scalar_one()
    assert sum(int(row["cost_nano_usd"] or 0) for row in rows.values()) == int(whole)
    assert {"summarize", "none"} <= rows.keys()

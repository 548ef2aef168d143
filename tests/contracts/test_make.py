"""`make quick` is a part of `make test`, and `make test` leaves nothing out."""

import os
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_CHECKS = [".venv/bin/ruff format --check .", ".venv/bin/ruff check .", ".venv/bin/lint-imports", ".venv/bin/mypy"]


def _commands(target: str) -> list[str]:
    """Read what a target would run in an environment that is installed."""
    variables = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = ["make", "--dry-run", "--old-file=.venv/.installed", target]
    ran = subprocess.run(command, cwd=_ROOT, env=variables, check=True, capture_output=True, text=True)
    return [line for line in ran.stdout.splitlines() if line.startswith(".venv/bin/")]


@pytest.mark.parametrize("target", ["quick", "test"])
def test_a_run_has_every_check_and_the_tests_it_claims(target: str) -> None:
    tests = {
        "quick": 'pytest tests/unit tests/contracts -m "not slow" --hypothesis-profile=quick --dist=worksteal',
        "test": "pytest",
    }
    assert _commands(target) == [*_CHECKS, f".venv/bin/python -m {tests[target]}"]


def test_nothing_but_a_unit_test_is_slow() -> None:
    paths = (path for path in (_ROOT / "tests").rglob("test_*.py") if path != Path(__file__))
    marked = [path.relative_to(_ROOT).parts[1] for path in paths if "mark.slow" in path.read_text(encoding="utf-8")]
    assert marked == ["unit"] * 5

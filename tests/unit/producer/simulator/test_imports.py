"""The referee knows nothing of those it judges."""

from __future__ import annotations

import ast
from pathlib import Path

_FOLDER = Path(__file__).parents[4] / "producer" / "simulator"
_JUDGED = ("models", "worker", "producer", "migrations", "genai_prices", "anthropic")
_OWN = "producer.simulator"


def _imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name for name in names if not f"{name}.".startswith(f"{_OWN}.")}


def test_the_simulator_imports_nothing_of_the_project_nor_its_price_library() -> None:
    files = sorted(_FOLDER.rglob("*.py"))
    assert len(files) > 25
    assert [path.name for path in files for name in _imports(path) if name.split(".")[0] in _JUDGED] == []

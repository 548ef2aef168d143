"""The referee knows nothing of those it judges."""

from __future__ import annotations

import ast
from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "simulator"
_JUDGED = {"models", "worker", "producer", "migrations", "genai_prices", "anthropic"}


def _imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names}


def test_the_simulator_imports_nothing_of_the_project_nor_its_price_library() -> None:
    files = sorted(_FOLDER.glob("*.py"))
    assert len(files) > 10
    assert [path.name for path in files if _imports(path) & _JUDGED] == []

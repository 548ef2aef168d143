"""The matrix in tests/README.md: every fault has its row, and every test it names is there."""

import re
from pathlib import Path

_TESTS = Path(__file__).parents[1]
_MATRIX = (_TESTS / "README.md").read_text(encoding="utf-8").partition("### The matrix")[2]
_FAULTS = 62


def test_every_fault_has_its_row() -> None:
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", _MATRIX, re.MULTILINE)] == list(range(1, _FAULTS + 1))


def test_every_test_it_names_is_there() -> None:
    written = "\n".join(path.read_text(encoding="utf-8") for path in _TESTS.rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", _MATRIX)
    assert len(named) > 40
    assert [name for name in named if f"def {name}(" not in written] == []

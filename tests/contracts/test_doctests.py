"""The examples in docstrings are true."""

import doctest
import importlib
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PACKAGES = ("models", "producer", "worker")
_MODULES = sorted(
    ".".join(path.relative_to(_ROOT).with_suffix("").parts)
    for package in _PACKAGES
    for path in (_ROOT / package).rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", _MODULES)
def test_every_example_in_a_docstring_holds(name: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried > 0
    assert failed == 0


def test_there_are_examples_to_hold() -> None:
    assert "models.money.pricing" in _MODULES

"""The wheel asks for all it imports. `make wheel` runs it with the newest and the oldest versions it allows."""

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.support.sites.command_line import stranger_in
from tests.wheel import built, dependencies

OURS = {"models", "producer", "worker", "migrations", "tests"}
EXTRAS = {
    "mcp": ("producer/mcp/",),
    "anyio": ("producer/mcp/",),
    "pyarrow": ("producer/output/export_file.py",),
}
EXAMPLES = "tests/examples/"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build it."""
    return built(tmp_path_factory.mktemp("wheel"))


def imports(wheel: Path) -> Iterator[tuple[str, str]]:
    """List what its files import: the file, and the package at the top."""
    with ZipFile(wheel) as files:
        for name in files.namelist():
            if name.endswith(".py") and not name.startswith(EXAMPLES):
                for node in ast.walk(ast.parse(files.read(name))):
                    match node:
                        case ast.Import(names=names):
                            yield from ((name, alias.name.partition(".")[0]) for alias in names)
                        case ast.ImportFrom(module=str(module)):
                            yield name, module.partition(".")[0]


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def test_every_package_it_imports_is_one_it_asks_for(wheel: Path) -> None:
    asked = {_plain(re.split(r"[\[>=<; ]", one)[0]) for one in dependencies()}
    # Of what an extra of another package brings, that package is asked for by name: anthropic[aiohttp].
    asked |= {"aiohttp", "httpx2", "pydantic", "pydantic-core", "click"}
    names = packages_distributions()
    missing = {
        (file, package)
        for file, package in imports(wheel)
        if package not in OURS | sys.stdlib_module_names
        and not (package in EXTRAS and file.startswith(EXTRAS[package]))
        and not {_plain(name) for name in names.get(package, ())} & asked
    }
    assert missing == set()


def test_what_kombu_needs_for_redis_and_does_not_ask_for_is_asked_for() -> None:
    assert any(dependency.startswith("packaging") for dependency in dependencies())


def test_each_dependency_says_from_which_version_on_it_will_do() -> None:
    assert [one for one in dependencies() if not re.match(r"[\w.-]+(\[[\w,]+\])?>=\d", one)] == []


def test_it_tells_its_version(wheel: Path, tmp_path: Path) -> None:
    version = wheel.name.split("-")[1]
    assert stranger_in(tmp_path).types("--version").out == f"stepdown {version}\n"

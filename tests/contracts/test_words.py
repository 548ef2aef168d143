"""The house rules that a linter does not know: short files, short functions, one word per idea."""

import ast
import re
import subprocess
import tokenize
from collections import Counter
from functools import cache
from pathlib import Path

from models.settings import Settings

_ROOT = Path(__file__).parents[2]
_FOLDERS = ("models", "worker", "producer", "migrations", "tests")
_CASES = _ROOT / "tests" / "cases"
_LONGEST_FILE = 300
_LONGEST_FUNCTION = 40
_MOST_FILES = 12
_PRODUCT = ("models", "worker", "producer", "migrations")
_ADMISSION = _ROOT / "worker" / "admission"
_LONGEST_SCRIPT, _LONGEST_SCRIPT_FILE, _LONGEST_LINE = 340, 120, 120
_OF_THE_HOST = {"FORGET_MS", "time"}
# Words that others of GLOSSARY.md replaced: as files, and as names of any kind.
_OLD_FILES = re.compile(
    r"turnstile|turn|held_back|staying|judged|raising|receipt|fit|known|desk|office|house|patrol|checkup|pulse|"
    r"clock|rolling|books|life|kinds|expects|branch|verdict|facts|bound|size|prefix|arrivals|claiming|"
    r"reservations|prepared|orders|trees|candidates|unseen|questions|bills|readonly|roles|learned|recorded|"
    r"starts|served|pace|shares|keys|embedded|base|daily|ring|laid|alike|repeats|content|span|check|fields|"
    r"expect|foresee|counted|show|replacing|days|stage|exits|visit|refusal|waiting|bodies|params|labels|"
    r"own_api|told|asked|decided|why|drift|sheet|billing|shapes|kept|spooled"
)
_OLD_NAMES = re.compile(
    r"turnstile|Turnstile|Need|Go|Later|Room|ModelCooling|ModelBack|FleetAlone|FleetTogether|desk|Desk|office|"
    r"Office|House|Place|Span|Raise|Decided|InHand|Gate|Streaks|Terms|How|Ways|Form|Recipe|Told|Asked|Oracle|"
    r"Why|said|told|tells|hear|heard|heed|figures|why|passed_over|why_closed|take_turn|has_lost_all|ripen|"
    r"held_back|cooling|in_hand|patrol|checkup|pulse|arrivals|foresee|laid|oracle|oracle_of|ways"
)
_NO_NAMES = ("Manager", "Helper", "Util", "Handler", "Service", "Impl", "Data", "Info")


def _files() -> list[Path]:
    paths = [path for folder in _FOLDERS for path in sorted((_ROOT / folder).rglob("*.py"))]
    return [path for path in paths if _CASES not in path.parents]  # a case is kept as it was found


@cache
def _nodes() -> list[tuple[Path, ast.AST]]:
    trees = {path.relative_to(_ROOT): ast.parse(path.read_text(encoding="utf-8")) for path in _files()}
    return [(path, node) for path, tree in trees.items() for node in ast.walk(tree)]


def test_the_rules_are_asked_of_every_folder() -> None:
    assert {path.relative_to(_ROOT).parts[0] for path in _files()} == set(_FOLDERS)


def test_no_file_is_longer_than_300_lines() -> None:
    lengths = {path.relative_to(_ROOT): len(path.read_text(encoding="utf-8").splitlines()) for path in _files()}
    assert {str(path): length for path, length in lengths.items() if length > _LONGEST_FILE} == {}


def test_no_folder_of_the_product_has_more_than_12_files() -> None:
    listed = subprocess.check_output(["git", "ls-files", *_PRODUCT], cwd=_ROOT, text=True).splitlines()
    counts = Counter(str(Path(name).parent) for name in listed if not name.endswith("/__init__.py"))
    assert counts
    assert {folder: count for folder, count in counts.items() if count > _MOST_FILES} == {}


def test_the_admission_script_is_at_most_340_lines_in_files_of_at_most_120() -> None:
    lines = {path.name: path.read_text(encoding="utf-8").splitlines() for path in _ADMISSION.glob("lua/*.lua")}
    assert lines
    assert sum(map(len, lines.values())) <= _LONGEST_SCRIPT
    assert {name: len(each) for name, each in lines.items() if len(each) > _LONGEST_SCRIPT_FILE} == {}
    assert [line for each in lines.values() for line in each if len(line) > _LONGEST_LINE] == []


def test_every_constant_of_admission_is_in_its_readme() -> None:
    readme = (_ADMISSION / "README.md").read_text(encoding="utf-8")
    named = re.compile(r"^local ([A-Z_, ]+) = [\d.]", re.MULTILINE)
    text = "".join(path.read_text(encoding="utf-8") for path in _ADMISSION.glob("lua/*.lua"))
    names = {name for match in named.finditer(text) for name in match[1].split(", ")}
    assert {name for name in names - _OF_THE_HOST if f"`{name}`" not in readme} == set()


def test_every_setting_is_told_in_a_readme() -> None:
    reported = "".join((_ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "worker/README.md"))
    assert [name for name in Settings.model_fields if f"`{name.upper()}`" not in reported] == []


def test_no_function_is_longer_than_40_lines() -> None:
    lengths = {
        f"{path}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path, node in _nodes()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: length for name, length in lengths.items() if length > _LONGEST_FUNCTION} == {}


def test_no_class_is_named_after_nothing() -> None:
    names = [f"{path}: {node.name}" for path, node in _nodes() if isinstance(node, ast.ClassDef)]
    assert [name for name in names if name.endswith(_NO_NAMES)] == []


def test_files_and_functions_say_what_they_are_for() -> None:
    bare = [
        str(path.relative_to(_ROOT))
        for path in _files()
        if (text := path.read_text(encoding="utf-8")).strip() and not ast.get_docstring(ast.parse(text))
    ]
    assert bare == []


def test_no_file_and_no_name_is_an_old_word() -> None:
    paths = [path for path in _files() if "simulator" not in path.parts]
    found = {str(path.relative_to(_ROOT)) for path in paths if _OLD_FILES.fullmatch(path.stem.removeprefix("test_"))}
    for path in paths:
        with tokenize.open(path) as file:
            names = {token.string for token in tokenize.generate_tokens(file.readline) if token.type == tokenize.NAME}
        found |= {f"{path.relative_to(_ROOT)}: {name}" for name in names if _OLD_NAMES.fullmatch(name)}
    assert found == set()

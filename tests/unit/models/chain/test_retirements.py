"""When models end is known from the SDK's own list, read without importing the SDK."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from anthropic.resources.messages.messages import DEPRECATED_MODELS

from models.chain.retirements import retirement_day, retirements


def test_the_list_is_the_sdks_own() -> None:
    listed = retirements()
    assert listed == {model: retirement_day(text) for model, text in DEPRECATED_MODELS.items()}
    assert len(DEPRECATED_MODELS) > 10


@pytest.mark.parametrize("place", ["_data/deprecated_models.py", "resources/messages/messages.py"])
def test_the_list_is_found_in_either_place_of_the_sdk(tmp_path: Path, place: str) -> None:
    for name in ("_data/deprecated_models.py", "resources/messages/messages.py"):
        path = tmp_path / "anthropic" / name
        path.parent.mkdir(parents=True)
        listed = 'DEPRECATED_MODELS: Dict[str, str] = {"old": "June 2nd, 2026"}' if name == place else "import os"
        path.write_text(f"{listed}\n", encoding="utf-8")
    (tmp_path / "anthropic" / "__init__.py").touch()
    look = "from models.chain.retirements import retirements; print(retirements())"
    environment = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[4]}"}
    reported = subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, env=environment)
    assert reported.stdout == b"{'old': datetime.date(2026, 6, 2)}\n"


def test_sonnet_4_5_ends_on_30_november_2026_by_either_of_its_names() -> None:
    listed = retirements() or {}
    assert listed["claude-sonnet-4-5"] == listed["claude-sonnet-4-5-20250929"] == date(2026, 11, 30)


def test_the_sdk_is_not_imported_for_it() -> None:
    look = "import sys; from models.chain import retirements as r; r.retirements(); print('anthropic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], check=True, capture_output=True).stdout == b"False\n"


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("January 1st, 2027", date(2027, 1, 1)),
        ("June 2nd, 2026", date(2026, 6, 2)),
        ("March 3rd, 2026", date(2026, 3, 3)),
        ("December 24, 2026", date(2026, 12, 24)),
    ],
)
def test_days_are_read_as_the_sdk_writes_them(text: str, day: date) -> None:
    assert retirement_day(text) == day


@pytest.mark.parametrize("text", ["soon", "2026-11-30", "Brumaire 9th, 2026", "February 30th, 2026"])
def test_a_day_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        retirement_day(text)


def test_a_list_with_a_type_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "messages.py"
    path.write_text('import os\n\nDEPRECATED_MODELS: dict[str, str] = {"old": "June 2nd, 2026"}\n', encoding="utf-8")
    assert retirements(path) == {"old": date(2026, 6, 2)}


@pytest.mark.parametrize(
    "written",
    [
        "",
        "DEPRECATED = {}",
        "DEPRECATED_MODELS = known()",
        'DEPRECATED_MODELS = ["old"]',
        'DEPRECATED_MODELS = {"old": "soon"}',
        'DEPRECATED_MODELS = {"old": 7}',
        "DEPRECATED_MODELS = {",
        None,
    ],
)
def test_a_list_that_cannot_be_read_is_none_never_empty(tmp_path: Path, written: str | None) -> None:
    path = tmp_path / "messages.py"
    if written is not None:
        path.write_text(written, encoding="utf-8")
    assert retirements(path) is None

"""When models end, as the installed Anthropic SDK knows it. Its source is read, not imported: that takes 1.5 s."""

import ast
import re
from collections.abc import Mapping
from datetime import date
from importlib.util import find_spec
from pathlib import Path

LIST = "DEPRECATED_MODELS in anthropic/resources/messages/messages.py"
_NAME, _, _FILE = LIST.partition(" in anthropic/")
_DAY = re.compile(r"([A-Z][a-z]+) (\d{1,2})(?:st|nd|rd|th)?, (\d{4})")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


def retirements(source: Path | None = None) -> Mapping[str, date] | None:
    """List each deprecated model with the day it ends; None where the list cannot be read.

    `source` is the file that holds it: left out, that of the installed SDK.
    """
    path = source or _installed()
    if path is None:
        return None
    try:
        listed = ast.literal_eval(_assigned(path))
        return {model: retirement_day(text) for model, text in listed.items()}
    except (OSError, SyntaxError, LookupError, ValueError, TypeError, AttributeError):
        return None


def retirement_day(text: str) -> date:
    """Read a day as the SDK writes it, whatever language this machine speaks. Raises ValueError.

    >>> retirement_day("November 30th, 2026")
    datetime.date(2026, 11, 30)
    """
    found = _DAY.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no day such as November 30th, 2026")
    return date(int(found[3]), _MONTHS.index(found[1]) + 1, int(found[2]))


def _installed() -> Path | None:
    spec = find_spec("anthropic")  # of a top package: finds it without importing it
    folders = spec.submodule_search_locations if spec is not None else None
    return Path(folders[0]) / _FILE if folders else None


def _assigned(path: Path) -> ast.expr:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name == _NAME:
                return value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if name == _NAME:
                return value
    raise LookupError(_NAME)

"""The last day of each model, by the list of the installed Anthropic SDK. An import takes 1.5 s: the text is read."""

import ast
import re
from collections.abc import Iterator, Mapping
from datetime import date
from importlib.util import find_spec
from pathlib import Path

LIST = "DEPRECATED_MODELS of anthropic"
_NAME = "DEPRECATED_MODELS"
_FILES = ("resources/messages/messages.py", "_data/deprecated_models.py")  # the place of the list up to 2.13, and since
_DAY = re.compile(r"([A-Z][a-z]+) (\d{1,2})(?:st|nd|rd|th)?, (\d{4})")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


def retirements(source: Path | None = None) -> Mapping[str, date] | None:
    """Return each deprecated model with its last day. Returns None if the list cannot be read.

    `source` is the file that holds the list, None for the file of the installed SDK.
    """
    read = map(_read, [source] if source else _installed())
    return next((listed for listed in read if listed is not None), None)


def retirement_day(text: str) -> date:
    """Return the date of a day in the SDK's form, in any locale of this machine. Raises ValueError.

    >>> retirement_day("November 30th, 2026")
    datetime.date(2026, 11, 30)
    """
    found = _DAY.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no day such as November 30th, 2026")
    return date(int(found[3]), _MONTHS.index(found[1]) + 1, int(found[2]))


def _installed() -> Iterator[Path]:
    spec = find_spec("anthropic")  # of a top package: found without an import
    for folder in (spec.submodule_search_locations if spec is not None else None) or ():
        yield from (Path(folder) / name for name in _FILES)


def _read(path: Path) -> Mapping[str, date] | None:
    try:
        listed = ast.literal_eval(_assigned(path))
        return {model: retirement_day(text) for model, text in listed.items()}
    except (OSError, SyntaxError, LookupError, ValueError, TypeError, AttributeError):
        return None


def _assigned(path: Path) -> ast.expr:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name == _NAME:
                return value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if name == _NAME:
                return value
    raise LookupError(_NAME)

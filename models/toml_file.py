"""Reads a TOML file that a person wrote."""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from models.errors import Mistake, SettingsError
from models.validation import Problem

_Value = TypeVar("_Value")


def read_toml(path: Path, *, parse_float: Callable[[str], Any] = float) -> dict[str, Any]:
    """Return a file's tables; `parse_float` is Decimal for files with money. Raises ValueError with the fix."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"), parse_float=parse_float)
    except OSError as error:
        problem = f"cannot be read ({error.strerror}); name a TOML file"
    except UnicodeDecodeError:
        problem = "is no UTF-8 text; save it as UTF-8"
    except tomllib.TOMLDecodeError as error:
        problem = f"is no TOML: {error}"
    except (ValueError, RecursionError):
        problem = "holds a number or a list that nobody writes"
    raise ValueError(problem)


def read_tables(
    path: Path,
    read: Callable[[str, Mapping[str, Any]], tuple[_Value | None, list[Problem]]],
    *,
    variable: str,
    kind: str,
    parse_float: Callable[[str], Any] = float,
) -> dict[str, _Value]:
    """Read the file of a setting, which has a table for each `kind`, by name.

    `read` takes a name and its table. Raises SettingsError with every mistake.
    """
    try:
        tables = read_toml(path, parse_float=parse_float)
    except ValueError as error:
        raise SettingsError([Mistake(variable=variable, value=str(path), fix=str(error))]) from None
    values, fixes = dict[str, _Value](), list[str]()
    for name, table in tables.items():
        if not isinstance(table, dict):
            fixes.append(f"{name}: is no table: begin each {kind} with [its-name]")
            continue
        value, problems = read(name, table)
        fixes += [f"[{name}] {field}: {fix}" for field, fix in problems]
        values |= {} if value is None else {name: value}
    if fixes:
        raise SettingsError([Mistake(variable=variable, value=str(path), fix=fix) for fix in fixes])
    return values

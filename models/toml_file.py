"""Reads a TOML file that a person wrote."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any


def read_toml(path: Path, *, parse_float: Callable[[str], Any] = float) -> dict[str, Any]:
    """Read a file's tables; Decimal for those with money in them. Raises ValueError that says what would be right."""
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

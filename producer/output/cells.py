"""Values as files take them: a cell that no spreadsheet runs, a line of JSON that every reader takes as one."""

import json
import re
from collections.abc import Mapping
from typing import Any

_UNWRITABLE_IN_JSON = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_UNWRITABLE_IN_CSV = re.compile("[\0\ud800-\udfff]")
_HALVES = re.compile("[\ud800-\udfff]")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - as OWASP lists them
_PLAIN_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def json_line(value: Mapping[str, Any]) -> str:
    """Write a value as one line that every reader takes as one, and that any terminal survives."""
    line = json.dumps(value, ensure_ascii=False)
    return _UNWRITABLE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", line) + "\n"


def csv_cell(value: str | int | None) -> str:
    """Write a cell that no spreadsheet runs as a formula: an apostrophe keeps it text.

    Source: OWASP, "CSV Injection".

    >>> csv_cell("=1+1"), csv_cell("-12.5"), csv_cell(None)
    ("'=1+1", '-12.5', '')
    """
    text = _UNWRITABLE_IN_CSV.sub("\ufffd", "" if value is None else str(value))
    return f"'{text}" if text.startswith(_FORMULA_STARTS) and not _PLAIN_NUMBER.fullmatch(text) else text


def whole(text: str) -> str:
    r"""Write text that any encoding takes: half a surrogate pair as the mark of what could not be read.

    >>> whole("a\ud800b") == "a\ufffdb"
    True
    """
    return _HALVES.sub("\ufffd", text)

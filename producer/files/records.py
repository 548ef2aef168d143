"""Reads bytes as records: the fields of each line of text or JSON, before any record is a prompt."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple, NoReturn, TypeAlias

from models.errors import InputError
from producer.files.lines import elements, is_list, lines
from producer.files.open_source import head_of

_A_LINE = "; write one object a line"
_AN_ELEMENT = " in the list"


class Record(NamedTuple):
    """The fields of a line; `line` is the first line (from 1) of a record of several."""

    line: int
    fields: dict[str, Any]


Records: TypeAlias = Iterator[Record | InputError]


def refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python's reader takes."""
    raise ValueError(f"{name} is not a JSON value")


from_json = json.JSONDecoder(parse_constant=refuse_constant).decode


def read_text(file: BinaryIO, source: str) -> Records:
    """Read a prompt from each line that is not blank."""
    for line, raw in lines(file):
        text = decoded(raw, source, line)
        yield text if isinstance(text, InputError) else Record(line=line, fields={"prompt": text})


def read_jsonl(file: BinaryIO, source: str) -> Records:
    """Read a JSON object from each line that is not blank, a whole list, or the `requests` of a batch."""
    is_one_list = is_list(head_of(file))
    for line, raw in elements(file) if is_one_list else lines(file):
        text = decoded(raw, source, line)
        fix = _AN_ELEMENT if is_one_list else _A_LINE
        yield text if isinstance(text, InputError) else _json_record(text, source, line, fix)


def check_columns(
    names: Sequence[str], needed: Sequence[tuple[str, str]], *, source: str, line: int | None = None, ending: str = ""
) -> None:
    """Raise InputError if a needed column is missing, or two columns share a name; `ending` ends the first message."""
    counts = Counter(names)
    for asker, column in needed:
        if column not in counts:
            raise missing_column(asker, column, names, source=source, line=line, ending=ending)
    for name, count in counts.items():
        if count > 1:
            fix = (
                f"two columns are named {name!r}; rename one" if name else "two columns have no name; name or drop them"
            )
            raise InputError(fix, source=source, line=line)


def missing_column(
    asker: str, column: str, columns: Sequence[str], *, source: str, line: int | None, ending: str = ""
) -> InputError:
    """Name the missing column, and the columns of the source."""
    hint = "; rename one, or use a template" if asker == "prompt" else ""
    problem = f"no column {column!r}; the columns are {', '.join(map(repr, columns)) or 'none'}{ending}{hint}"
    return InputError(problem, source=source, line=line, field=asker)


def decoded(raw: bytes | str, source: str, line: int) -> str | InputError:
    """Read bytes as text; a text is a mistake that was found in the bytes already."""
    if isinstance(raw, str):
        return InputError(raw, source=source, line=line)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 (byte 0x{raw[error.start]:02x}); save the file as UTF-8"
        return InputError(problem, source=source, line=line)


def _json_record(text: str, source: str, line: int, fix: str) -> Record | InputError:
    try:
        value = from_json(text)
    except json.JSONDecodeError as error:
        problem = f"is not JSON: {error.msg} at character {error.colno}{fix}"
        line += error.lineno - 1
    except (ValueError, RecursionError) as error:
        problem = f"cannot be read as JSON: {error}"
    else:
        if isinstance(value, dict):
            return Record(line=line, fields=value)
        problem = f"is a JSON {type(value).__name__}, not an object{fix}"
    return InputError(problem, source=source, line=line)

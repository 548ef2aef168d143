"""Reads prompts from a file or from stdin, and tells every line that cannot be one."""

import codecs
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeAlias

from models.errors import InputError
from producer.check import check, check_id
from producer.formats import Record, Records, read_csv, read_jsonl, read_text
from producer.prompt import Prompt
from producer.shapes import Recipe, filled, message_batch, plain, row
from producer.template import TemplateError, parse_template

STDIN = "-"
FORMATS = ("jsonl", "text", "csv", "anthropic")
_BY_SUFFIX = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".txt": "text",
    ".md": "text",
    ".csv": "csv",
    ".tsv": "csv",
}
_Make: TypeAlias = Callable[[Record, Recipe], Prompt | InputError]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The prompts that are in order, and one mistake for each line (or file) that is not."""

    prompts: list[Prompt]
    mistakes: list[InputError]


def load(
    source: str,
    *,
    format: str | None = None,  # noqa: A002 - the option's own name
    template: str | None = None,
    id_column: str | None = None,
    max_tokens: int | None = None,
    stdin: BinaryIO | None = None,
) -> Loaded:
    """Read every prompt of a file, or of stdin where `source` is "-".

    The format (jsonl, text, csv or anthropic) is told by the file's name, or by the first line of stdin.
    `template` makes prompts of columns ({column}); `max_tokens` is for prompts that name none themselves.
    Never raises for what the input holds: the caller decides whether a mistake stops everything.
    """
    try:
        recipe = _recipe(_name(source), template, id_column, max_tokens)
        data = _bytes(source, stdin)
        return _loaded(*_reader(data, format or _format(source, data), recipe), recipe)
    except InputError as mistake:
        return Loaded(prompts=[], mistakes=[mistake])


def _name(source: str) -> str:
    return "stdin" if source == STDIN else source


def _recipe(source: str, template: str | None, id_column: str | None, max_tokens: int | None) -> Recipe:
    try:
        parsed = None if template is None else parse_template(template)
    except TemplateError as error:
        raise InputError(str(error), source=source, field="template") from None
    return Recipe(source=source, template=parsed, id_column=id_column, max_tokens=max_tokens)


def _bytes(source: str, stdin: BinaryIO | None) -> bytes:
    if source == STDIN and stdin is None and sys.stdin is None:
        raise InputError("is closed; pipe prompts into it, or name a file", source=_name(source))
    try:
        data = (stdin or sys.stdin.buffer).read() if source == STDIN else Path(source).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot be read: {reason}; name a readable file, or - for stdin", source=_name(source)
        ) from None
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError("is UTF-16; save it as UTF-8", source=_name(source))
    return data.removeprefix(codecs.BOM_UTF8)


def _format(source: str, data: bytes) -> str:
    if source != STDIN:
        suffix = Path(source).suffix.lower()
        if suffix not in _BY_SUFFIX:
            problem = f"has a name that does not tell its format; end it in {', '.join(_BY_SUFFIX)} or give a format"
            raise InputError(problem, source=source)
        return _BY_SUFFIX[suffix] if _BY_SUFFIX[suffix] != "jsonl" else _json_kind(data)
    return _json_kind(data) if data.lstrip().startswith((b"{", b"[")) else "text"


def _json_kind(data: bytes) -> str:
    objects = (record.fields for record in read_jsonl(data, "") if isinstance(record, Record))
    return "anthropic" if {"custom_id", "params"} <= next(objects, {}).keys() else "jsonl"


def _reader(data: bytes, format: str, recipe: Recipe) -> tuple[Records, _Make]:  # noqa: A002 - as in load
    if recipe.source.endswith(".json") and data.lstrip().startswith(b"["):
        problem = "is a JSON list; write one object a line, as jq -c '.[]' does"
        raise InputError(problem, source=recipe.source)
    if format in {"text", "anthropic"} and (recipe.template or recipe.id_column):
        field = "template" if recipe.template else "id_column"
        raise InputError(f"needs columns, and {format} has none; use jsonl or csv", source=recipe.source, field=field)
    match format:
        case "jsonl":
            return read_jsonl(data, recipe.source), _filling(recipe) or plain
        case "csv":
            return read_csv(data, recipe.source, _needed(recipe)), _filling(recipe) or row
        case "text":
            return read_text(data, recipe.source), plain
        case "anthropic":
            return read_jsonl(data, recipe.source), message_batch
        case _:
            problem = f"{format!r} should be one of {', '.join(FORMATS)}"
            raise InputError(problem, source=recipe.source, field="format")


def _filling(recipe: Recipe) -> _Make | None:
    return None if recipe.template is None else partial(filled, template=recipe.template)


def _needed(recipe: Recipe) -> list[tuple[str, str]]:
    columns = recipe.template.columns if recipe.template else ()
    needed = [("template", column) for column in columns] or [("prompt", "prompt")]
    return [*needed, ("id_column", recipe.id_column)] if recipe.id_column else needed


def _loaded(records: Records, make: _Make, recipe: Recipe) -> Loaded:
    prompts: list[Prompt] = []
    mistakes: list[InputError] = []
    used: dict[str, int] = {}
    for record in records:
        position = len(prompts) + 1
        made = _checked(record, make, recipe, position=position, used=used)
        if isinstance(made, Prompt):
            prompts.append(made)
        else:
            mistakes.append(made)
    if not prompts and not mistakes:
        raise InputError("holds no prompts", source=recipe.source)
    return Loaded(prompts=prompts, mistakes=mistakes)


def _checked(
    record: Record | InputError, make: _Make, recipe: Recipe, *, position: int, used: dict[str, int]
) -> Prompt | InputError:
    if isinstance(record, InputError):
        return record
    made = make(record, recipe)
    if isinstance(made, InputError):
        return made
    mistake = check(made, source=recipe.source, line=record.line)
    mistake = mistake or check_id(made, position=position, source=recipe.source, line=record.line, used=used)
    return mistake or made

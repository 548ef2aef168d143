"""Makes a prompt of a record: a line with fields, a filled template, or a line of a message batch."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from reprlib import repr as shown
from typing import Any

from models.errors import InputError
from producer.files.records import Record, missing_column
from producer.prompt.check_prompt import MAX_REQUEST_BYTES
from producer.prompt.prompt import DEFAULT_MAX_TOKENS, Prompt
from producer.prompt.template import Template

OWN_FIELDS = ("system", "max_tokens", "task", "start", "floor", "ceiling")
_NO_COLUMNS = frozenset({"prompt", "messages", *OWN_FIELDS})
_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # the vendor's own rule
API_PARAMETERS = frozenset({
    "model", "stop_sequences", "stream", "temperature", "thinking", "tool_choice", "tools", "top_k", "top_p",
})  # fmt: skip
_MOST_DIGITS = 18  # Python reads 4,300 at most; no model writes as many tokens as eighteen nines
_BATCH_HINT = 'write API parameters as {"custom_id": ..., "params": {...}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """The options of reading a file. Without `format`, the name and the first line of the file decide.

    `template` makes prompts of columns ({column}). `max_tokens` is for prompts without their own. `models` are the
    chain's: a line of another vendor starts at its model only if the chain has that model. `separator` is for CSV.
    """

    format: str | None = None
    template: str | None = None
    id_column: str | None = None
    separator: str | None = None
    max_tokens: int | None = None
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """The options of reading a source as given in `form`, two of them parsed, and the findings of the reading.

    `ignored_models` are models outside the chain that lines of another vendor name: the chain ignores them.
    """

    source: str
    form: ReadOptions = ReadOptions()
    template: Template | None = None
    separator: str | None = None
    ignored_models: set[str] = field(default_factory=set)
    notes: dict[str, None] = field(default_factory=dict)  # in order, each once however often the file is read

    @property
    def default_max_tokens(self) -> int:
        """The output tokens of a prompt without its own `max_tokens`."""
        return DEFAULT_MAX_TOKENS if self.form.max_tokens is None else self.form.max_tokens

    def note(self, message: str) -> None:
        """Keep a note on how the source is read, to be printed once."""
        self.notes[f"{self.source}: {message}"] = None


def plain(record: Record, recipe: SourceOptions) -> Prompt | InputError:
    """Make a prompt of a JSONL line: `prompt` or `messages`, and its options by their own names."""
    fields = record.fields
    if ("prompt" in fields) == ("messages" in fields):
        return _wrong(record, recipe, "prompt", "give either prompt (a text) or messages (a list), or use a template")
    if not API_PARAMETERS.isdisjoint(fields):
        name = next(name for name in fields if name in API_PARAMETERS)
        hint = "name the model to begin with as start" if name == "model" else _BATCH_HINT
        return _wrong(record, recipe, name, f"would not be sent: {hint}")
    columns = {name: value for name, value in fields.items() if name not in _NO_COLUMNS}
    return _with_id(record, recipe, columns=as_columns(columns), options=_options(fields, recipe))


def row(record: Record, recipe: SourceOptions) -> Prompt | InputError:
    """Make a prompt of a CSV row with a `prompt` column; an empty cell is an option left out."""
    given = {name: record.fields[name] for name in OWN_FIELDS if record.fields.get(name)}
    if given.get("max_tokens", "").isdecimal():
        if len(given["max_tokens"]) > _MOST_DIGITS:
            return _wrong(
                record, recipe, "max_tokens", f"{shown(given['max_tokens'])} is more than any model can write"
            )
        given["max_tokens"] = int(given["max_tokens"])
    options = _options({"prompt": record.fields["prompt"], **given}, recipe)
    return _with_id(record, recipe, columns=record.fields, options=options)


def filled(record: Record, recipe: SourceOptions, *, template: Template) -> Prompt | InputError:
    """Make a prompt by filling the template; every field is a column, no field is an option."""
    columns = as_columns(record.fields)
    try:
        cells = [columns[name] for name in template.columns]
    except KeyError as missing:
        return missing_column("template", missing.args[0], [*columns], source=recipe.source, line=record.line)
    if not any(map(str.strip, cells)):
        problem = f"all of its columns are empty here ({', '.join(template.columns)})"
        return _wrong(record, recipe, "template", problem)
    if template.length(columns) > MAX_REQUEST_BYTES:
        problem = (
            f"makes more than {MAX_REQUEST_BYTES:,} characters of this row; the API takes no more: name less of it"
        )
        return _wrong(record, recipe, "template", problem)
    options = {"text": template.fill(columns), "max_tokens": recipe.default_max_tokens}
    return _with_id(record, recipe, columns=columns, options=options)


def message_batch(record: Record, recipe: SourceOptions) -> Prompt | InputError:
    """Make a prompt of an Anthropic message-batch line; `model` in its params names the start."""
    custom_id, params = record.fields.get("custom_id"), record.fields.get("params")
    if problem := custom_id_problem(custom_id):
        return _wrong(record, recipe, "custom_id", problem)
    if not isinstance(params, dict):
        problem = f"{shown(params)} should be an object of Messages API parameters"
        return _wrong(record, recipe, "params", problem)
    if recipe.form.max_tokens is not None:
        params = {"max_tokens": recipe.form.max_tokens, **params}
    others = {name: value for name, value in record.fields.items() if name not in {"custom_id", "params"}}
    return Prompt(id=custom_id, params=params, columns=as_columns(others))


def custom_id_problem(custom_id: object) -> str | None:
    """Return the reason why Anthropic would refuse a custom_id. Returns None for a valid custom_id."""
    if isinstance(custom_id, str) and _CUSTOM_ID.fullmatch(custom_id):
        return None
    return f"{shown(custom_id)} should be 1 to 64 of the characters a-z, A-Z, 0-9, _ and -"


def _options(fields: Mapping[str, Any], recipe: SourceOptions) -> dict[str, Any]:
    options = {"max_tokens": recipe.default_max_tokens}
    options |= {name: fields[name] for name in OWN_FIELDS if fields.get(name) is not None}
    if "prompt" in fields:
        return {"text": fields["prompt"], **options}
    params = {name: options.pop(name) for name in ("max_tokens", "system") if name in options}
    return {**options, "params": {**params, "messages": fields["messages"]}}


def _with_id(
    record: Record, recipe: SourceOptions, *, columns: dict[str, str], options: Mapping[str, Any]
) -> Prompt | InputError:
    """Add the id; a column named `id` that is the id does not come back as a column, too."""
    name = recipe.form.id_column or "id"
    found = record.fields.get(name)
    if name not in record.fields and recipe.form.id_column:
        return missing_column("id_column", name, [*record.fields], source=recipe.source, line=record.line)
    if found is None and not recipe.form.id_column:
        return Prompt(columns=columns, **options)
    if not (isinstance(found, str | int) and not isinstance(found, bool) and str(found).strip()):
        return _wrong(record, recipe, name, f"{shown(found)} should be text or a whole number")
    if name == "id":
        columns.pop("id", None)
    return Prompt(id=str(found), columns=columns, **options)


def as_columns(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return a text unchanged, None as an empty text, and any other value as JSON."""
    return {
        name: value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
        for name, value in fields.items()
    }


def _wrong(record: Record, recipe: SourceOptions, field: str, problem: str) -> InputError:
    return InputError(problem, source=recipe.source, line=record.line, field=field)

"""Reads prompts from a file or from stdin, and tells every line that cannot be one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO, TypeAlias

from models.errors import InputError, InputMistakes
from producer.files.csv_rows import called, read_csv, separator_in, separator_of
from producer.files.open_source import PARQUET_MARK, STDIN, head_of, name_of, opened, telling_unreadable
from producer.files.openai_lines import chat_completion
from producer.files.parquet import read_parquet
from producer.files.record_to_prompt import OWN_FIELDS, Form, Recipe, filled, message_batch, plain, row
from producer.files.records import Record, Records, read_jsonl, read_text
from producer.prompt.check_prompt import check, check_id
from producer.prompt.duplicates import Repeats
from producer.prompt.prompt import Prompt
from producer.prompt.template import TemplateError, parse_template

FORMATS = ("jsonl", "text", "csv", "parquet", "anthropic", "openai")
_BY_SUFFIX = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".txt": "text",
    ".md": "text",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
_WITHOUT_COLUMNS = ("text", "anthropic", "openai")
AS_IT_IS = Form()
_Make: TypeAlias = Callable[[Record, Recipe], Prompt | InputError]
Judge: TypeAlias = Callable[[Prompt, str, int], InputError | None]  # given its source and line


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The prompts that are in order, one mistake for each line (or file) that is not, and how the file was read."""

    prompts: list[Prompt]
    mistakes: list[InputError]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFile:
    """An open file of prompts, read anew each time it is asked for them; none is kept.

    `leave_out` is told each bad line that is left out; None: a bad line is not forgiven. `judge` finds what is wrong
    with a prompt that would do in another chain.
    """

    file: BinaryIO
    start: int
    format: str | None
    recipe: Recipe
    source: str
    leave_out: Callable[[InputError], None] | None = None
    judge: Judge | None = None

    @property
    def unheeded_models(self) -> set[str]:
        """The models that lines of another vendor named; complete once they were read."""
        return self.recipe.unheeded_models

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes on how the file was read; complete after the last prompt."""
        return (*self.recipe.notes,)

    def prompts(self) -> Iterator[Prompt]:
        """Read them in order. Raises InputMistakes: at once for the file itself, else behind its last line.

        From the first bad line on no more is given, and the rest only looked through.
        """
        try:
            yield from self._unforgiving() if self.leave_out is None else self._forgiving(self.leave_out)
        except InputError as mistake:
            raise InputMistakes([mistake]) from None

    def exactly(self) -> Iterator[Prompt | InputError]:
        """Read every line, as a prompt or as what is wrong with it; every id is kept, to compare it."""
        return self._made(used={})

    def _unforgiving(self) -> Iterator[Prompt]:
        ids = Repeats()
        for made in self._made(ids=ids):
            if isinstance(made, InputError):
                break
            yield made
        else:
            if not ids.repeated():  # by their hashes: else each id is compared with all before it
                return
        if mistakes := InputMistakes.first(made for made in self.exactly() if isinstance(made, InputError)):
            raise mistakes

    def _forgiving(self, leave_out: Callable[[InputError], None]) -> Iterator[Prompt]:
        count = 0
        for made in self.exactly():
            if isinstance(made, Prompt):
                count += 1
                yield made
            else:
                leave_out(made)
        if not count:
            raise InputError("holds nothing but bad lines", source=self.recipe.source)

    def _made(self, *, ids: Repeats | None = None, used: dict[str, int] | None = None) -> Iterator[Prompt | InputError]:
        position = 1
        records, make = self._reader()
        for record in _telling(records, self.source):
            made = record if isinstance(record, InputError) else _checked(record, make, self.recipe, self.judge)
            if isinstance(made, Prompt) and isinstance(record, Record):
                if ids is not None:
                    ids.add(made.id or str(position))
                elif used is not None:
                    found = check_id(made, position=position, source=self.recipe.source, line=record.line, used=used)
                    made = found or made
            position += isinstance(made, Prompt)
            yield made

    def _reader(self) -> tuple[Records, _Make]:
        self.file.seek(self.start)
        head = head_of(self.file)
        chosen = self.format or _format(self.source, head, self.file)
        self.file.seek(self.start)
        return _read(self.file, chosen, self.recipe)


@contextmanager
def opened_prompts(source: str, form: Form = AS_IT_IS, *, stdin: BinaryIO | None = None) -> Iterator[PromptFile]:
    """Open a file of prompts, or stdin where `source` is "-", for a block. Raises InputError where it cannot."""
    recipe = _recipe(name_of(source), form)
    with opened(source, stdin) as file:
        yield PromptFile(file=file, start=file.tell(), format=form.format, recipe=recipe, source=source)


def load(source: str, form: Form = AS_IT_IS, *, judge: Judge | None = None, stdin: BinaryIO | None = None) -> Loaded:
    """Read every prompt of a file, or of stdin where `source` is "-"; `judge` is as in PromptFile.

    Never raises for what the input holds: the caller decides whether a mistake stops everything.
    """
    try:
        with opened_prompts(source, form, stdin=stdin) as prompts:
            made = [*replace(prompts, judge=judge).exactly()]
            notes = prompts.notes
    except InputError as mistake:
        return Loaded(prompts=[], mistakes=[mistake])
    return Loaded(
        prompts=[one for one in made if isinstance(one, Prompt)],
        mistakes=[one for one in made if isinstance(one, InputError)],
        notes=notes,
    )


def _recipe(source: str, form: Form) -> Recipe:
    try:
        template = None if form.template is None else parse_template(form.template)
    except TemplateError as error:
        raise InputError(str(error), source=source, field="template") from None
    try:
        separator = None if form.separator is None else separator_of(form.separator)
    except ValueError as error:
        raise InputError(str(error), source=source, field="separator") from None
    return Recipe(
        source=source,
        template=template,
        id_column=form.id_column,
        separator=separator,
        max_tokens=form.max_tokens,
        models=form.models,
    )


def _telling(records: Records, source: str) -> Records:
    """Pass records on; a file that fails or is empty is a mistake of its own."""
    with telling_unreadable(source):
        first = next(records, None)
        if first is None:
            raise InputError("holds no prompts", source=name_of(source))
        yield from chain([first], records)


def _format(source: str, head: bytes, file: BinaryIO) -> str:
    if source == STDIN:
        known = "jsonl" if head.lstrip().startswith((b"{", b"[")) else "text"
        known = "parquet" if head.startswith(PARQUET_MARK) else known
    elif (suffix := Path(source).suffix.lower()) in _BY_SUFFIX:
        known = _BY_SUFFIX[suffix]
    else:
        problem = f"has a name that does not tell its format; end it in {', '.join(_BY_SUFFIX)} or give a format"
        raise InputError(problem, source=source)
    return _json_kind(file) if known == "jsonl" else known


def _json_kind(file: BinaryIO) -> str:
    objects = (record.fields for record in read_jsonl(file, "") if isinstance(record, Record))
    first = next(objects, {}).keys()
    return "anthropic" if {"custom_id", "params"} <= first else "openai" if {"custom_id", "body"} <= first else "jsonl"


def _read(file: BinaryIO, format: str, recipe: Recipe) -> tuple[Records, _Make]:  # noqa: A002 - as in load
    if format in _WITHOUT_COLUMNS and (recipe.template or recipe.id_column):
        field = "template" if recipe.template else "id_column"
        problem = f"needs columns, and {format} has none; use jsonl, csv or parquet"
        raise InputError(problem, source=recipe.source, field=field)
    if recipe.separator and format != "csv":
        problem = f"is for CSV, and this is read as {format}; leave it out, or give --format csv"
        raise InputError(problem, source=recipe.source, field="separator")
    match format:
        case "jsonl":
            return read_jsonl(file, recipe.source), _filling(recipe) or plain
        case "csv":
            return _csv(file, recipe), _filling(recipe) or row
        case "parquet":
            needed, own = _needed(recipe), () if recipe.template else OWN_FIELDS
            named = frozenset({"id", *own, *(column for _, column in needed)})
            records = read_parquet(file, recipe.source, needed, named=named, note=recipe.note)
            return records, _filling(recipe) or row
        case "text":
            return read_text(file, recipe.source), plain
        case "anthropic":
            return read_jsonl(file, recipe.source), message_batch
        case "openai":
            return read_jsonl(file, recipe.source), chat_completion
        case _:
            problem = f"{format!r} should be one of {', '.join(FORMATS)}"
            raise InputError(problem, source=recipe.source, field="format")


def _csv(file: BinaryIO, recipe: Recipe) -> Records:
    needed = _needed(recipe)
    separator, starts = separator_in(file, needed)
    if recipe.separator is None and separator != ",":
        by = "its first line says" if starts else "its first rows say"
        recipe.note(f"cells are cut at {called(separator)}, as {by}; --separator says another")
    return read_csv(file, recipe.source, needed, separator=recipe.separator or separator, starts=starts)


def _filling(recipe: Recipe) -> _Make | None:
    return None if recipe.template is None else partial(filled, template=recipe.template)


def _needed(recipe: Recipe) -> list[tuple[str, str]]:
    columns = recipe.template.columns if recipe.template else ()
    needed = [("template", column) for column in columns] or [("prompt", "prompt")]
    return [*needed, ("id_column", recipe.id_column)] if recipe.id_column else needed


def _checked(record: Record, make: _Make, recipe: Recipe, judge: Judge | None) -> Prompt | InputError:
    made = make(record, recipe)
    if isinstance(made, InputError):
        return made
    mistake = check(made, source=recipe.source, line=record.line)
    if mistake is None and judge is not None:
        mistake = judge(made, recipe.source, record.line)
    return mistake or made

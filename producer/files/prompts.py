"""Reads prompts from a file or from stdin, and lists every line that cannot be a prompt."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO, TypeAlias

from models.errors import NOTHING_QUEUED, InputError, InputMistakes
from producer.files.csv_rows import called, read_csv, separator_in, separator_of
from producer.files.open_source import PARQUET_MARK, STDIN, head_of, name_of, opened, refusing_unreadable
from producer.files.openai_lines import chat_completion
from producer.files.parquet import read_parquet
from producer.files.record_to_prompt import OWN_FIELDS, ReadOptions, SourceOptions, filled, message_batch, plain, row
from producer.files.records import Record, Records, read_jsonl, read_text
from producer.output.terminal import hint
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
AS_IT_IS = ReadOptions()
_Make: TypeAlias = Callable[[Record, SourceOptions], Prompt | InputError]
Judge: TypeAlias = Callable[[Prompt, str, int], InputError | None]  # called with the prompt's source and line


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFile:
    """An open file of prompts, read anew for each iteration; no prompt is kept.

    `skips_bad` lists bad lines on stderr and goes on. `judge` finds prompts that do not fit the chain. `end` ends a
    refusal.
    """

    file: BinaryIO
    start: int
    recipe: SourceOptions
    source: str
    skips_bad: bool = False
    judge: Judge | None = None
    end: str = NOTHING_QUEUED

    @property
    def ignored_models(self) -> set[str]:
        """The models outside the chain that lines of another vendor name; complete after the last prompt."""
        return self.recipe.ignored_models

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes on how the file was read; complete after the last prompt."""
        return (*self.recipe.notes,)

    def prompts(self) -> Iterator[Prompt]:
        """Read the prompts in order. Raises InputMistakes: at once for the file itself, else behind the last line.

        Behind the first bad line no prompt is given: the rest is only checked.
        """
        try:
            yield from self._good_lines() if self.skips_bad else self._all_lines()
        except InputError as mistake:
            raise InputMistakes([mistake], end=self.end) from None

    def lines(self) -> Iterator[Prompt | InputError]:
        """Read every line, as a prompt or as a mistake; every id is kept for comparison."""
        return self._made(used={})

    def _all_lines(self) -> Iterator[Prompt]:
        ids = Repeats()
        for made in self._made(ids=ids):
            if isinstance(made, InputError):
                break
            yield made
        else:
            if not ids.repeated():  # by hashes: after equal hashes each id is compared with all before
                return
        wrong = (made for made in self.lines() if isinstance(made, InputError))
        if mistakes := InputMistakes.first(wrong, end=self.end):
            raise mistakes

    def _good_lines(self) -> Iterator[Prompt]:
        count = 0
        for made in self.lines():
            if isinstance(made, Prompt):
                count += 1
                yield made
            else:
                hint(f"left out: {made}")
        if not count:
            raise InputError("holds nothing but bad lines", source=self.recipe.source)

    def _made(self, *, ids: Repeats | None = None, used: dict[str, int] | None = None) -> Iterator[Prompt | InputError]:
        position = 1
        records, make = self._reader()
        for record in _readable(records, self.source):
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
        chosen = self.recipe.form.format or _format(self.source, head, self.file)
        self.file.seek(self.start)
        return _read(self.file, chosen, self.recipe)


@contextmanager
def opened_prompts(
    source: str,
    form: ReadOptions = AS_IT_IS,
    *,
    skips_bad: bool = False,
    end: str = NOTHING_QUEUED,
    stdin: BinaryIO | None = None,
) -> Iterator[PromptFile]:
    """Open a file of prompts for a block, or stdin if `source` is "-". Raises InputMistakes if that fails."""
    with ExitStack() as until_end:
        try:
            recipe = _recipe(name_of(source), form)
            file = until_end.enter_context(opened(source, stdin))
            start = file.tell()
        except InputError as mistake:
            raise InputMistakes([mistake], end=end) from None
        yield PromptFile(file=file, start=start, recipe=recipe, source=source, skips_bad=skips_bad, end=end)


def _recipe(source: str, form: ReadOptions) -> SourceOptions:
    try:
        template = None if form.template is None else parse_template(form.template)
    except TemplateError as error:
        raise InputError(str(error), source=source, field="template") from None
    try:
        separator = None if form.separator is None else separator_of(form.separator)
    except ValueError as error:
        raise InputError(str(error), source=source, field="separator") from None
    return SourceOptions(source=source, form=form, template=template, separator=separator)


def _readable(records: Records, source: str) -> Records:
    """Pass records on. Raises InputError for a file that cannot be read or is empty."""
    with refusing_unreadable(source):
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


def _read(file: BinaryIO, format: str, recipe: SourceOptions) -> tuple[Records, _Make]:  # noqa: A002 - the option's own name
    if format in _WITHOUT_COLUMNS and (recipe.template or recipe.form.id_column):
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


def _csv(file: BinaryIO, recipe: SourceOptions) -> Records:
    needed = _needed(recipe)
    separator, starts = separator_in(file, needed)
    if recipe.separator is None and separator != ",":
        by = "its first line says" if starts else "its first rows say"
        recipe.note(f"cells are cut at {called(separator)}, as {by}; --separator says another")
    return read_csv(file, recipe.source, needed, separator=recipe.separator or separator, starts=starts)


def _filling(recipe: SourceOptions) -> _Make | None:
    return None if recipe.template is None else partial(filled, template=recipe.template)


def _needed(recipe: SourceOptions) -> list[tuple[str, str]]:
    columns = recipe.template.columns if recipe.template else ()
    needed = [("template", column) for column in columns] or [("prompt", "prompt")]
    return [*needed, ("id_column", recipe.form.id_column)] if recipe.form.id_column else needed


def _checked(record: Record, make: _Make, recipe: SourceOptions, judge: Judge | None) -> Prompt | InputError:
    made = make(record, recipe)
    if isinstance(made, InputError):
        return made
    mistake = check(made, source=recipe.source, line=record.line)
    if mistake is None and judge is not None:
        mistake = judge(made, recipe.source, record.line)
    return mistake or made

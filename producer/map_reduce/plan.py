"""Plans a synthesis before anything is asked: parts of documents, and the steps made of their answers by level."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from itertools import accumulate, groupby
from reprlib import repr as shown
from types import MappingProxyType
from typing import Any

from models.errors import InputError
from models.job.map_reduce import MISSING_PARTS
from models.money.token_estimate import most_tokens
from producer.map_reduce.split_text import split
from producer.prompt.prompt import Prompt
from producer.prompt.template import Template

SYNTHESIS = "synthesis"  # the prompt id of the synthesis of all documents
TEXT = "text"  # the name of the text in a template
_SOURCE = "summarize"
_AROUND_TOKENS = 40  # the marks around an answer, and the words about missing parts
_FEWEST_TOKENS = 16
_OURS = ("document", "level", "part", "parts", MISSING_PARTS)


@dataclass(frozen=True, slots=True)
class Document:
    """A text to be summarized, of any length. `id` is unique among documents; the default is the position from 1.

    `columns` are the input's own: a template may name them, and they come back with the document's answer.
    """

    text: str
    _: KW_ONLY
    id: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptKind:
    """A kind of prompt: its template, and its bounds in tokens.

    `room` is the room of its model. `answer` is the longest answer, with the raised max_tokens of cut answers. `most`
    is the caller's bound of the text of a prompt. `start` is a model that is not the task's.
    """

    template: Template
    task: str
    max_tokens: int
    answer: int
    room: int
    most: int | None = None
    start: str | None = None

    def text_room(self, around: Mapping[str, str]) -> int:
        """Return the tokens of text that fit beside the template's own words and these columns."""
        left = self.room - most_tokens(self.template.fill({**around, TEXT: ""}))
        return left if self.most is None else min(self.most, left)

    def prompt(self, row: Mapping[str, str], *, name: str, columns: Mapping[str, str]) -> Prompt:
        """Fill the template with a row."""
        own: dict[str, Any] = {"task": self.task, "start": self.start, "max_tokens": self.max_tokens}
        return Prompt(self.template.fill(row), id=name, columns=columns, **own)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """The prompts of parts, intermediate steps and synthesis. Without a synthesis each document has an answer."""

    part: PromptKind
    between: PromptKind
    synthesis: PromptKind | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A prompt and its place, as in models.job.map_reduce.NewStep; `parts` are places in the plan, from 0."""

    prompt: Prompt
    document: str | None
    level: int
    label: str
    span: tuple[int, int] | None = None
    parts: tuple[int, ...] = ()
    pieces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """An answer still to be read: its place in the plan, its document and parts, and its most tokens."""

    place: int
    document: str | None
    first: str
    last: str
    tokens: int


def plan(documents: Sequence[Document], outline: Outline) -> list[Planned]:
    """Plan every prompt, each after the prompts of its parts.

    All levels are known beforehand, since no answer is longer than asked for. Raises InputError for an empty document,
    ids that clash, and templates or answers that leave a model no room.
    """
    planned, columns = list[Planned](), dict[str, Mapping[str, str]]()
    _check_templates(outline)
    for document_id, document in _with_ids(documents, outline):
        planned += _parts(document, document_id, outline.part)
        columns[document_id] = _own_columns(document)
    items = [_item(place, one, one.label, one.label, outline.part) for place, one in enumerate(planned)]
    level = 0
    while not _is_enough(items, outline.synthesis):
        level, before = level + 1, len(items)
        items = list(_raised(items, level, outline.between, columns, planned))
        if len(items) == before:
            raise InputError("leaves no room for what it reads; lower it", source=_SOURCE, field="synthesis_max_tokens")
    if outline.synthesis is not None:
        planned.append(_step(items, outline.synthesis, level + 1, None, SYNTHESIS))
    _check_names(planned)
    return planned


def _check_names(planned: Sequence[Planned]) -> None:
    for name, count in Counter(one.prompt.id for one in planned).items():
        if count > 1:
            problem = f"{name!r} is what a part of another document is called, or a step; call it otherwise"
            raise InputError(problem, source=_SOURCE, field="id")


def _check_templates(outline: Outline) -> None:
    asked = {"map": outline.part, "reduce": outline.between}
    for name, one in asked.items():
        if TEXT not in one.template.columns:
            raise InputError("has no place for it: write {text}", source=_SOURCE, field=name)
    if others := [column for column in outline.between.template.columns if column != TEXT]:
        raise InputError(
            f"names {{{others[0]}}}; what it reads are answers, all as {{text}}", source=_SOURCE, field="reduce"
        )


def _with_ids(documents: Sequence[Document], outline: Outline) -> Iterator[tuple[str, Document]]:
    if not documents:
        raise InputError("no documents: give at least one", source=_SOURCE)
    known = {} if outline.synthesis is None else {SYNTHESIS: 0}
    for position, document in enumerate(documents, start=1):
        name, source = str(position) if document.id is None else document.id, f"document {position}"
        if problem := _problem(document.text, name, document.columns):
            raise InputError(problem[1], source=source, field=problem[0])
        if (first := known.setdefault(name, position)) != position:
            whose = f"document {first}'s" if first else "that of what is made of all"
            raise InputError(f"{name!r} is {whose}; ids are unique", source=source, field="id")
        yield name, document


def _problem(text: object, name: object, columns: Mapping[Any, Any]) -> tuple[str, str] | None:
    if not (isinstance(text, str) and text.strip()):
        return "text", f"{shown(text)} should be text with at least one visible character"
    if not (isinstance(name, str) and name.strip()):
        return "id", f"{shown(name)} should be text, or be left out"
    for column, cell in columns.items():
        if not (isinstance(column, str) and isinstance(cell, str)):
            return "columns", f"{shown(column)}: {shown(cell)} should be text named by text"
    return None


def _parts(document: Document, document_id: str, asked: PromptKind) -> Iterator[Planned]:
    around = {**document.columns, "document": document_id, "part": "10000 of 10000"}
    if unknown := [column for column in asked.template.columns if column not in {*around, TEXT}]:
        raise InputError(f"names {{{unknown[0]}}}, which {document_id!r} has not", source=_SOURCE, field="map")
    room = asked.text_room(around)
    if room < _FEWEST_TOKENS:
        problem = f"leaves {room} tokens for a part of {document_id!r}; shorten the template, or lower max_tokens"
        raise InputError(problem, source=_SOURCE, field="map")
    text = document.text
    spans = [(begin, end) for begin, end in split(text, tokens=room) if text[begin:end].strip()]
    for number, (begin, end) in enumerate(spans, start=1):
        part = f"{number} of {len(spans)}"
        is_whole = len(spans) == 1
        name = document_id if is_whole else f"{document_id}/{number}"
        row = {**around, "part": part, TEXT: text[begin:end]}
        columns = {**_own_columns(document), "document": document_id, "level": "0", "part": part}
        yield Planned(
            prompt=asked.prompt(row, name=name, columns=columns),
            document=document_id,
            level=0,
            label=document_id if is_whole else f"{document_id}, part {part}",
            span=(begin, end),
        )


def _own_columns(document: Document) -> dict[str, str]:
    """Return the input's columns; columns with a name of ours as `input_...`."""
    return {f"input_{name}" if name in _OURS else name: cell for name, cell in document.columns.items()}


def _is_enough(items: Sequence[_Item], synthesis: PromptKind | None) -> bool:
    if synthesis is None:
        return len({item.document for item in items}) == len(items)
    return _tokens(items) <= synthesis.text_room({})


def _raised(
    items: Sequence[_Item],
    level: int,
    asked: PromptKind,
    columns: Mapping[str, Mapping[str, str]],
    planned: list[Planned],
) -> Iterator[_Item]:
    """Merge answers: first those of each document, then those of different documents."""
    is_within = len({item.document for item in items if item.document is not None}) < len(items)
    is_within = is_within and all(item.document is not None for item in items)
    for document, group in groupby(items, key=lambda item: item.document if is_within else None):
        chunks = _chunks(list(group), asked)
        for number, chunk in enumerate(chunks, start=1):
            if len(chunk) == 1:
                yield chunk[0]
                continue
            within = "" if document is None else f"{document}/"
            is_whole = document is not None and len(chunks) == 1
            name = str(document) if is_whole else f"{within}level-{level}.{number}"
            step = _step(chunk, asked, level, document, name, columns[name] if is_whole else {})
            planned.append(step)
            first, last = (step.label, step.label) if is_whole else (chunk[0].first, chunk[-1].last)
            yield _item(len(planned) - 1, step, first, last, asked)


def _chunks(items: Sequence[_Item], asked: PromptKind) -> list[Sequence[_Item]]:
    """Divide answers into as few groups as can be read at once, about as many in each."""
    room, before = asked.text_room({}), [0, *accumulate(item.tokens for item in items)]
    for count in range(-(-before[-1] // max(1, room)), -(-len(items) // 2) + 1):
        if all(before[end] - before[begin] <= room for begin, end in _evenly(len(items), count)):
            return [items[begin:end] for begin, end in _evenly(len(items), count)]
    longest = max(item.tokens for item in items)
    problem = f"answers of {longest} tokens are too long to read two at once in {room}; lower it"
    raise InputError(problem, source=_SOURCE, field="max_tokens")


def _evenly(length: int, count: int) -> Iterator[tuple[int, int]]:
    return ((length * number // count, length * (number + 1) // count) for number in range(count))


def _step(
    items: Sequence[_Item],
    asked: PromptKind,
    level: int,
    document: str | None,
    name: str,
    columns: Mapping[str, str] = MappingProxyType({}),
) -> Planned:
    about = {} if document is None else {"document": document}
    is_all = name in {document, SYNTHESIS}
    columns = {**columns, **about, "level": str(level), "parts": str(len(items))}
    return Planned(
        prompt=asked.prompt({TEXT: f"{{{TEXT}}}"}, name=name, columns=columns),
        document=document,
        level=level,
        label=name if is_all else f"{items[0].first} to {items[-1].last}",
        parts=tuple(item.place for item in items),
        pieces=_pieces(asked.template),
    )


def _pieces(template: Template) -> tuple[str, ...]:
    """Return the texts around each {text}."""
    pieces = [""]
    for piece, is_column in template.pieces:
        if is_column:
            pieces.append("")
        else:
            pieces[-1] += piece
    return tuple(pieces)


def _item(place: int, planned: Planned, first: str, last: str, asked: PromptKind) -> _Item:
    around = _AROUND_TOKENS + 2 * most_tokens(planned.label)
    return _Item(place=place, document=planned.document, first=first, last=last, tokens=asked.answer + around)


def _tokens(items: Sequence[_Item]) -> int:
    return sum(item.tokens for item in items)

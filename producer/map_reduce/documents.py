"""Reads documents to be mapped: each row of a file, a whole text, or each text of a folder."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.errors import InputError, InputMistakes
from producer.files.open_source import STDIN, name_of, read_whole, refusing_unreadable
from producer.files.prompts import AS_IT_IS, opened_prompts
from producer.files.record_to_prompt import ReadOptions
from producer.map_reduce.plan import TEXT, Document
from producer.output.terminal import hint
from producer.prompt.prompt import Prompt

_TEXTS = (".txt", ".md")
_MOST_BYTES = 256 * 1024 * 1024  # of a text: some 60 million tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """Documents, and the options for Producer.summarize that came with them."""

    documents: list[Document]
    mapping: dict[str, Any]
    ignored_models: frozenset[str] = frozenset()  # as a file of prompts has them; documents name no model
    notes: tuple[str, ...] = ()  # printed already while rows were read

    def mapping_for(self, task: str | None) -> dict[str, Any]:
        """Return the options, with the task of the parts if the caller names a task."""
        return self.mapping if task is None else {**self.mapping, "task": task}


def read_documents(source: str, form: ReadOptions = AS_IT_IS, *, skip_bad: bool = False) -> list[Document]:
    """Read documents. The id of a text is the name of its file, the id of a row is its own.

    A row's text is its column `text`. `skip_bad` lists bad rows or files, and goes on. Raises InputError,
    InputMistakes.
    """
    path = Path(source)
    is_folder = source != STDIN and path.is_dir()
    if not is_folder and form.format != "text" and (form.format or path.suffix.lower() not in _TEXTS):
        with opened_prompts(source, replace(form, template=f"{{{TEXT}}}"), skips_bad=skip_bad) as rows:
            documents = [_of_row(prompt) for prompt in rows.prompts()]
            for note in rows.notes:
                hint(note)
        return documents
    if form.separator is not None:
        raise InputError("is for CSV, and this is text; leave it out", source=source, field="separator")
    if form.id_column is not None:
        problem = "needs columns, and a text has none: it is called by its file"
        raise InputError(problem, source=source, field="id_column")
    return _folder(path, skip_bad=skip_bad) if is_folder else [_whole(source)]


def _of_row(prompt: Prompt) -> Document:
    columns = {name: cell for name, cell in prompt.columns.items() if name != TEXT}
    return Document(prompt.text, id=prompt.id, columns=columns)


def _folder(folder: Path, *, skip_bad: bool) -> list[Document]:
    with refusing_unreadable(str(folder)):
        found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    files = [path for path in found if path.suffix.lower() in _TEXTS and path.is_file()]
    if not files:
        raise InputError(f"holds no file that ends in {' or '.join(_TEXTS)}", source=str(folder))
    if passed := len(found) - len(files):
        hint(f"{folder}: {passed} of {len(found)} entries are no {' or '.join(_TEXTS)} file: passed over")
    stems = Counter(path.stem for path in files)
    documents, mistakes = list[Document](), list[InputError]()
    for path in files:
        try:
            document = _whole(str(path))
        except InputError as mistake:
            mistakes.append(mistake)
        else:
            documents.append(document if stems[path.stem] == 1 else replace(document, id=path.name))
    if mistakes and not (skip_bad and documents):
        raise InputMistakes(mistakes)
    for left_out in mistakes:
        hint(f"left out: {left_out}")
    return documents


def _whole(source: str) -> Document:
    data = read_whole(source, most=_MOST_BYTES)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"is no UTF-8 text (byte {error.start + 1}); save it as UTF-8", source=name_of(source)
        ) from None
    if not text.strip():
        raise InputError("holds no text", source=name_of(source))
    return Document(text, id=name_of(source) if source == STDIN else Path(source).stem)

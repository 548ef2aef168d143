"""Reads documents to be mapped: each row of a file, a whole text, or each text of a folder."""

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.errors import InputError, InputMistakes
from producer.files.load import AS_IT_IS, load
from producer.files.shapes import Form
from producer.files.source import STDIN
from producer.plan import TEXT, Document

_TEXTS = (".txt", ".md")


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """What was read, and the words for Producer.summarize that came with it."""

    documents: list[Document]
    ways: dict[str, Any]
    unheeded_models: frozenset[str] = frozenset()  # as of a file of prompts; documents name none

    def ways_for(self, task: str | None) -> dict[str, Any]:
        """Give the words, with the task of the parts where the caller names it."""
        return self.ways if task is None else {**self.ways, "task": task}


def read_documents(source: str, form: Form = AS_IT_IS, *, skip_bad: bool = False) -> list[Document]:
    """Read documents; those of a text file or a folder are called by the files' names, rows by their ids.

    A row's text is its column `text`. Raises InputError or InputMistakes; bad rows may be listed and left out.
    """
    path = Path(source)
    if source != STDIN and path.is_dir():
        return list(_folder(path))
    if form.format == "text" or (form.format is None and path.suffix.lower() in _TEXTS):
        return [_whole(source)]
    loaded = load(source, Form(format=form.format, template=f"{{{TEXT}}}", id_column=form.id_column))
    if loaded.mistakes and not (skip_bad and loaded.prompts):
        raise InputMistakes(loaded.mistakes)
    for mistake in loaded.mistakes:
        sys.stderr.write(f"left out: {mistake}\n")
    return [
        Document(
            prompt.text, id=prompt.id, columns={name: cell for name, cell in prompt.columns.items() if name != TEXT}
        )
        for prompt in loaded.prompts
    ]


def _folder(folder: Path) -> Iterator[Document]:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _TEXTS and path.is_file())
    if not files:
        raise InputError(f"holds no file that ends in {' or '.join(_TEXTS)}", source=str(folder))
    stems = Counter(path.stem for path in files)
    for path in files:
        document = _whole(str(path))
        yield document if stems[path.stem] == 1 else replace(document, id=path.name)


def _whole(source: str) -> Document:
    try:
        data = sys.stdin.buffer.read() if source == STDIN else Path(source).read_bytes()
        return Document(data.decode("utf-8-sig"), id="stdin" if source == STDIN else Path(source).stem)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}; name a readable file", source=source) from None
    except UnicodeDecodeError as error:
        raise InputError(f"is no UTF-8 text (byte {error.start + 1}); save it as UTF-8", source=source) from None

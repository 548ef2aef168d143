"""Opens what prompts are read from, so that it can be read again and again: a file, or a stream set aside on disk."""

import codecs
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, cast

from models.errors import InputError

STDIN = "-"
_HEAD = 65_536  # bytes looked at to tell a format


def name_of(source: str) -> str:
    """Name a source as its mistakes do."""
    return "stdin" if source == STDIN else source


@contextmanager
def opened(source: str, stdin: BinaryIO | None = None) -> Iterator[BinaryIO]:
    """Lend a file that stands behind its byte order mark and can be sought; raises InputError for one that cannot.

    What comes through a pipe is written to a temporary file first, which nobody else can open.
    """
    if source == STDIN and stdin is None and sys.stdin is None:
        raise InputError("is closed; pipe prompts into it, or name a file", source=name_of(source))
    file = _file(source) if source != STDIN else None
    given = file or stdin or cast("BinaryIO", sys.stdin.buffer)
    try:
        with telling_unreadable(source):
            aside = None if given.seekable() else _aside(given)
        try:
            yield _behind_mark(aside or given, source)
        finally:
            if aside is not None:
                aside.close()
    finally:
        if file is not None:
            file.close()


@contextmanager
def telling_unreadable(source: str) -> Iterator[None]:
    """Raise InputError where a source cannot be read in the block."""
    try:
        yield
    except OSError as error:
        raise _unreadable(source, error.strerror or error) from None


def head_of(file: BinaryIO) -> bytes:
    """Read the beginning of a file, and stand where it stood."""
    start = file.tell()
    head = file.read(_HEAD)
    file.seek(start)
    return head


def _file(source: str) -> BinaryIO:
    with telling_unreadable(source):
        try:
            return Path(source).open("rb")
        except ValueError as error:  # a NUL in its name
            raise _unreadable(source, error) from None


def _unreadable(source: str, reason: object) -> InputError:
    problem = f"cannot be read: {reason}; name a readable file, or - for stdin"
    return InputError(problem, source=name_of(source))


def _aside(stream: BinaryIO) -> BinaryIO:
    aside = cast("BinaryIO", TemporaryFile())  # noqa: SIM115 - closed by whoever it is lent to
    try:
        shutil.copyfileobj(stream, aside)
    except BaseException:
        aside.close()
        raise
    aside.seek(0)
    return aside


def _behind_mark(file: BinaryIO, source: str) -> BinaryIO:
    with telling_unreadable(source):
        start = file.tell()
        mark = file.read(len(codecs.BOM_UTF8))
        if mark.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            problem = "is UTF-16; save it as UTF-8"
        else:
            file.seek(start + len(codecs.BOM_UTF8) if mark == codecs.BOM_UTF8 else start)
            return file
    raise InputError(problem, source=name_of(source))

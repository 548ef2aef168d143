"""Opens a source of prompts for repeated reading: a file, or a stream set aside on disk."""

import codecs
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedReader, RawIOBase
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import BinaryIO, cast

from models.errors import InputError

STDIN = "-"
HEAD_BYTES = 65_536  # read to recognize a format
PARQUET_MARK = b"PAR1"
_MOST_STREAMED = 4 * 1024**3  # bytes of a pipe that are set aside on disk
_CHUNK = 1024 * 1024
# The first bytes of files that must be unpacked or saved anew first, and how.
_OTHERS = (
    (b"\x1f\x8b", "is compressed by gzip", "unpack it: gzip -dc FILE | stepdown submit -"),
    (b"\x28\xb5\x2f\xfd", "is compressed by zstd", "unpack it: zstd -dc FILE | stepdown submit -"),
    (b"\xfd7zXZ\0", "is compressed by xz", "unpack it: xz -dc FILE | stepdown submit -"),
    (b"BZh91AY&SY", "is compressed by bzip2", "unpack it: bzip2 -dc FILE | stepdown submit -"),
    (b"PK\x03\x04", "is a ZIP archive or a spreadsheet (.xlsx)", "unpack it, or save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "is an old Office file (.xls, .doc)", "save it as CSV or text"),
    (codecs.BOM_UTF32_LE, "is UTF-32", "save it as UTF-8"),
    (codecs.BOM_UTF32_BE, "is UTF-32", "save it as UTF-8"),
    (codecs.BOM_UTF16_LE, "is UTF-16", "save it as UTF-8"),
    (codecs.BOM_UTF16_BE, "is UTF-16", "save it as UTF-8"),
)


def name_of(source: str) -> str:
    """Return the name of a source in mistakes."""
    return "stdin" if source == STDIN else source


@contextmanager
def opened(source: str, stdin: BinaryIO | None = None) -> Iterator[BinaryIO]:
    """Open a source for a block, behind its byte order mark, able to seek. Raises InputError if that fails.

    A pipe is first written to a temporary file, which no other process can open.
    """
    if source == STDIN and stdin is None and sys.stdin is None:
        raise InputError("is closed; pipe prompts into it, or name a file", source=name_of(source))
    with ExitStack() as until_end:
        is_file = source != STDIN
        given = until_end.enter_context(_file(source)) if is_file else stdin or cast("BinaryIO", sys.stdin.buffer)
        with refusing_unreadable(source):
            _refuse_device(given, source)
            is_stream = not given.seekable()
        yield _behind_mark(until_end.enter_context(_aside(given, source)) if is_stream else given, source)


@contextmanager
def refusing_unreadable(source: str) -> Iterator[None]:
    """Raise InputError if a source cannot be read in the block."""
    try:
        yield
    except OSError as error:
        raise _unreadable(source, error.strerror or error) from None


def head_of(file: BinaryIO) -> bytes:
    """Read the beginning of a file, and go back to the place before."""
    start = file.tell()
    head = file.read(HEAD_BYTES)
    file.seek(start)
    return head


def _file(source: str) -> BinaryIO:
    with refusing_unreadable(source):
        try:
            return Path(source).open("rb")
        except ValueError as error:  # a NUL in the name
            raise _unreadable(source, error) from None


def _unreadable(source: str, reason: object) -> InputError:
    problem = f"cannot be read: {reason}; name a readable file, or - for stdin"
    return InputError(problem, source=name_of(source))


def read_whole(source: str, *, most: int) -> bytes:
    """Read all of a file, or of stdin, into memory. Raises InputError above `most` bytes."""
    with opened(source) as file, refusing_unreadable(source):
        data = file.read(most + 1)
    if len(data) > most:
        problem = f"has more than {most:,} bytes, and a text is read whole; split it into several files"
        raise InputError(problem, source=name_of(source))
    return data


def _refuse_device(file: BinaryIO, source: str) -> None:
    with suppress(OSError, ValueError):  # a stream of a test, or of a program, has no number
        found = os.fstat(file.fileno())
        is_device = stat.S_ISBLK(found.st_mode) or (stat.S_ISCHR(found.st_mode) and not file.isatty())
        if is_device and not os.path.samestat(found, os.stat(os.devnull)):  # noqa: PTH116 - beside a result of fstat
            problem = "is a device, which has no end; name a file, or - for stdin"
            raise InputError(problem, source=name_of(source))


def _aside(stream: BinaryIO, source: str) -> BinaryIO:
    """Write a stream to disk. Raises InputError for a stream without an end, and for a full disk."""
    try:
        with ExitStack() as until_end:
            aside = until_end.enter_context(TemporaryFile(buffering=0))
            for chunk in _chunks(stream, source):
                aside.write(chunk)
            aside.seek(0)
            until_end.pop_all()  # the caller closes the file
            return BufferedReader(cast("RawIOBase", aside))
    except OSError as error:
        problem = f"cannot hold what a pipe gives ({error.strerror}): make room, or name another folder by TMPDIR"
        raise InputError(problem, source=gettempdir()) from None


def _chunks(stream: BinaryIO, source: str) -> Iterator[bytes]:
    size, is_text = 0, True
    while chunk := _chunk(stream, source):
        if not size:
            is_text = not chunk.startswith((PARQUET_MARK, *(mark for mark, *_ in _OTHERS)))
        where = chunk.find(b"\0") if is_text else -1
        if where >= 0:
            problem = f"holds a NUL byte at byte {size + where + 1:,}, so this is no text; save it as UTF-8"
            raise InputError(problem, source=name_of(source))
        size += len(chunk)
        if size > _MOST_STREAMED:
            problem = f"gives more than {_MOST_STREAMED:,} bytes through a pipe; write them to a file, and name it"
            raise InputError(problem, source=name_of(source))
        yield chunk


def _chunk(stream: BinaryIO, source: str) -> bytes:
    with refusing_unreadable(source):
        return stream.read(_CHUNK)


def _behind_mark(file: BinaryIO, source: str) -> BinaryIO:
    with refusing_unreadable(source):
        start = file.tell()
        head = head_of(file)
        file.seek(start + len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else start)
    for mark, problem, fix in _OTHERS:
        if head.startswith(mark):
            raise InputError(f"{problem}; {fix}", source=name_of(source))
    if _looks_wide(head):
        raise InputError("is UTF-16; save it as UTF-8", source=name_of(source))
    return file


def _looks_wide(head: bytes) -> bool:
    """Return whether each second byte is NUL: UTF-16 without a mark."""
    some = head[:64]
    return len(some) > 1 and any(not any(some[first::2]) and all(some[1 - first :: 2]) for first in (0, 1))

"""Cuts a file into lines, or into the elements of a JSON list. Memory never holds too long a piece."""

import re
from collections.abc import Iterator
from typing import BinaryIO, TypeAlias

MOST_BYTES = 64 * 1024 * 1024  # of a line, a row or an element: twice the API's limit, for \u escapes and columns
MOST_VALUES = 1_000_000  # of JSON in one line: 64 MB of [] would be 1.5 GB of lists
_CHUNK = 1024 * 1024
TOO_LONG = f"has more than {MOST_BYTES:,} bytes; the API takes half of that in a request: split it, or drop columns"
_TOO_MANY = f"has more than {MOST_VALUES:,} JSON values; split it, or write what is in it as text"
_NO_TEXT = f"has more than {MOST_BYTES:,} bytes, and NUL bytes among them, so this is no text; name a file of prompts"
_NEVER_CLOSED = "ends before its JSON list does; write the file anew, to its end"
_TEXT = re.compile(rb'"(?:[^"\\]+|\\.)*+"', re.DOTALL)
_IN_TEXT = re.compile(rb'(?:[^"\\]+|\\.)*+', re.DOTALL)
_BETWEEN, _WITHIN = re.compile(rb'["{}\[\],]'), re.compile(rb'["{}\[\]]')
_OTHERS = rb'(?:\s*"(?!requests")[^"]*"\s*:\s*(?:"(?:[^"\\]|\\.)*+"|[\w.+-]+)\s*,)*+'  # an ordinary line has more
_OPENING = re.compile(rb"\s*(?:\[|(\{(" + _OTHERS + rb'\s*)"requests"\s*:\s*\[(?=\s*[\[{\]]|\s*\Z)))')
_CLOSING = (re.compile(rb"\s*"), re.compile(rb"\s*\}\s*"))  # behind a list, and behind a list called requests

Pieces: TypeAlias = Iterator[tuple[int, bytes | str]]  # the first line of each piece, and its bytes, or the mistake


def lines(file: BinaryIO) -> Pieces:
    r"""Read each line that is not blank, without its end (\n or \r\n)."""
    line = 0
    while raw := file.readline(MOST_BYTES + 2):
        line += 1
        if len(raw) > MOST_BYTES and not raw.endswith(b"\n"):
            if b"\0" in raw:
                yield line, _NO_TEXT
                return
            raw = b""
            while (more := file.readline(_CHUNK)) and not more.endswith(b"\n"):
                pass
            yield line, TOO_LONG
        elif raw.strip():
            yield line, _bounded(raw.removesuffix(b"\n").removesuffix(b"\r"))


def ended_lines(file: BinaryIO) -> Pieces:
    r"""Read each line with its end, which is \n, \r\n or \r."""
    line, rest = 0, b""
    while chunk := file.read(_more(len(rest))):
        if chunk.endswith(b"\r"):
            chunk += file.read(1)
        *whole, rest = (rest + chunk).splitlines(keepends=True)
        for line, raw in enumerate(whole, start=line + 1):  # noqa: B020 - counted on from here
            yield line, raw
        if len(rest) > MOST_BYTES:
            yield line + 1, _NO_TEXT if b"\0" in rest else TOO_LONG
            return
    if rest:
        yield line + 1, rest


def is_list(head: bytes) -> bool:
    """Return whether a file holds a JSON list, or the body of a message batch: {"requests": [...]}.

    An object of more fields, all in a single line, is a line with a field called requests.
    """
    opening = _OPENING.match(head)
    return opening is not None and (not (opening[2] or b"").strip() or b"\n" in opening[2])


def elements(file: BinaryIO) -> Pieces:
    """Read each element of a file's JSON list, or of the `requests` in an object. Memory holds a single element."""
    data = file.read(_CHUNK)
    opening = _OPENING.match(data)
    if opening is None:
        raise ValueError("no list begins here")
    if opening[2] and opening[2].strip():
        name = opening[2].split(b'"')[1].decode(errors="replace")
        yield 1, f"has {name!r} beside requests, and a batch has requests alone; remove it"
        return
    cut = _Cut(file, data, opening.end())
    yield from cut.pieces()
    if cut.is_closed and not _CLOSING[opening[1] is not None].fullmatch(cut.behind()):
        yield cut.line, "holds more behind its JSON list; write one list a file, or one object a line"


def _more(held: int) -> int:
    """Return the bytes to read next: more if more are held, since each read copies all that are held."""
    return min(max(_CHUNK, held), 16 * _CHUNK)


def _bounded(raw: bytes) -> bytes | str:
    if len(raw) <= MOST_VALUES or raw.count(b",") + raw.count(b"[") <= MOST_VALUES:
        return raw
    bare = _TEXT.sub(b"", raw)
    return _TOO_MANY if bare.count(b",") + bare.count(b"[") + bare.count(b"{") > MOST_VALUES else raw


class _Cut:
    """A list that is read chunk by chunk and cut at the commas outside its elements."""

    def __init__(self, file: BinaryIO, data: bytes, at: int) -> None:
        self.line = 1 + data.count(b"\n", 0, at)
        self.is_closed = False
        self._file, self._data, self._start, self._at = file, data, at, at
        self._depth, self._is_text, self._is_long, self._count = 0, False, False, 0

    def pieces(self) -> Pieces:
        """Yield each element, or its mistake."""
        while not self.is_closed:
            if self._finds_end():
                is_last = self._data[self._at - 1] != ord(",")
                raw = self._data[self._start : self._at - 1]
                self._start = self._at
                if raw.strip() or not is_last or self._count or self._is_long:  # else the list is empty, no mistake
                    yield self._piece(raw)
                self.line += raw.count(b"\n")
                self._is_long, self.is_closed = False, is_last
            elif not self._reads_on():
                yield self.line + self._data.count(b"\n", self._start), _NEVER_CLOSED
                return

    def behind(self) -> bytes:
        """Read a few bytes behind the list."""
        return self._data[self._at :] + self._file.read(_CHUNK)

    def _piece(self, raw: bytes) -> tuple[int, bytes | str]:
        self._count += 1
        begins = len(raw) - len(raw.lstrip())
        line = self.line + raw.count(b"\n", 0, begins)
        return line, TOO_LONG if self._is_long or len(raw) > MOST_BYTES else _bounded(raw.strip())

    def _reads_on(self) -> bool:
        """Read the next chunk. Returns False at the end of the file."""
        if self._is_long or self._at - self._start > MOST_BYTES:
            self.line += self._data.count(b"\n", self._start, self._at)
            self._is_long, self._start = True, self._at
        chunk = self._file.read(_more(self._at - self._start))
        self._data, self._at, self._start = self._data[self._start :] + chunk, self._at - self._start, 0
        return bool(chunk)

    def _finds_end(self) -> bool:
        """Go on to the end of the element. Returns False if the data ends first."""
        while True:
            if self._is_text:
                ended = _IN_TEXT.match(self._data, self._at)
                self._at = self._at if ended is None else ended.end()
                if self._data[self._at : self._at + 1] != b'"':  # the data ends, perhaps within an escape
                    return False
                self._at, self._is_text = self._at + 1, False
            found = (_WITHIN if self._depth else _BETWEEN).search(self._data, self._at)
            if found is None:
                self._at = len(self._data)
                return False
            self._at = found.end()
            mark = found[0]
            if mark == b'"':
                self._is_text = True
            elif mark in b"{[":
                self._depth += 1
            elif self._depth:
                self._depth -= 1
            else:
                return True

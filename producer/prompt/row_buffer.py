"""Rows collected until the last is known, then read in order: few in memory, more on disk."""

import pickle
from collections.abc import Iterator
from tempfile import TemporaryFile, gettempdir
from typing import IO, Any, Self

from models.errors import InputError

_CHARACTERS_AT_ONCE = 4_000_000
_ROWS_AT_ONCE = 1000


class Laid:
    """Holds rows of plain values (None, text, numbers, lists, tuples, dicts). Use the buffer as a context manager.

    Rows hold prompts and answers: the file on disk has no name, and ends with the process.
    """

    def __init__(self) -> None:
        self.count = self.characters = 0
        self._file: IO[bytes] | None = None
        self._last: list[Any] = []
        self._characters = self._parts = 0

    def add(self, row: Any, *, characters: int = 0) -> None:
        """Add a row; `characters` is the size of a large row, so that memory holds few large rows.

        Raises InputError if the temporary folder is full.
        """
        self.count += 1
        self._last.append(row)
        self.characters += characters
        self._characters += characters
        if len(self._last) >= _ROWS_AT_ONCE or self._characters >= _CHARACTERS_AT_ONCE:
            self._put_aside()

    def __iter__(self) -> Iterator[Any]:
        if self._file is not None:
            self._file.seek(0)
            for _ in range(self._parts):
                yield from pickle.load(self._file)  # noqa: S301 - our own file, which has no name
        yield from self._last

    def _put_aside(self) -> None:
        try:
            if self._file is None:
                self._file = TemporaryFile()  # noqa: SIM115 - closed by __exit__
            pickle.dump(self._last, self._file, pickle.HIGHEST_PROTOCOL)
        except OSError as error:
            problem = f"cannot hold what is set aside ({error.strerror}): make room, or name another folder by TMPDIR"
            raise InputError(problem, source=gettempdir()) from None
        self._last, self._characters = [], 0
        self._parts += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._file is not None:
            self._file.close()

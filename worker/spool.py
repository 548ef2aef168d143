"""Replies on this machine's disk, from their arrival until the ledger has them: paid for, and nowhere else."""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from models.errors import LedgerError
from models.life import Kept
from worker.kept import from_line, to_line

_SEGMENT_BYTES = 8 * 1024 * 1024  # then a new file begins, and the old one goes once all of it is in the ledger
_SUFFIX = ".jsonl"
_DAMAGED = ".damaged"


@dataclass(slots=True)
class _Segment:
    path: Path
    file: BinaryIO
    written: int = 0
    synced: int = 0
    open_lines: int = 0
    syncing: Lock = field(default_factory=Lock)


@dataclass(frozen=True, slots=True)
class Slip:
    """Says where a reply is kept; whoever has it drops it, or leaves it for the replay. No segment: in memory only."""

    kept: Kept
    segment: _Segment | None


class Spool:
    """One folder for all workers of a machine, and in it files of each; a file is its worker's while that lives.

    Safe for threads. `keep` has the reply on the disk before it returns (fdatasync, one for all that wait for it).
    """

    def __init__(self, folder: Path, *, holder: str) -> None:
        self._folder = folder
        self._name = holder.replace(":", "-")
        self._count = 0
        self._writing = Lock()
        self._left: list[Slip] = []
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._segment = self._begin()

    def keep(self, kept: Kept) -> Slip:
        """Write a reply down. Raises OSError where the disk is full; the reply is then in the caller's hands only."""
        line = to_line(kept)
        with self._writing:
            segment = self._segment
            if segment.written > _SEGMENT_BYTES:
                segment = self._turn_over()
            _append(segment, line)
            end = segment.written
        try:
            with segment.syncing:
                if segment.synced < end:
                    upto = segment.written
                    os.fdatasync(segment.file.fileno())
                    segment.synced = upto
        except OSError:
            self.drop(Slip(kept, segment))
            raise
        return Slip(kept, segment)

    def drop(self, slip: Slip) -> None:
        """Forget a reply that the ledger has; a file is emptied or removed with its last one."""
        segment = slip.segment
        if segment is None:
            return
        with self._writing:
            segment.open_lines -= 1
            if segment.open_lines:
                return
            if segment is not self._segment:
                _remove(segment)
            elif segment.written > _SEGMENT_BYTES // 8:
                segment.file.truncate(0)
                segment.written = segment.synced = 0

    def leave(self, slip: Slip) -> None:
        """Keep a reply that the ledger could not take; the next replay tries again."""
        with self._writing:
            self._left.append(slip)

    def replay(self, give: Callable[[Kept], object]) -> int:
        """Give the ledger what was left here, and what workers that are gone had left; returns how many replies.

        Raises LedgerError where the ledger is still away; nothing is lost, the next replay goes on.
        """
        return self._replay_ours(give) + sum(_replay_file(path, give) for path in self._orphans())

    def _replay_ours(self, give: Callable[[Kept], object]) -> int:
        with self._writing:
            left, self._left = self._left, []
        for done, slip in enumerate(left):
            try:
                give(slip.kept)
            except LedgerError:
                with self._writing:
                    self._left = left[done:] + self._left
                raise
            self.drop(slip)
        return len(left)

    def _orphans(self) -> list[Path]:
        return sorted(path for path in self._folder.glob(f"*{_SUFFIX}") if not path.name.startswith(f"{self._name}."))

    def _turn_over(self) -> _Segment:
        old, self._segment = self._segment, self._begin()
        if not old.open_lines:
            _remove(old)
        return self._segment

    def _begin(self) -> _Segment:
        self._count += 1
        path = self._folder / f"{self._name}.{self._count}{_SUFFIX}"
        # Its name appears once it is locked: no other worker may take it for an orphan's.
        hidden = path.with_suffix(".new")
        file = hidden.open("ab", buffering=0)
        hidden.chmod(0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        hidden.rename(path)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return _Segment(path=path, file=file)

    def close(self) -> None:
        """Let the files go; what is left in them is replayed by the next worker here."""
        with self._writing:
            if self._segment.open_lines:
                self._segment.file.close()
            else:
                _remove(self._segment)


def _append(segment: _Segment, line: bytes) -> None:
    if segment.file.write(line) < len(line):  # what begins a line must not be met by the next one
        segment.file.truncate(segment.written)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    segment.written += len(line)
    segment.open_lines += 1


def _remove(segment: _Segment) -> None:
    segment.path.unlink(missing_ok=True)
    segment.file.close()


def _replay_file(path: Path, give: Callable[[Kept], object]) -> int:
    """Give the ledger a file's replies, and remove it; nothing where its worker lives or another replays it."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        count, is_damaged = 0, False
        for found in _read(file):
            if found is None:
                is_damaged = True
            else:
                give(found)
                count += 1
        if is_damaged:
            path.rename(path.with_suffix(_DAMAGED))
        else:
            path.unlink()
        return count
    return 0


def _read(file: BinaryIO) -> Iterator[Kept | None]:
    """Read each reply; None for a line that is not one. A last line without its end was never promised."""
    for line in file:
        if not line.endswith(b"\n"):
            return
        try:
            yield from_line(line)
        except (ValueError, KeyError, TypeError):
            yield None

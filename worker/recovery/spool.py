"""Replies on this machine's disk, from their arrival until the ledger has them: paid for, and nowhere else."""

import errno
import fcntl
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG
from threading import Lock
from typing import BinaryIO

from models.errors import LedgerError, Mistake, SettingsError
from models.job.values import SpooledReply
from worker.events import RepliesSetAside, Report, SpoolUnreadable
from worker.recovery.spool_record import from_line, is_whole, to_line

_SEGMENT_BYTES = 8 * 1024 * 1024  # then a new file begins, and the old one goes once all of it is in the ledger
_SUFFIX = ".jsonl"
_DAMAGED = ".damaged"
# Where a line end stood before it was changed.
_DAMAGED_END = re.compile(rb'(?<=,"checksum":"[0-9a-f]{16}"\})[^\n](?=\{|$)', re.DOTALL)
_Give = Callable[[SpooledReply], object]


@dataclass(slots=True)
class _Segment:
    path: Path
    file: BinaryIO
    written: int = 0
    synced: int = 0
    open_lines: int = 0
    syncing: Lock = field(default_factory=Lock)


@dataclass(frozen=True, slots=True)
class SpoolRecord:
    """Says where a reply is kept; whoever has it drops it, or leaves it for the replay. No segment: in memory only."""

    kept: SpooledReply
    segment: _Segment | None


class Spool:
    """One folder for all workers of a machine, and in it files of each; a file is its worker's while that lives.

    Safe for threads. `keep` has the reply on the disk before it returns (fdatasync, one for all that wait for it).
    Raises SettingsError if the folder takes no file.
    """

    def __init__(self, folder: Path, *, holder: str, report: Report) -> None:
        self._folder = folder
        self._name = holder.replace(":", "-")
        self._report = report
        self._count = 0
        self._writing = Lock()
        self._left: list[SpoolRecord] = []
        self._unreadable: set[str] = set()
        try:
            self._segment = self._begin()
        except OSError as error:
            fix = f"the replies of paid calls cannot be written to {folder} ({error.strerror}): name a folder of yours"
            raise SettingsError([Mistake(variable="STATE_DIR", value=str(folder.parent), fix=fix)]) from None

    def keep(self, kept: SpooledReply) -> SpoolRecord:
        """Write a reply down. Raises OSError where the disk is full; the reply is then in the caller's hands only."""
        line = to_line(kept)
        with self._writing:
            segment = self._segment
            # What is written to a file that somebody removed ends with this process.
            if segment.written > _SEGMENT_BYTES or not os.fstat(segment.file.fileno()).st_nlink:
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
            self.drop(SpoolRecord(kept, segment))
            raise
        return SpoolRecord(kept, segment)

    def drop(self, slip: SpoolRecord) -> None:
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

    def leave(self, slip: SpoolRecord) -> None:
        """Keep a reply that the ledger could not take; the next replay tries again."""
        with self._writing:
            self._left.append(slip)

    def replay(self, give: _Give) -> int:
        """Give the ledger what was left here, and what workers that are gone had left; returns how many replies.

        A line that is damaged is set aside in a file of its own; a file that cannot be read is left where it is.
        Raises LedgerError where the ledger is still away; nothing is lost, the next replay goes on.
        """
        return self._replay_ours(give) + sum(self._replay_orphan(path, give) for path in self._orphans())

    def _replay_orphan(self, path: Path, give: _Give) -> int:
        try:
            with _locked(path) as file:
                return 0 if file is None else self._replay_file(path, file, give)
        except FileNotFoundError:  # another worker was quicker
            return 0
        except OSError as error:
            if path.name not in self._unreadable:  # a replay comes every few seconds
                self._unreadable.add(path.name)
                self._report(SpoolUnreadable(path=str(path), message=error.strerror or type(error).__name__))
            return 0

    def _replay_file(self, path: Path, file: BinaryIO, give: _Give) -> int:
        count = 0
        damaged: list[tuple[int, bytes, str]] = []
        for number, line in _lines(file):
            try:
                kept = from_line(line)
            except ValueError as error:
                damaged.append((number, line, str(error)))
            else:
                give(kept)
                count += 1
        if damaged:
            aside = _set_aside(path, damaged)
            self._report(RepliesSetAside(path=str(aside), count=len(damaged), message=damaged[0][2]))
        path.unlink()
        return count

    def _replay_ours(self, give: _Give) -> int:
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
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f"{self._name}.{self._count}{_SUFFIX}"
        # Its name appears once it is locked: no other worker may take it for an orphan's.
        hidden = path.with_suffix(".new")
        file = hidden.open("ab", buffering=0)
        hidden.chmod(0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        hidden.rename(path)
        _sync(self._folder)
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


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO | None]:
    """Open a file for its replay; None if its worker lives, or another replays it. Raises OSError."""
    # A pipe in the place of a file would keep its reader for ever.
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    with os.fdopen(number, "rb") as file:
        if not S_ISREG(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, "it is no file")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield file


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Read each line with its number, from 1. Two lines with a changed line end between them are two all the same."""
    for number, line in enumerate(file, start=1):
        for part in [line] if is_whole(line) else _DAMAGED_END.split(line):
            if part.strip():
                yield number, part


def _set_aside(path: Path, damaged: Iterable[tuple[int, bytes, str]]) -> Path:
    """Write damaged lines beside their file, each with its number and reason; `latin-1` gives the bytes back."""
    aside, hidden = path.with_suffix(_DAMAGED), path.with_suffix(".aside")
    with hidden.open("w", encoding="ascii") as file:
        hidden.chmod(0o600)
        for number, line, reason in damaged:
            entry = {"file": path.name, "line": number, "reason": reason, "bytes": line.decode("latin-1")}
            file.write(json.dumps(entry) + "\n")
        file.flush()
        os.fsync(file.fileno())
    hidden.rename(aside)
    _sync(path.parent)
    return aside


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)

"""Replies on this machine's disk, from their arrival until the ledger has them: paid for, and nowhere else."""

import errno
import fcntl
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from stat import S_ISREG
from threading import Lock
from typing import BinaryIO

from models.database.group_thread import GroupThread, Reply
from models.errors import LedgerError, Mistake, SettingsError
from models.job.values import SpooledReply
from worker.events import RepliesSetAside, Report, SpoolUnreadable
from worker.recovery.spool_record import from_line, is_whole, to_line

_SEGMENT_BYTES = 8 * 1024 * 1024  # then a new file begins; the old file goes with the commit of its last reply
_SUFFIX = ".jsonl"
_DAMAGED = ".damaged"
# The place of a line end before a change.
_DAMAGED_END = re.compile(rb'(?<=,"checksum":"[0-9a-f]{16}"\})[^\n](?=\{|$)', re.DOTALL)
_Give = Callable[[SpooledReply], object]
_Keeping = tuple[SpooledReply, Reply["SpoolRecord"]]


@dataclass(slots=True)
class _Segment:
    path: Path
    file: BinaryIO
    written: int = 0
    open_lines: int = 0
    is_synced: bool = True


@dataclass(frozen=True, slots=True)
class SpoolRecord:
    """The place of a reply. The holder drops a reply, or leaves a reply to the replay. No segment: in memory only."""

    kept: SpooledReply
    segment: _Segment | None


class Spool:
    """A folder for all workers of a machine, with files of each. A file is locked while its worker lives.

    Safe for threads. `keep` returns once the reply is on the disk (one fdatasync for all that wait). Raises
    SettingsError if the folder takes no file.
    """

    def __init__(self, folder: Path, *, holder: str, report: Report) -> None:
        self._folder = folder
        self._name = holder.replace(":", "-")
        self._report = report
        self._count = 0
        self._writing = Lock()
        self._left: list[SpoolRecord] = []
        self._unreadable: set[str] = set()
        self._group = GroupThread(self._keep_all, name="spool")
        try:
            self._segment = self._begin()
        except OSError as error:
            fix = f"the replies of paid calls cannot be written to {folder} ({error.strerror}): name a folder of yours"
            raise SettingsError([Mistake(variable="STATE_DIR", value=str(folder.parent), fix=fix)]) from None

    def keep(self, kept: SpooledReply) -> SpoolRecord:
        """Write a reply down. Raises OSError if the disk is full: only the caller then has the reply."""
        reply: Future[SpoolRecord] = Future()
        self.submit(kept, reply)
        return reply.result()

    def submit(self, kept: SpooledReply, reply: Reply[SpoolRecord]) -> None:
        """Have a reply written with the replies that wait now, with one fdatasync."""
        self._group.put(kept, reply)

    def _keep_all(self, group: Sequence[_Keeping]) -> None:
        ends: list[Callable[[], object]] = []
        for kept, done in group:
            try:
                record = SpoolRecord(kept, self._append(to_line(kept)))
            except Exception as error:  # noqa: BLE001 - the error belongs to the caller; the others go on
                done.set_exception(error)
            else:
                ends.append(partial(self._end, record, done))
        for end in ends:
            end()

    def _append(self, line: bytes) -> _Segment:
        with self._writing:
            segment = self._segment
            # A file that was removed ends with this process, and so do later replies in the file.
            if segment.written > _SEGMENT_BYTES or not os.fstat(segment.file.fileno()).st_nlink:
                segment = self._turn_over()
            _append(segment, line)
            return segment

    def _end(self, record: SpoolRecord, done: Reply[SpoolRecord]) -> None:
        """Return a record to its caller. The first record of a group in a file syncs the file."""
        segment = record.segment
        try:
            if segment is not None and not segment.is_synced:
                os.fdatasync(segment.file.fileno())
                segment.is_synced = True
        except OSError as error:
            self.drop(record)
            done.set_exception(error)
        else:
            done.set_result(record)

    def drop(self, record: SpoolRecord) -> None:
        """Drop a reply that the ledger has. The last reply of a file empties or removes the file."""
        segment = record.segment
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
                segment.written = 0

    def leave(self, record: SpoolRecord) -> None:
        """Keep a reply that the ledger could not take; the next replay tries again."""
        with self._writing:
            self._left.append(record)

    def replay(self, give: _Give) -> int:
        """Write the replies left by this worker and by lost workers into the ledger. Returns the number of replies.

        A damaged line is set aside in a file of its own; an unreadable file is left in its place. Raises LedgerError if
        the ledger is still away; no reply is lost, and the next replay goes on.
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
        for done, record in enumerate(left):
            try:
                give(record.kept)
            except LedgerError:
                with self._writing:
                    self._left = left[done:] + self._left
                raise
            self.drop(record)
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
        # The name appears after the lock: no other worker may take the file for an orphan's.
        hidden = path.with_suffix(".new")
        file = hidden.open("ab", buffering=0)
        hidden.chmod(0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        hidden.rename(path)
        _sync(self._folder)
        return _Segment(path=path, file=file)

    def close(self) -> None:
        """Close the files; the next worker here replays the replies that are left."""
        with self._writing:
            if self._segment.open_lines:
                self._segment.file.close()
            else:
                _remove(self._segment)


def _append(segment: _Segment, line: bytes) -> None:
    if segment.file.write(line) < len(line):  # the next line must not follow the beginning of another line
        segment.file.truncate(segment.written)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    segment.written += len(line)
    segment.is_synced = False
    segment.open_lines += 1


def _remove(segment: _Segment) -> None:
    segment.path.unlink(missing_ok=True)
    segment.file.close()


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO | None]:
    """Open a file for a replay. Yields None if the file's worker lives, or another replays. Raises OSError."""
    # A pipe in the place of a file would block its reader for ever.
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
    """Read each line with its number, from 1. Two lines with a changed line end between them are still two lines."""
    for number, line in enumerate(file, start=1):
        for part in [line] if is_whole(line) else _DAMAGED_END.split(line):
            if part.strip():
                yield number, part


def _set_aside(path: Path, damaged: Iterable[tuple[int, bytes, str]]) -> Path:
    """Write damaged lines beside their file, each with number and reason; `latin-1` restores the bytes."""
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

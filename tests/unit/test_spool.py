"""Replies on disk: there when `keep` returns, gone when the ledger has them, replayed when their worker is gone."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from models.errors import LedgerError
from models.life import Kept
from tests.given import closing, succeeded
from worker import spool
from worker.spool import Spool

_KEEP_AND_DIE = """
import os, signal, sys
from pathlib import Path
from tests.unit.test_spool import kept
from worker.spool import Spool
spool = Spool(Path(sys.argv[1]), holder="dead:1:aa")
for number in range(3):
    slip = spool.keep(kept(number))
spool.drop(slip)
os.kill(os.getpid(), signal.SIGKILL)
"""
# A limit of the file's size stands for the full disk: one write ends short, the next one fails.
_WITHOUT_ROOM = """
import resource, signal, sys
from pathlib import Path
from tests.unit.test_spool import kept
from worker.spool import Spool
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
spool = Spool(Path(sys.argv[1]), holder="full:1:aa")
spool.keep(kept(0))
for number, limit in ((1, 1500), (2, 0)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        spool.keep(kept(number))
    except OSError as error:
        print(number, error.strerror)
"""


def kept(number: int, text: str = "") -> Kept:
    """Make a reply that can be told from others."""
    message = {"content": [{"type": "text", "text": text}]}
    return Kept(
        job_id=f"job-{number}", token=1, closing=closing(f"attempt-{number}"), ending=succeeded(message=message)
    )


Opens = Callable[[str], Spool]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Name the spool's folder, which is not there yet."""
    return tmp_path / "spool"


@pytest.fixture
def opens(folder: Path) -> Iterator[Opens]:
    """Open spools in one folder, and close them at the end."""
    with ExitStack() as until_end:

        def open_one(holder: str) -> Spool:
            ours = Spool(folder, holder=holder)
            until_end.callback(ours.close)
            return ours

        yield open_one


class Book:
    """A ledger that takes replies, unless it is away."""

    def __init__(self) -> None:
        self.jobs: list[str] = []
        self.fails_at: int | None = None

    def replay(self, reply: Kept) -> bool:
        if self.fails_at == len(self.jobs):
            raise LedgerError("away")
        self.jobs.append(reply.job_id)
        return True


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.stat().st_size)


def test_what_is_kept_is_on_disk_for_its_owner_and_gone_when_the_ledger_has_it(opens: Opens, folder: Path) -> None:
    ours = opens("here:1:aa")
    slip = ours.keep(kept(1))
    (path,) = _files(folder)
    assert path.read_bytes() == path.read_bytes().rstrip() + b"\n"
    assert (path.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    ours.drop(slip)
    ours.close()
    assert list(folder.iterdir()) == []
    book = Book()
    assert opens("here:2:bb").replay(book.replay) == 0


def test_the_replies_of_a_killed_worker_are_replayed_by_the_next(opens: Opens, folder: Path) -> None:
    subprocess.run([sys.executable, "-c", _KEEP_AND_DIE, folder], check=False)
    book, ours = Book(), opens("here:2:bb")
    # The third was dropped and is in the file all the same: the ledger knows that it has it.
    assert ours.replay(book.replay) == 3
    assert book.jobs == ["job-0", "job-1", "job-2"]
    assert _files(folder) == []
    assert ours.replay(book.replay) == 0


def test_the_file_of_a_worker_that_lives_is_left_alone(opens: Opens) -> None:
    theirs, ours, book = opens("there:1:aa"), opens("here:2:bb"), Book()
    theirs.keep(kept(1))
    assert ours.replay(book.replay) == 0
    theirs.close()
    assert ours.replay(book.replay) == 1


def test_what_the_ledger_could_not_take_is_tried_again_in_order(opens: Opens, folder: Path) -> None:
    ours, book = opens("here:1:aa"), Book()
    for number in range(3):
        ours.leave(ours.keep(kept(number)))
    book.fails_at = 1
    with pytest.raises(LedgerError):
        ours.replay(book.replay)
    book.fails_at = None
    assert ours.replay(book.replay) == 2
    assert book.jobs == ["job-0", "job-1", "job-2"]
    ours.close()
    assert list(folder.iterdir()) == []


def test_an_orphan_that_meets_a_ledger_that_goes_away_stays_for_the_next_replay(opens: Opens, folder: Path) -> None:
    subprocess.run([sys.executable, "-c", _KEEP_AND_DIE, folder], check=False)
    book, ours = Book(), opens("here:2:bb")
    book.fails_at = 2
    with pytest.raises(LedgerError):
        ours.replay(book.replay)
    book.fails_at = None
    assert ours.replay(book.replay) == 3, "a reply may be given twice: the ledger takes it once"


def test_a_line_cut_by_a_crash_is_no_reply_and_a_damaged_one_is_put_aside(opens: Opens, folder: Path) -> None:
    subprocess.run([sys.executable, "-c", _KEEP_AND_DIE, folder], check=False)
    (path,) = _files(folder)
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + b"{rubbish\n" + second + third[:-9])
    book = Book()
    assert opens("here:2:bb").replay(book.replay) == 2
    assert book.jobs == ["job-0", "job-1"]
    assert [path.suffix for path in _files(folder)] == [".damaged"]


def test_a_full_file_gives_way_to_a_new_one_and_goes_with_its_last_reply(
    opens: Opens, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_SEGMENT_BYTES", 3000)
    ours, book = opens("here:1:aa"), Book()
    slips = [ours.keep(kept(number, "x" * 1000)) for number in range(9)]
    assert len(_files(folder)) > 2
    for slip in slips[:-1]:
        ours.drop(slip)
    assert len(_files(folder)) == 1
    ours.close()
    assert opens("here:2:bb").replay(book.replay) >= 1
    assert book.jobs[-1] == "job-8"


def test_many_threads_keep_at_once_and_lose_nothing(opens: Opens) -> None:
    ours, book = opens("here:1:aa"), Book()
    with ThreadPoolExecutor(32) as pool:
        slips = list(pool.map(lambda number: ours.keep(kept(number)), range(500)))
    for slip in slips[::2]:
        ours.drop(slip)
    ours.close()
    assert opens("here:2:bb").replay(book.replay) == 500
    assert len(set(book.jobs)) == 500


@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_a_disk_that_is_full_is_the_callers_to_know(
    opens: Opens, folder: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    ours = opens("here:1:aa")
    if call == "fdatasync":
        monkeypatch.setattr(os, "fdatasync", lambda _file: os.write(-1, b""))
        with pytest.raises(OSError, match="Bad file"):
            ours.keep(kept(1))
        return
    said = subprocess.run([sys.executable, "-c", _WITHOUT_ROOM, folder], check=True, capture_output=True, text=True)
    assert said.stdout.splitlines() == ["1 No space left on device", "2 File too large"]
    book = Book()
    assert ours.replay(book.replay) == 1
    assert book.jobs == ["job-0"]

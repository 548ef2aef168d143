"""Replies on disk: there when `keep` returns, gone when the ledger has them, replayed when their worker is gone."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from models.errors import LedgerError, SettingsError
from models.job.values import SpooledReply
from tests.support.ledgers.job_values import closing, succeeded
from worker.events import Event, RepliesSetAside, SpoolUnreadable
from worker.recovery import spool
from worker.recovery.spool import Spool
from worker.recovery.spool_record import to_line

_KEEP_AND_DIE = """
import os, signal, sys
from pathlib import Path
from tests.unit.worker.recovery.test_spool import kept
from worker.recovery.spool import Spool
spool = Spool(Path(sys.argv[1]), holder="dead:1:aa", report=print)
for number in range(3):
    slip = spool.keep(kept(number))
spool.drop(slip)
os.kill(os.getpid(), signal.SIGKILL)
"""
# A limit of the file's size stands for the full disk: one write ends short, the next one fails.
_WITHOUT_ROOM = """
import resource, signal, sys
from pathlib import Path
from tests.unit.worker.recovery.test_spool import kept
from worker.recovery.spool import Spool
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
spool = Spool(Path(sys.argv[1]), holder="full:1:aa", report=print)
spool.keep(kept(0))
for number, limit in ((1, 1500), (2, 0)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        spool.keep(kept(number))
    except OSError as error:
        print(number, error.strerror)
"""


def kept(number: int, text: str = "") -> SpooledReply:
    """Make a reply that can be told from others."""
    message = {"content": [{"type": "text", "text": text}]}
    return SpooledReply(
        job_id=f"job-{number}", token=1, closing=closing(f"attempt-{number}"), ending=succeeded(message=message)
    )


Opens = Callable[[str], Spool]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Name the spool's folder, which is not there yet."""
    return tmp_path / "spool"


@pytest.fixture
def reported() -> list[Event]:
    """Hear what the spools tell."""
    return []


@pytest.fixture
def opens(folder: Path, reported: list[Event]) -> Iterator[Opens]:
    """Open spools in one folder, and close them at the end."""
    with ExitStack() as until_end:

        def open_one(holder: str) -> Spool:
            ours = Spool(folder, holder=holder, report=reported.append)
            until_end.callback(ours.close)
            return ours

        yield open_one


class Book:
    """A ledger that takes replies, unless it is away."""

    def __init__(self) -> None:
        self.jobs: list[str] = []
        self.fails_at: int | None = None

    def replay(self, reply: SpooledReply) -> bool:
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


def test_a_line_cut_by_a_crash_and_a_damaged_one_are_set_aside_with_their_reasons(
    opens: Opens, folder: Path, reported: list[Event]
) -> None:
    subprocess.run([sys.executable, "-c", _KEEP_AND_DIE, folder], check=False)
    (path,) = _files(folder)
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + b"{rubbish\n" + second + third[:-9])
    book = Book()
    assert opens("here:2:bb").replay(book.replay) == 2
    assert book.jobs == ["job-0", "job-1"]
    (aside,) = _files(folder)
    assert (aside.suffix, aside.stat().st_mode & 0o777) == (".damaged", 0o600)
    lines = [json.loads(line) for line in aside.read_text().splitlines()]
    assert [(line["file"], line["line"]) for line in lines] == [(path.name, 2), (path.name, 4)]
    assert [line["bytes"].encode("latin-1") for line in lines] == [b"{rubbish\n", third[:-9]]
    assert reported == [RepliesSetAside(path=str(aside), count=2, message=lines[0]["reason"])]


def test_whichever_byte_is_flipped_no_wrong_reply_is_given_and_the_others_are(
    opens: Opens, folder: Path, reported: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _file: None)  # thousands of files, none to outlive a crash
    ours, replies = opens("here:2:bb"), [kept(number) for number in range(3)]
    whole = b"".join(to_line(reply) for reply in replies)
    orphan = folder / "dead-1-aa.1.jsonl"
    for place in range(len(whole)):
        orphan.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        given: list[SpooledReply] = []
        ours.replay(given.append)
        assert all(reply in replies for reply in given), place
        asides = sorted(folder.glob("*.damaged"))
        assert len(given) >= 2, place
        assert (len(given) == 3) != bool(asides), place
        assert [Path(event.path) for event in reported if isinstance(event, RepliesSetAside)] == asides, place
        assert not orphan.exists()
        reported.clear()
        for aside in asides:
            aside.unlink()


def test_what_cannot_be_read_is_told_once_and_stops_no_replay(
    opens: Opens, folder: Path, reported: list[Event]
) -> None:
    ours, book = opens("here:2:bb"), Book()
    (folder / "a.jsonl").mkdir()
    os.mkfifo(folder / "b.jsonl")
    (folder / "c.jsonl").symlink_to("/dev/zero")
    (folder / "d.jsonl").write_bytes(to_line(kept(1)))
    assert (ours.replay(book.replay), ours.replay(book.replay)) == (1, 0)
    assert [event.path for event in reported if isinstance(event, SpoolUnreadable)] == [
        str(folder / name) for name in ("a.jsonl", "b.jsonl", "c.jsonl")
    ]
    assert book.jobs == ["job-1"]


@pytest.mark.parametrize("line", [b"{}\n", b"[]", b"\0" * 4096, to_line(kept(7)).partition(b',"checksum"')[0] + b"}\n"])
def test_a_line_without_a_checksum_is_no_reply(opens: Opens, folder: Path, reported: list[Event], line: bytes) -> None:
    ours = opens("here:2:bb")
    (folder / "dead.jsonl").write_bytes(line)
    assert ours.replay(Book().replay) == 0
    assert [event.count for event in reported if isinstance(event, RepliesSetAside)] == [1]


def test_a_folder_that_takes_no_file_is_a_setting_to_be_mended(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file in its place")
    with pytest.raises(SettingsError, match=r"STATE_DIR=.*cannot be written to .*spool \(File exists\): name a folder"):
        Spool(tmp_path / "spool", holder="here:1:aa", report=print)


def test_a_reply_that_comes_after_the_folder_was_removed_is_on_disk_all_the_same(opens: Opens, folder: Path) -> None:
    ours, book = opens("here:1:aa"), Book()
    slip = ours.keep(kept(1))
    shutil.rmtree(folder)
    ours.keep(kept(2))
    ours.drop(slip)
    ours.close()
    assert opens("here:2:bb").replay(book.replay) == 1
    assert book.jobs == ["job-2"]


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
    message = subprocess.run([sys.executable, "-c", _WITHOUT_ROOM, folder], check=True, capture_output=True, text=True)
    assert message.stdout.splitlines() == ["1 No space left on device", "2 File too large"]
    book = Book()
    assert ours.replay(book.replay) == 1
    assert book.jobs == ["job-0"]

"""Files that are written whole or not at all."""

import os
import stat
from contextlib import ExitStack
from pathlib import Path

import pytest

from models.errors import InputError
from producer.output.atomic_file import replacing


def _write(path: Path, text: str = "new") -> None:
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def test_who_may_read_a_file_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "private"
    path.write_text("old", encoding="utf-8")
    path.chmod(0o600)
    _write(path)
    assert (stat.S_IMODE(path.stat().st_mode), path.read_text(encoding="utf-8")) == (0o600, "new")


def test_a_file_stays_its_owners_where_root_writes_it(tmp_path: Path) -> None:
    path, owner = tmp_path / "theirs", os.geteuid() or 12_345
    path.touch()
    os.chown(path, owner, -1)
    _write(path)
    assert path.stat().st_uid == owner


def test_a_link_to_a_pipe_without_a_name_is_written_to() -> None:
    reads, writes = os.pipe()
    with ExitStack() as open_ends:
        for end in (reads, writes):
            open_ends.callback(os.close, end)
        _write(Path(f"/dev/fd/{writes}"))
        assert os.read(reads, 10) == b"new"


def test_two_that_write_at_once_are_not_mixed(tmp_path: Path) -> None:
    path, other = tmp_path / "one", tmp_path / "two"
    with replacing(path) as part:
        part.write_text("one", encoding="utf-8")
        _write(other, "two")
        _write(path, "early")
    assert [each.read_text(encoding="utf-8") for each in (path, other)] == ["one", "two"]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_link_keeps_pointing_where_it_did(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("middle")
    (tmp_path / "middle").symlink_to("file")
    _write(tmp_path / "link")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "new"
    assert [(tmp_path / name).is_symlink() for name in ("link", "middle", "file")] == [True, True, False]


@pytest.mark.parametrize(
    ("name", "reason"), [("loop", "Too many levels of symbolic links"), ("x" * 256, "File name too long")]
)
def test_a_name_that_leads_nowhere_says_so(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "loop").symlink_to("back")
    (tmp_path / "back").symlink_to("loop")
    with pytest.raises(InputError, match=rf"cannot be written \({reason}\)"):
        _write(tmp_path / name)

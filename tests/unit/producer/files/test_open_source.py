"""What prompts are read from can be read again: a file, or a stream that was set aside."""

import codecs
import os
import threading
from pathlib import Path

import pytest

from models.errors import InputError
from producer.files.open_source import head_of, opened
from producer.files.prompts import opened_prompts
from producer.prompt.row_buffer import Laid


def test_a_file_can_be_read_again_from_behind_its_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(codecs.BOM_UTF8 + b"Why?\nHow?\n")
    with opened_prompts(str(path)) as prompts:
        first, second = ([prompt.text for prompt in prompts.prompts()] for _ in range(2))
    assert first == second == ["Why?", "How?"]


def test_a_pipe_is_set_aside_so_that_it_can_be_read_again() -> None:
    receive, send = os.pipe()

    def write() -> None:
        with os.fdopen(send, "wb") as pipe:
            pipe.write(b"one line\n" * 50_000)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(receive, "rb") as pipe, opened("-", pipe) as file:
        assert head_of(file).startswith(b"one line\n")
        counts = []
        for _ in range(2):
            file.seek(0)
            counts.append(sum(1 for _ in file))
    writer.join()
    assert counts == [50_000, 50_000]


def test_a_stream_that_breaks_is_a_mistake() -> None:
    receive, send = os.pipe()
    os.close(receive)
    refused = pytest.raises(InputError, match="stdin: cannot be read: ")
    with os.fdopen(send, "wb") as not_for_reading, refused, opened("-", not_for_reading):
        pass


def test_an_end_of_line_of_an_old_spreadsheet_is_one(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"prompt,n\rWhy?,1\rHow?,2\r")
    with opened_prompts(str(path)) as prompts:
        assert [prompt.text for prompt in prompts.prompts()] == ["Why?", "How?"]


@pytest.mark.parametrize("count", [0, 3, 999, 1000, 2500])
def test_rows_come_back_in_order_from_memory_and_from_disk(count: int) -> None:
    with Laid() as rows:
        for number in range(count):
            rows.add((number, f"é{number}", None))
        assert rows.count == count
        for _ in range(2):
            assert [*rows] == [(number, f"é{number}", None) for number in range(count)]


def test_large_rows_are_set_aside_sooner() -> None:
    with Laid() as rows:
        for number in range(10):
            rows.add(number, characters=3_000_000)
        assert [*rows] == [*range(10)]
        assert len(rows._last) < 3  # noqa: SLF001 - that they are not in memory is the point


def test_a_folder_that_cannot_hold_them_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with Laid() as rows, pytest.raises(InputError) as refused:
        rows.add("a large one", characters=10_000_000)
    reported = "cannot hold what is set aside (No such file or directory): make room, or name another folder by TMPDIR"
    assert str(refused.value) == f"{tmp_path / 'none'}: {reported}"

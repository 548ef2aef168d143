"""Reading prompts: what is too large, has no end or is no text is refused in bounded memory, by its name."""

import io
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from models.errors import InputError
from producer.files import csv_rows, lines, open_source
from producer.files.record_to_prompt import ReadOptions
from producer.map_reduce.documents import read_documents
from tests.support.peak_memory import Ran, run_to_peak
from tests.support.read_prompts import Loaded, load

pytestmark = pytest.mark.slow
_ROOT = Path(__file__).parents[4]
_MOST_MB = 260  # of which the interpreter and pyarrow take 100
_LOAD = """
import sys
from tests.support.read_prompts import load
from producer.files.record_to_prompt import ReadOptions

loaded = load(sys.argv[1], ReadOptions(**eval(sys.argv[2])))
print(len(loaded.prompts), *loaded.mistakes[:1], len(loaded.mistakes))
"""
_A_LINE = b'{"prompt": "a"}\n'


def in_a_process(path: Path, **options: Any) -> Ran:
    return run_to_peak([sys.executable, "-c", _LOAD, path, repr(options)], cwd=_ROOT)


def from_stdin(data: bytes, **options: Any) -> Loaded:
    return load("-", ReadOptions(**options), stdin=io.BytesIO(data))


def mistakes_of(data: bytes, **options: Any) -> list[str]:
    return [str(mistake) for mistake in from_stdin(data, **options).mistakes]


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.csv", "a.json"])
def test_a_line_of_256_mb_is_a_mistake_in_bounded_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    before = {"a.csv": b'prompt\n"', "a.json": b'[{"prompt": "'}.get(name, b'{"prompt": "')
    with path.open("wb") as out:
        out.write(before)
        for _ in range(256):
            out.write(b"x" * 2**20)
    ran = in_a_process(path)
    assert ran.code == 0, ran.err
    assert ran.peak_mb < _MOST_MB
    message = ran.out.removeprefix(f"0 {path}:")
    assert message.startswith(
        ("1: has more than 67,108,864 bytes", "2: has more than 67,108,864 bytes", "1: ends before")
    ), message


def test_a_line_too_long_is_named_and_those_behind_it_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_BYTES", 100)
    data = _A_LINE + b'{"prompt": "' + b"x" * 3000 + b'"}\n' + _A_LINE
    for given in (data, b"[" + data.replace(b"}\n{", b"},\n{") + b"]"):
        found = from_stdin(given)
        assert [prompt.text for prompt in found.prompts] == ["a", "a"]
        assert [str(mistake) for mistake in found.mistakes] == [f"stdin:2: {lines.TOO_LONG}"]


def test_a_file_of_nothing_but_nul_bytes_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as out:
        out.truncate(2**42)  # 4 TB that take no room
    ran = in_a_process(path)
    assert ran.code == 0, ran.err
    assert "has more than 67,108,864 bytes, and NUL bytes among them, so this is no text" in ran.out
    assert ran.peak_mb < _MOST_MB


def test_a_line_of_very_many_small_values_is_a_mistake_and_a_text_of_commas_is_none() -> None:
    crowd = b'{"prompt": "a", "x": [' + b"{}," * 1_000_000 + b"{}]}\n"
    assert mistakes_of(crowd + _A_LINE) == [
        "stdin:1: has more than 1,000,000 JSON values; split it, or write what is in it as text"
    ]
    assert mistakes_of(b'{"prompt": "a' + b',\\"[' * 1_000_000 + b'"}\n') == []


def test_a_quote_that_is_never_closed_takes_no_more_than_a_row_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "MOST_BYTES", 1000)
    text = b'prompt,n\na,1\n"b,2\n' + b"c,3\n" * 1000
    assert mistakes_of(text, format="csv") == [f"stdin:3: {lines.TOO_LONG}; or close a quote that was left open"]


def test_a_template_that_makes_far_more_than_a_row_holds_is_a_mistake() -> None:
    row = b'{"text": "' + b"x" * 1_000_000 + b'"}'
    [mistake] = mistakes_of(row, template="{text}" * 40)
    assert mistake.startswith(
        "stdin:1: template: makes more than 33,554,432 characters of this row; the API takes no more"
    )


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/urandom", "/dev/full"])
def test_a_device_without_an_end_is_refused_by_name(device: str) -> None:
    reported = "is a device, which has no end; name a file, or - for stdin"
    for form in (None, "jsonl", "text", "csv", "parquet"):
        assert [str(one) for one in load(device, ReadOptions(format=form)).mistakes] == [f"{device}: {reported}"]
    with Path(device).open("rb") as stdin:
        assert [str(one) for one in load("-", stdin=stdin).mistakes] == [f"stdin: {reported}"]
    with pytest.raises(InputError, match="is a device"):
        read_documents(device, ReadOptions(format="text"))


def test_nothing_on_stdin_is_no_device() -> None:
    with Path(os.devnull).open("rb") as stdin:
        assert [str(one) for one in load("-", stdin=stdin).mistakes] == ["stdin: holds no prompts"]


def endless(path: Path, data: bytes) -> threading.Thread:
    """Write into a FIFO until nobody reads it any more."""

    def write() -> None:
        with path.open("wb", buffering=0) as fifo:
            try:
                while True:
                    fifo.write(data)
            except BrokenPipeError:
                return

    writer = threading.Thread(target=write)
    writer.start()
    return writer


@pytest.mark.parametrize(
    ("data", "reported"),
    [
        (bytes(4096), "holds a NUL byte at byte 1, so this is no text; save it as UTF-8"),
        (_A_LINE * 256, "gives more than 3,000,000 bytes through a pipe; write them to a file, and name it"),
    ],
)
def test_a_pipe_without_an_end_is_not_set_aside_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, reported: str
) -> None:
    monkeypatch.setattr(open_source, "_MOST_STREAMED", 3_000_000)
    path = tmp_path / "a.jsonl"
    os.mkfifo(path)
    writer = endless(path, data)
    assert [str(mistake) for mistake in load(str(path)).mistakes] == [f"{path}: {reported}"]
    writer.join(30)
    assert not writer.is_alive()


def test_a_disk_that_is_full_is_told_with_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    receive, send = os.pipe()
    os.write(send, _A_LINE)
    os.close(send)
    full = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 - closed where it is used
    monkeypatch.setattr(open_source, "TemporaryFile", lambda **_: full)
    with os.fdopen(receive, "rb") as stdin:
        [mistake] = load("-", stdin=stdin).mistakes
    assert "cannot hold what a pipe gives (No space left on device): make room" in str(mistake)


@pytest.mark.parametrize(
    ("data", "reported"),
    [
        ("a\n".encode("utf-16"), "is UTF-16; save it as UTF-8"),
        ('{"prompt": "a"}'.encode("utf-16-le"), "is UTF-16; save it as UTF-8"),
        ('{"prompt": "a"}'.encode("utf-16-be"), "is UTF-16; save it as UTF-8"),
        ("a\n".encode("utf-32"), "is UTF-32; save it as UTF-8"),
        (b"\x1f\x8b\x08\0", "is compressed by gzip; unpack it: gzip -dc FILE | stepdown submit -"),
        (b"\x28\xb5\x2f\xfd\0", "is compressed by zstd; unpack it: zstd -dc FILE | stepdown submit -"),
        (b"PK\x03\x04\x14", "is a ZIP archive or a spreadsheet (.xlsx); unpack it, or save the sheet as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1", "is an old Office file (.xls, .doc); save it as CSV or text"),
    ],
)
def test_what_must_be_unpacked_or_saved_anew_is_told_how(data: bytes, reported: str) -> None:
    for form in (None, "jsonl", "text", "csv", "parquet"):
        assert mistakes_of(data, format=form) == [f"stdin: {reported}"]


def test_a_document_larger_than_any_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with path.open("wb") as out:
        out.truncate(2**42)
    with pytest.raises(InputError, match="has more than 268,435,456 bytes, and a text is read whole; split it"):
        read_documents(str(path))


def bomb(path: Path, values: list[Any], kind: pa.DataType) -> Path:
    table = pa.table({"prompt": pa.array(values, kind)})
    parquet.write_table(table, path, compression="zstd", dictionary_pagesize_limit=2**30)
    return path


def test_a_parquet_that_comes_to_gigabytes_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    path = bomb(tmp_path / "a.parquet", ["x" * 10_000_000] * 60, pa.string())
    assert path.stat().st_size < 2000
    ran = in_a_process(path)
    assert ran.code == 0, ran.err
    assert f"{path}:27: comes to more than 268,435,456 bytes, and the file has only " in ran.out
    assert ran.peak_mb < 600  # what was read before, as load keeps it


def test_a_list_in_a_parquet_that_comes_to_gigabytes_is_refused_by_row(tmp_path: Path) -> None:
    path = bomb(tmp_path / "a.parquet", [["x" * 1_000_000] * 200] * 3, pa.list_(pa.string()))
    ran = in_a_process(path)
    assert ran.code == 0, ran.err
    assert f"0 {path}:1: has 200,000,0" in ran.out
    assert ran.peak_mb < _MOST_MB


def test_a_value_of_a_parquet_that_is_larger_than_any_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = bomb(tmp_path / "a.parquet", ["x" * 200_000_000], pa.string())
    ran = in_a_process(path)
    assert ran.code == 0, ran.err
    assert f"0 {path}: prompt: has values of more than 67,108,864 bytes; cut them, or leave the column out" in ran.out
    assert ran.peak_mb < _MOST_MB


def test_a_parquet_of_a_few_bytes_and_very_many_rows_is_refused(tmp_path: Path) -> None:
    path = bomb(tmp_path / "a.parquet", ["a"] * 6_000_000, pa.string())
    [mistake] = load(str(path)).mistakes
    assert str(mistake).startswith(f"{path}: comes to more than 268,435,456 bytes")

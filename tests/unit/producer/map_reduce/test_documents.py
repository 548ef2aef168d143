"""Documents read from a file or a folder, and what cannot be read, told with its place."""

from pathlib import Path

import pytest

from models.errors import InputError, InputMistakes
from producer.commands.options import _mapping
from producer.files.record_to_prompt import ReadOptions
from producer.map_reduce.documents import read_documents
from producer.map_reduce.plan import Document

_ROWS = '{"id": "a", "title": "On rain", "text": "It rained."}\n{"id": "b"}\n'


def test_a_row_is_a_document_with_its_other_columns(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("name,title,text\na,On rain,It rained.\n", encoding="utf-8")
    assert read_documents(str(rows), ReadOptions(id_column="name")) == [
        Document("It rained.", id="a", columns={"name": "a", "title": "On rain"})
    ]


def test_bad_rows_stop_it_or_are_listed_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(_ROWS, encoding="utf-8")
    with pytest.raises(InputMistakes, match=r"rows\.jsonl:2: template: no column 'text'"):
        read_documents(str(rows))
    assert read_documents(str(rows), skip_bad=True) == [Document("It rained.", id="a", columns={"title": "On rain"})]
    assert "left out: " in capsys.readouterr().err


def test_a_folder_is_its_texts_by_name_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.md", "a.txt", "c.pdf"):
        (tmp_path / name).write_text(f"Of {name}.", encoding="utf-8-sig")
    assert read_documents(str(tmp_path)) == [Document("Of a.txt.", id="a"), Document("Of b.md.", id="b")]


def test_texts_that_differ_in_their_ending_alone_are_called_by_their_whole_names(tmp_path: Path) -> None:
    for name in ("a.md", "a.txt", "b.txt"):
        (tmp_path / name).write_text(f"Of {name}.", encoding="utf-8")
    assert [document.id for document in read_documents(str(tmp_path))] == ["a.md", "a.txt", "b"]


def test_bad_texts_of_a_folder_are_all_named_or_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, data in (("a.txt", b""), ("b.txt", b"It rained."), ("c.md", b"caf\xe9")):
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputMistakes) as caught:
        read_documents(str(tmp_path))
    assert [str(mistake).split(": ")[0] for mistake in caught.value.mistakes] == [
        str(tmp_path / "a.txt"),
        str(tmp_path / "c.md"),
    ]
    assert read_documents(str(tmp_path), skip_bad=True) == [Document("It rained.", id="b")]
    assert f"left out: {tmp_path / 'a.txt'}: holds no text\n" in capsys.readouterr().err


def test_a_text_has_no_column_to_be_called_by(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("It rained.", encoding="utf-8")
    for source in (tmp_path, tmp_path / "a.txt"):
        with pytest.raises(InputError, match="id_column: needs columns, and a text has none"):
            read_documents(str(source), ReadOptions(id_column="name"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty", r"holds no file that ends in \.txt or \.md"),
        ("none.txt", "cannot be read: No such file or directory; name a readable file"),
        ("blank.txt", r"blank\.txt: holds no text"),
        ("latin.txt", r"is no UTF-8 text \(byte 4\); save it as UTF-8"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "blank.txt").write_text(" \n", encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match=message):
        read_documents(str(tmp_path / name))


def test_what_belongs_to_a_map_is_refused_without_one() -> None:
    assert _mapping() is None
    with pytest.raises(InputError, match="--part-tokens: is for --map TEMPLATE"):
        _mapping(part_tokens=5)
    with pytest.raises(InputError, match="--no-synthesis: is for --map TEMPLATE"):
        _mapping(synthesis=False)
    assert _mapping(map="{text}", step_tokens=9) == {"map": "{text}", "synthesize": True, "step_tokens": 9}


def test_what_is_no_text_in_a_folder_is_passed_over_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.txt", ".hidden.txt", "d.pdf"):
        (tmp_path / name).write_text("It rained.", encoding="utf-8")
    (tmp_path / "below").mkdir()
    assert [document.id for document in read_documents(str(tmp_path))] == ["a"]
    assert capsys.readouterr().err == f"{tmp_path}: 2 of 3 entries are no .txt or .md file: passed over\n"

"""Parquet in and out: cells as text, the input's own columns back, and money exact."""

import io
import random
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from models.errors import InputError
from models.job.answer import Answer
from models.outcome import State
from producer.files.record_to_prompt import ReadOptions
from producer.files.results import write_to
from producer.prompt.prompt import Prompt
from tests.support.peak_memory import run_to_peak
from tests.support.read_prompts import Loaded, load

_ROOT = Path(__file__).parents[4]
_MOST_MB = 150  # of which the interpreter and pyarrow take 100; the file has 120
_READ = """
import sys
from producer.files.prompts import opened_prompts

with opened_prompts(sys.argv[1]) as prompts:
    print(sum(1 for _ in prompts.prompts()))
"""


def written(path: Path, **columns: Any) -> Path:
    parquet.write_table(pa.table(columns), path)
    return path


def loaded(path: Path, **options: Any) -> Loaded:
    return load(str(path), ReadOptions(**options))


def mistakes_of(path: Path, **options: Any) -> list[str]:
    return [str(mistake).removeprefix(str(path)) for mistake in loaded(path, **options).mistakes]


def test_a_template_is_filled_from_columns_of_any_kind_and_all_of_them_come_back(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.parquet",
        key=[7, 8],
        title=["One", None],
        on=[date(1999, 12, 31), None],
        at=[datetime(2026, 11, 25, 8, tzinfo=UTC), None],
        cost=[Decimal("1.50"), None],
        tags=[["a", "é"], None],
        is_new=[True, None],
        uuid=pa.array([bytes(15) + b"7", None], pa.uuid()),
    )
    found = loaded(path, template="{title} of {on}", id_column="key")
    first = {
        "key": "7", "title": "One", "on": "1999-12-31", "at": "2026-11-25T08:00:00+00:00", "cost": "1.50",
        "tags": '["a", "é"]', "is_new": "true",
        "uuid": "00000000-0000-0000-0000-000000000037",
    }  # fmt: skip
    assert found.prompts == [Prompt("One of 1999-12-31", id="7", columns=first)]
    assert mistakes_of(path, template="{title} of {on}", id_column="key") == [
        ":2: template: all of its columns are empty here (title, on)"
    ]


def test_without_a_template_its_prompt_column_is_used_and_the_options_beside_it(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", id=["x", "y"], prompt=["Why?", "How?"], max_tokens=[9, None])
    assert loaded(path).prompts == [
        Prompt("Why?", id="x", max_tokens=9, columns={"prompt": "Why?", "max_tokens": "9"}),
        Prompt("How?", id="y", columns={"prompt": "How?", "max_tokens": ""}),
    ]


def test_stdin_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    data = written(tmp_path / "a.parquet", prompt=["Why?"]).read_bytes()
    assert [prompt.text for prompt in load("-", stdin=io.BytesIO(data)).prompts] == ["Why?"]


def test_what_cannot_be_read_is_one_mistake(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 and no more")
    [mistake] = mistakes_of(path)
    assert mistake.startswith(": cannot be read as Parquet: ")
    assert mistakes_of(written(path, text=["a"])) == [
        ": prompt: no column 'prompt'; the columns are 'text'; rename one, or use a template"
    ]
    assert mistakes_of(written(path, prompt=pa.array([], pa.string()))) == [": holds no prompts"]
    path.write_bytes(written(path, prompt=["a"], odd=["b"]).read_bytes().replace(b"odd", b"o\xffd"))
    [mistake] = mistakes_of(path)
    assert mistake.startswith(": cannot be read as Parquet: 'utf-8' codec can't decode byte 0xff")


def notes_of(path: Path, **options: Any) -> list[str]:
    return [note.removeprefix(str(path)) for note in loaded(path, **options).notes]


def test_bytes_that_are_named_must_be_text_and_others_are_left_out_and_told(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", prompt=["a", "b"], raw=[None, b"\xff"])
    found = loaded(path)
    assert [(prompt.text, prompt.columns) for prompt in found.prompts] == [
        ("a", {"prompt": "a"}),
        ("b", {"prompt": "b"}),
    ]
    assert mistakes_of(path) == []
    assert notes_of(path) == [": 'raw' hold bytes, which do not come back with the answers"]
    assert mistakes_of(path, template="{prompt}{raw}") == [
        r":2: raw: b'\xff' has no text: cast the column, or do not name it"
    ]


def test_bytes_that_are_text_may_be_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", prompt=["é".encode(), b"b"])
    assert [prompt.text for prompt in loaded(path).prompts] == ["é", "b"]


def test_bytes_within_a_column_keep_it_out_of_the_answers_and_refuse_no_file(tmp_path: Path) -> None:
    images = [{"bytes": b"\x89PNG\x00", "path": "a.png"}, {"bytes": b"\xff\xd8", "path": None}]
    path = written(tmp_path / "a.parquet", prompt=["a", "b"], image=images, shots=[[b"\xff"], None])
    assert [prompt.columns for prompt in loaded(path).prompts] == [{"prompt": "a"}, {"prompt": "b"}]
    assert notes_of(path) == [": 'image', 'shots' hold bytes, which do not come back with the answers"]


def test_durations_and_nested_values_have_a_text_that_is_always_the_same(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.parquet",
        prompt=["a", "b"],
        took=pa.array([1_500_000_001, None], pa.duration("ns")),
        back=pa.array([-90, 0], pa.duration("s")),
        map=pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int32())),
        deep=[{"at": date(1999, 12, 31), "in": [{"n": Decimal("1.50")}]}, None],
    )
    first, second = (prompt.columns for prompt in loaded(path).prompts)
    assert first == {
        "prompt": "a", "took": "PT1.500000001S", "back": "-PT90S", "map": '[["a", 1]]',
        "deep": '{"at": "1999-12-31", "in": [{"n": "1.50"}]}',
    }  # fmt: skip
    assert second == {"prompt": "b", "took": "", "back": "PT0S", "map": "", "deep": ""}
    assert loaded(path, template="{took}").prompts[0].text == "PT1.500000001S"


def test_a_time_to_the_nanosecond_has_a_text(tmp_path: Path) -> None:
    odd = pa.array([1_764_057_600_000_000_001], pa.timestamp("ns"))
    path = written(tmp_path / "a.parquet", prompt=["a"], odd=odd)
    assert loaded(path, template="{odd}").prompts[0].text == "2025-11-25T08:00:00.000000001"


@pytest.mark.parametrize(
    "column",
    [
        pa.array([0, 2**62], pa.timestamp("us")),
        pa.array([None, 0], pa.timestamp("us", tz="No/Where")),
        pa.Array.from_buffers(
            pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xff\xff")]
        ),
    ],
)
def test_what_has_no_text_refuses_its_row_where_it_is_named_and_else_comes_back_empty(
    tmp_path: Path, column: Any
) -> None:
    path = written(tmp_path / "a.parquet", prompt=["a", "b"], odd=column)
    template = "{prompt}{odd}"
    assert [prompt.text[0] for prompt in loaded(path, template=template).prompts] == ["a"]
    [mistake] = mistakes_of(path, template=template)
    assert mistake.startswith(":2: odd: ")
    assert mistake.endswith(" has no text: cast the column, or do not name it")
    assert loaded(path).prompts[1].columns == {"prompt": "b", "odd": ""}
    assert notes_of(path) == [": 'odd' holds values that have no text, which come back empty"]


def test_a_row_group_as_large_as_the_file_is_not_read_as_a_whole(tmp_path: Path) -> None:
    path, rng = tmp_path / "a.parquet", random.Random(7)
    parquet.write_table(pa.table({"prompt": [rng.randbytes(600).hex() for _ in range(100_000)]}), path)
    assert parquet.ParquetFile(path).num_row_groups == 1
    read = run_to_peak([sys.executable, "-c", _READ, path], cwd=_ROOT)
    assert (read.code, read.out) == (0, "100000\n"), read.err
    assert read.peak_mb < _MOST_MB


def answers() -> list[Answer]:
    message = {"content": [{"type": "text", "text": "Because \ud800."}], "stop_reason": "end_turn"}
    done = {"message": message, "model": "m", "fallback_depth": 1, "cost_usd": Decimal("0.000000001")}
    return [
        Answer(id="a", job_id="1", state=State.SUCCEEDED, columns={"title": "One", "text": "é"}, **done),  # type: ignore[arg-type]
        Answer(id="b", job_id="2", state=State.FAILED, error="It said no.", columns={"year": "1999"}),
    ]


def test_answers_have_the_inputs_own_columns_and_costs_exactly(tmp_path: Path) -> None:
    write_to(tmp_path / "out.parquet", answers(), format="parquet")
    table = parquet.read_table(tmp_path / "out.parquet")
    assert {name: str(table.schema.field(name).type) for name in ("title", "fallback_depth", "cost_usd", "text")} == {
        "title": "string",
        "fallback_depth": "int64",
        "cost_usd": "decimal128(28, 9)",
        "text": "string",
    }
    first, second = table.to_pylist()
    assert first == {
        "title": "One", "input_text": "é", "year": None, "id": "a", "text": "Because \ufffd.", "model": "m",
        "fallback_depth": 1, "stop_reason": "end_turn", "cost_usd": Decimal("0.000000001"), "error": None,
        "state": "succeeded",
    }  # fmt: skip
    assert (second["year"], second["text"], second["cost_usd"], second["error"]) == ("1999", None, None, "It said no.")


def test_what_came_in_goes_out_and_comes_in_again(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", title=["One", "é😀"], n=[1, 2])
    prompts = loaded(path, template="{title}").prompts
    done = [
        Answer(id=str(seq), job_id=str(seq), state=State.FAILED, columns=prompt.columns)
        for seq, prompt in enumerate(prompts)
    ]
    write_to(tmp_path / "out.parquet", done, format="parquet")
    again = loaded(tmp_path / "out.parquet", template="{title}").prompts
    assert [prompt.text for prompt in again] == ["One", "é😀"]


def test_parquet_is_not_written_to_a_terminal() -> None:
    with pytest.raises(InputError, match="parquet is no text: name a file by -o"):
        write_to(None, answers(), format="parquet")


def test_without_pyarrow_we_are_told_which_extra_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.parquet", prompt=["Why?"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    reported = "parquet needs pyarrow: pip install 'stepdown[parquet]', or take another format"
    assert mistakes_of(path) == [f": {reported}"]
    with pytest.raises(InputError) as refused:
        write_to(tmp_path / "out.parquet", answers(), format="parquet")
    assert str(refused.value) == f"results: {reported}"
    assert not (tmp_path / "out.parquet").exists()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_to(tmp_path / "none" / "out.parquet", answers(), format="parquet")

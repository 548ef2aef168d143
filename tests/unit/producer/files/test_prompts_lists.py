"""Reading prompts: a whole JSON list, or the body of a message batch, however it is laid out."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.files import lines
from producer.files.record_to_prompt import ReadOptions
from tests.support.peak_memory import run_to_peak
from tests.support.read_prompts import Loaded, load

_ROOT = Path(__file__).parents[4]
_READ = """
import sys
from producer.files.prompts import opened_prompts

with opened_prompts(sys.argv[1]) as prompts:
    print(sum(1 for _ in prompts.prompts()))
"""
_MOST_MB = 90  # of which the interpreter takes 40; the file has 80


def from_stdin(text: str | bytes, **options: Any) -> Loaded:
    data = text.encode() if isinstance(text, str) else text
    return load("-", ReadOptions(**options), stdin=io.BytesIO(data))


def mistakes_of(text: str | bytes, **options: Any) -> list[str]:
    return [str(mistake) for mistake in from_stdin(text, **options).mistakes]


def request(custom_id: str, text: str = "Why?") -> dict[str, Any]:
    return {"custom_id": custom_id, "params": {"max_tokens": 9, "messages": [{"role": "user", "content": text}]}}


@pytest.mark.parametrize("indent", [None, 0, 2, "\t"])
@pytest.mark.parametrize("wrap", [lambda requests: {"requests": requests}, lambda requests: requests])
def test_the_body_of_a_message_batch_is_read_as_its_lines_would_be(indent: Any, wrap: Any) -> None:
    requests = [request("a", 'One, "two" ] } \\'), request("b", "[{\n")]
    found = from_stdin("\ufeff\n" + json.dumps(wrap(requests), indent=indent) + "\n\n")
    assert found.mistakes == []
    assert [(prompt.id, prompt.params) for prompt in found.prompts] == [
        (one["custom_id"], one["params"]) for one in requests
    ]


def test_a_list_of_prompts_or_of_rows_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[\n{"prompt": "a"}\n,\n{"prompt": "b", "id": 7}]', encoding="utf-8")
    assert [(prompt.text, prompt.id) for prompt in load(str(tmp_path / "a.json")).prompts] == [("a", None), ("b", "7")]
    rows = from_stdin('[{"title": "a"}, {"title": "b"}]', template="About {title}")
    assert [prompt.text for prompt in rows.prompts] == ["About a", "About b"]


def test_a_bad_element_is_named_by_its_own_line_and_the_others_are_read() -> None:
    text = '{"requests": [\n  {"prompt": "a"},\n  7,\n  {"prompt":\n    },\n  {"prompt": ""},\n  {"prompt": "b"}\n]}'
    found = from_stdin(text)
    assert [prompt.text for prompt in found.prompts] == ["a", "b"]
    assert [str(mistake) for mistake in found.mistakes] == [
        "stdin:3: is a JSON int, not an object in the list",
        "stdin:5: is not JSON: Expecting value at character 5 in the list",
        "stdin:6: prompt: '' should be text with at least one visible character",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "stdin: holds no prompts"),
        ('{"requests": []}', "stdin: holds no prompts"),
        ('[{"prompt": "a"},]', "stdin:1: is not JSON: Expecting value at character 1 in the list"),
        ('[\n{"prompt": "a"}', "stdin:2: ends before its JSON list does; write the file anew, to its end"),
        (
            '[{"prompt": "a"}]\n x',
            "stdin:1: holds more behind its JSON list; write one list a file, or one object a line",
        ),
        (
            '{"requests": [{"prompt": "a"}], "model": "m"}',
            "stdin:1: holds more behind its JSON list; write one list a file, or one object a line",
        ),
        (
            '{"model": "m", "n": 1,\n "requests": []}',
            "stdin:1: has 'model' beside requests, and a batch has requests alone; remove it",
        ),
    ],
)
def test_a_list_that_is_not_whole_is_told_what_it_lacks(text: str, problem: str) -> None:
    assert mistakes_of(text) == [problem]


def test_lines_that_name_requests_are_lines() -> None:
    assert [prompt.text for prompt in from_stdin('{"prompt": "a", "requests": [1]}\n{"prompt": "b"}').prompts] == [
        "a",
        "b",
    ]


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")).filter(str.strip), min_size=1),
    st.integers(1, 40),
    st.sampled_from([None, 1]),
)
def test_any_list_is_cut_as_json_is_wherever_its_chunks_end(texts: list[str], chunk: int, indent: int | None) -> None:
    data = json.dumps([{"prompt": text, "x": [{}, [text]]} for text in texts], ensure_ascii=False, indent=indent)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lines, "_CHUNK", chunk + 20)
        found = from_stdin(data)
    assert ([prompt.text for prompt in found.prompts], found.mistakes) == (texts, [])


def test_a_list_on_one_line_is_read_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with path.open("w", encoding="utf-8") as out:
        out.write('{"requests": [')
        out.writelines(
            f"{',' if number else ''}{json.dumps(request(str(number), 'x' * 20_000))}" for number in range(4_000)
        )
        out.write("]}")
    read = run_to_peak([sys.executable, "-c", _READ, path], cwd=_ROOT)
    assert (read.code, read.out) == (0, "4000\n"), read.err
    assert read.peak_mb < _MOST_MB

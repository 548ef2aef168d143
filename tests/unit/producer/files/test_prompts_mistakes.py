"""Reading prompts: every mistake names its source, line, field and what would be right."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from producer.files.record_to_prompt import ReadOptions
from tests.support.read_prompts import Loaded, load


def from_stdin(text: str | bytes, **options: Any) -> Loaded:
    data = text.encode() if isinstance(text, str) else text
    return load("-", ReadOptions(**options), stdin=io.BytesIO(data))


def mistakes_of(text: str | bytes, **options: Any) -> list[str]:
    return [str(mistake) for mistake in from_stdin(text, **options).mistakes]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{}", "prompt: give either prompt (a text) or messages (a list), or use a template"),
        (
            '{"prompt": "a", "messages": []}',
            "prompt: give either prompt (a text) or messages (a list), or use a template",
        ),
        ('{"prompt": ""}', "prompt: '' should be text with at least one visible character"),
        ('{"prompt": 5}', "prompt: 5 should be text with at least one visible character"),
        ('{"prompt": "a", "id": true}', "id: True should be text or a whole number"),
        ('{"prompt": "a", "id": ""}', "id: '' should be text or a whole number"),
        ('{"prompt": "a", "max_tokens": "9"}', "max_tokens: '9' should be a whole number, 1 or more"),
        ('{"prompt": "a", "max_tokens": 1.5}', "max_tokens: 1.5 should be a whole number, 1 or more"),
        ('{"prompt": "a", "task": 5}', "task: 5 should be text, or be left out"),
        ('{"prompt": "a", "model": "m"}', "model: would not be sent: name the model to begin with as start"),
        (
            '{"prompt": "a", "temperature": 0}',
            'temperature: would not be sent: write API parameters as {"custom_id": ..., "params": {...}}',
        ),
        ('{"prompt": "a\\u0000"}', "prompt: holds a NUL character at character 2; remove it"),
        (
            '{"messages": [{"role": "user", "content": "\\ud800"}]}',
            r"messages[0].content: holds half a surrogate pair (\ud800) at character 1; remove it",
        ),
        ('{"prompt": "a", }', None),
        ("[1]", "is a JSON list, not an object; write one object a line"),
        ('"a"', "is a JSON str, not an object; write one object a line"),
        ('{"prompt": NaN}', "cannot be read as JSON: NaN is not a JSON value"),
    ],
)
def test_a_bad_jsonl_line_is_named_and_the_good_ones_are_kept(line: str, problem: str | None) -> None:
    loaded = from_stdin(f'{{"prompt": "one"}}\n\n{line}\n{{"prompt": "two"}}\n', format="jsonl")
    assert [prompt.text for prompt in loaded.prompts] == ["one", "two"]
    [mistake] = loaded.mistakes
    if problem is None:  # the rest of this sentence is the parser's, and changes with Python
        assert str(mistake).startswith("stdin:3: is not JSON: ")
        assert str(mistake).endswith("; write one object a line")
    else:
        assert str(mistake) == f"stdin:3: {problem}"


def test_json_nested_too_deep_or_with_an_endless_number_is_a_mistake_not_a_crash() -> None:
    text = '{"prompt": "a"}\n' + "[" * 100_000 + '\n{"prompt": ' + "9" * 5000 + "}"
    deep, long = mistakes_of(text, format="jsonl")
    assert deep.startswith("stdin:2: cannot be read as JSON: maximum recursion depth exceeded")
    assert long.startswith("stdin:3: cannot be read as JSON: Exceeds the limit (4300 digits)")


def test_bytes_that_are_not_utf8_are_named_by_line() -> None:
    problem = "is not UTF-8 (byte 0xe9); save the file as UTF-8"
    loaded = from_stdin(b'{"prompt": "a"}\n{"prompt": "caf\xe9"}\n')
    assert (len(loaded.prompts), [str(mistake) for mistake in loaded.mistakes]) == (1, [f"stdin:2: {problem}"])
    assert mistakes_of(b"one\n\ncaf\xe9\n", format="text") == [f"stdin:3: {problem}"]
    assert mistakes_of(b"prompt\none\ncaf\xe9\n", format="csv") == [f"stdin:3: {problem}"]
    assert mistakes_of("a".encode("utf-16")) == ["stdin: is UTF-16; save it as UTF-8"]


def test_an_id_used_twice_is_a_mistake_of_the_second_line() -> None:
    assert mistakes_of('{"prompt": "a", "id": 1}\n\n{"prompt": "b", "id": "1"}') == [
        "stdin:3: id: '1' is the id of line 1 already; ids are unique in a batch"
    ]


def test_every_bad_line_is_told_not_only_the_first() -> None:
    assert mistakes_of('{"prompt": ""}\n{"prompt": "a"}\n{"prompt": "b", "id": []}') == [
        "stdin:1: prompt: '' should be text with at least one visible character",
        "stdin:3: id: [] should be text or a whole number",
    ]


def test_a_ragged_row_is_named_by_its_true_line() -> None:
    text = 'prompt,n\n"a\nb\nc",1\nd\n"e\nf",1,2\ng,3\n'
    loaded = from_stdin(text, format="csv")
    fix = "cut at ','; quote cells that hold it, or name another by --separator"
    assert [prompt.text for prompt in loaded.prompts] == ["a\nb\nc", "g"]
    assert [str(mistake) for mistake in loaded.mistakes] == [
        f"stdin:5: has 1 cells where the header has 2, {fix}",
        f"stdin:6: has 3 cells where the header has 2, {fix}",
    ]


def test_a_quote_that_is_never_closed_is_named_by_the_line_it_opens_on() -> None:
    assert mistakes_of('prompt,n\na,1\n"b,2\nc,3\n', format="csv") == [
        'stdin:3: cannot be read as CSV (unexpected end of data); quote cells with " and write a quote inside as ""'
    ]


@pytest.mark.parametrize(
    ("text", "options", "problem"),
    [
        (
            "id,text\n1,a\n",
            {},
            "prompt: no column 'prompt'; the columns are 'id', 'text'; rename one, or use a template",
        ),
        ("id,text\n1,a\n", {"template": "{titel}"}, "template: no column 'titel'; the columns are 'id', 'text'"),
        (
            "id,text\n1,a\n",
            {"template": "{text}", "id_column": "key"},
            "id_column: no column 'key'; the columns are 'id', 'text'",
        ),
        ("prompt,n,n\na,1,2\n", {}, "two columns are named 'n'; rename one"),
        ("prompt,,\na,1,2\n", {}, "two columns have no name; name or drop them"),
    ],
)
def test_a_csv_header_that_cannot_serve_is_one_mistake(text: str, options: dict[str, Any], problem: str) -> None:
    assert mistakes_of(text, format="csv", **options) == [f"stdin:1: {problem}"]


def test_a_row_with_nothing_to_say_is_not_bought() -> None:
    assert mistakes_of("title,text\n, \na,b\n", format="csv", template="Summarize: {title} {text}") == [
        "stdin:2: template: all of its columns are empty here (title, text)"
    ]


def test_a_csv_option_must_be_right_too() -> None:
    assert mistakes_of("prompt,max_tokens\na,many\n", format="csv") == [
        "stdin:2: max_tokens: 'many' should be a whole number, 1 or more"
    ]


def test_a_header_steers_no_terminal() -> None:
    [mistake] = mistakes_of("id,\x1b[2Jtext\n1,a\n", format="csv")
    assert r"the columns are 'id', '\x1b[2Jtext'" in mistake


@pytest.mark.parametrize("digits", [19, 5000])
def test_a_number_longer_than_any_is_a_mistake_not_a_crash(digits: int) -> None:
    [mistake] = mistakes_of(f"prompt,max_tokens\na,{'9' * digits}\n", format="csv")
    assert mistake.startswith("stdin:2: max_tokens: '9999")
    assert mistake.endswith("is more than any model can write")


def test_a_jsonl_line_without_a_column_of_the_template_is_named() -> None:
    text = '{"title": "a"}\n{"text": "b"}'
    assert mistakes_of(text, template="{title}") == ["stdin:2: template: no column 'title'; the columns are 'text'"]
    assert mistakes_of(text, template="{title}", id_column="title") == [
        "stdin:2: template: no column 'title'; the columns are 'text'"
    ]
    assert mistakes_of('{"prompt": "a"}', id_column="key") == [
        "stdin:1: id_column: no column 'key'; the columns are 'prompt'"
    ]


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{title", "'{' at character 1 has no partner; write it twice"),
        ("a}", "'}' at character 2 has no partner; write it twice"),
        ("Summarize this", "names no column, so every prompt would be the same; write {column}"),
    ],
)
def test_a_template_that_cannot_be_read_is_one_mistake(template: str, problem: str) -> None:
    assert mistakes_of("title\na\n", format="csv", template=template) == [f"stdin: template: {problem}"]


def batch_line(custom_id: object = "a", **changes: object) -> str:
    params = {"max_tokens": 3, "messages": [{"role": "user", "content": "Why?"}], **changes}
    return json.dumps({"custom_id": custom_id, "params": params})


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            batch_line("a b"),
            "custom_id: 'a b' should be 1 to 64 of the characters a-z, A-Z, 0-9, _ and -",
        ),
        (
            batch_line("a\n"),
            "custom_id: 'a\\n' should be 1 to 64 of the characters a-z, A-Z, 0-9, _ and -",
        ),
        (
            '{"params": {}}',
            "custom_id: None should be 1 to 64 of the characters a-z, A-Z, 0-9, _ and -",
        ),
        ('{"custom_id": "a"}', "params: None should be an object of Messages API parameters"),
        (
            batch_line(stream=True),
            "stream: true cannot be queued, an answer comes back whole; leave it out",
        ),
        (batch_line(max_tokens=0), "max_tokens: 0 should be a whole number, 1 or more"),
        (batch_line(messages="Why?"), "messages: 'Why?' should be a list of at least one message"),
    ],
)
def test_a_bad_message_batch_line_is_named(line: str, problem: str) -> None:
    assert mistakes_of(line, format="anthropic") == [f"stdin:1: {problem}"]


def test_an_empty_source_is_a_mistake_in_every_format() -> None:
    for name in (None, "jsonl", "text", "csv", "anthropic", "openai"):
        assert mistakes_of("\n \n" if name != "csv" else "", format=name) == ["stdin: holds no prompts"]
    assert mistakes_of("prompt\n", format="csv") == ["stdin: holds no prompts"]


def test_what_needs_columns_is_refused_where_there_are_none() -> None:
    assert mistakes_of("a", template="{a}") == [
        "stdin: template: needs columns, and text has none; use jsonl, csv or parquet"
    ]
    assert mistakes_of(batch_line(), id_column="a") == [
        "stdin: id_column: needs columns, and anthropic has none; use jsonl, csv or parquet"
    ]


def test_a_format_or_a_name_that_means_nothing_is_told_what_would(tmp_path: Path) -> None:
    assert mistakes_of("a", format="xml") == [
        "stdin: format: 'xml' should be one of jsonl, text, csv, parquet, anthropic, openai"
    ]
    path = tmp_path / "a.xls"
    path.write_bytes(b"PAR1")
    [mistake] = load(str(path)).mistakes
    assert str(mistake) == (
        f"{path}: has a name that does not tell its format; "
        "end it in .jsonl, .ndjson, .json, .txt, .md, .csv, .tsv, .parquet or give a format"
    )


def test_a_file_that_cannot_be_read_is_one_mistake(tmp_path: Path) -> None:
    missing, folder = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    folder.mkdir()
    advice = "name a readable file, or - for stdin"
    assert [str(mistake) for mistake in load(str(missing)).mistakes] == [
        f"{missing}: cannot be read: No such file or directory; {advice}"
    ]
    assert [str(mistake) for mistake in load(str(folder)).mistakes] == [
        f"{folder}: cannot be read: Is a directory; {advice}"
    ]
    assert [str(mistake) for mistake in load("\0").mistakes] == [f"\0: cannot be read: embedded null byte; {advice}"]

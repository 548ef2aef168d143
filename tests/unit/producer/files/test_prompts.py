"""Reading prompts: what each format accepts."""

import codecs
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.files.record_to_prompt import ReadOptions
from producer.prompt.prompt import Prompt
from tests.support.read_prompts import Loaded, load

EXAMPLES = Path(__file__).parents[3] / "examples"
TEXTS = Path(__file__).parents[4] / "producer" / "simulator" / "texts"
SENDABLE = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def from_stdin(text: str | bytes, **options: Any) -> Loaded:
    data = text.encode() if isinstance(text, str) else text
    return load("-", ReadOptions(**options), stdin=io.BytesIO(data))


def prompts_of(text: str | bytes, **options: Any) -> list[Prompt]:
    loaded = from_stdin(text, **options)
    assert [str(mistake) for mistake in loaded.mistakes] == []
    return loaded.prompts


def test_a_jsonl_line_is_a_prompt_with_its_options_and_the_rest_comes_back_as_columns() -> None:
    line = {
        "prompt": "Why?", "id": 7, "max_tokens": 9, "system": "Be brief.", "task": "ask", "start": "a",
        "floor": "b", "ceiling": "c", "year": 1999, "rate": 1.5, "is_new": True, "note": None, "tags": ["é"],
    }  # fmt: skip
    assert prompts_of(json.dumps(line)) == [
        Prompt(
            "Why?",
            id="7",
            max_tokens=9,
            system="Be brief.",
            task="ask",
            start="a",
            floor="b",
            ceiling="c",
            columns={"year": "1999", "rate": "1.5", "is_new": "true", "note": "", "tags": '["é"]'},
        )
    ]


def test_a_jsonl_line_may_give_whole_messages() -> None:
    messages = [{"role": "user", "content": "Why?"}]
    line = json.dumps({"id": "a", "messages": messages, "system": "Be brief.", "task": "ask"})
    params = {"max_tokens": 1024, "system": "Be brief.", "messages": messages}
    assert prompts_of(line) == [Prompt(id="a", params=params, task="ask")]


def test_blank_lines_and_windows_line_ends_are_no_prompts() -> None:
    assert prompts_of('{"prompt": "a"}\r\n\r\n  \n{"prompt": "b"}\r\n') == [Prompt("a"), Prompt("b")]


def test_a_text_file_is_a_prompt_a_line() -> None:
    assert prompts_of(codecs.BOM_UTF8 + b"Why?\r\n\n{not: json}\n") == [Prompt("Why?"), Prompt("{not: json}")]


def test_csv_columns_fill_the_template_and_come_back() -> None:
    text = 'key,title,text\nk1,"One, two","a\nb {c}"\nk2,,d\n'
    assert prompts_of(text, format="csv", template="{{{title}}}: {text}", id_column="key") == [
        Prompt("{One, two}: a\nb {c}", id="k1", columns={"key": "k1", "title": "One, two", "text": "a\nb {c}"}),
        Prompt("{}: d", id="k2", columns={"key": "k2", "title": "", "text": "d"}),
    ]


def test_csv_without_a_template_uses_its_prompt_column_and_the_options_beside_it() -> None:
    text = "id,prompt,max_tokens,system,topic\n1,Why?,20,,sky\n2,How?,,Be brief.,sea\n"
    first = {"prompt": "Why?", "max_tokens": "20", "system": "", "topic": "sky"}
    second = {"prompt": "How?", "max_tokens": "", "system": "Be brief.", "topic": "sea"}
    assert prompts_of(text, format="csv") == [
        Prompt("Why?", id="1", max_tokens=20, columns=first),
        Prompt("How?", id="2", system="Be brief.", columns=second),
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_spreadsheet_may_separate_with_comma_semicolon_or_tab(separator: str) -> None:
    text = f"prompt{separator}n\r\nWhy?{separator}1\r\n"
    assert prompts_of(codecs.BOM_UTF8 + text.encode(), format="csv") == [
        Prompt("Why?", columns={"prompt": "Why?", "n": "1"})
    ]


def test_a_csv_cell_may_be_a_long_document() -> None:
    assert prompts_of(f"prompt\n{'x' * 200_000}\n", format="csv")[0].text == "x" * 200_000


def test_jsonl_fields_fill_a_template_too() -> None:
    assert prompts_of('{"id": "a", "n": 3, "start": "1999"}', template="{n} since {start}") == [
        Prompt("3 since 1999", id="a", columns={"n": "3", "start": "1999"})
    ]


def test_a_template_reaches_columns_only_never_attributes_or_indexes() -> None:
    text = '{"a.b": "x", "a[0]": "y", "a:>9": "z", "a": "q"}'
    assert prompts_of(text, template="{a.b}{a[0]}{a:>9}{a}")[0].text == "xyzq"


def test_a_message_batch_is_recognised_and_its_params_stay_whole() -> None:
    params = {"model": "m", "max_tokens": 3, "messages": [{"role": "user", "content": "Why?"}], "top_k": 5}
    line = json.dumps({"custom_id": "a-1_B", "params": params})
    assert prompts_of(line) == [Prompt(id="a-1_B", params=params)]


def test_max_tokens_is_for_prompts_that_name_none() -> None:
    text = '{"prompt": "a"}\n{"prompt": "b", "max_tokens": 3}\n{"messages": [{"role": "user", "content": "c"}]}'
    first, second, third = prompts_of(text, max_tokens=9)
    assert (first.max_tokens, second.max_tokens, third.request()["max_tokens"]) == (9, 3, 9)
    batch = '{"custom_id": "a", "params": {"messages": [{"role": "user", "content": "c"}]}}'
    assert prompts_of(batch, max_tokens=9)[0].request()["max_tokens"] == 9


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", '{"prompt": "Why?"}'),
        ("a.NDJSON", '{"prompt": "Why?"}'),
        ("a.json", '{"prompt": "Why?"}'),
        ("a.txt", "Why?"),
        ("a.md", "Why?"),
        ("a.csv", "prompt\nWhy?"),
        ("a.tsv", "prompt\tn\nWhy?\t1"),
    ],
)
def test_the_name_of_a_file_tells_its_format(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert [prompt.text for prompt in load(str(tmp_path / name)).prompts] == ["Why?"]


def test_a_format_that_is_named_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "Why?"}', encoding="utf-8")
    assert load(str(tmp_path / "a.jsonl"), ReadOptions(format="text")).prompts == [Prompt('{"prompt": "Why?"}')]


def test_the_examples_load_without_a_mistake() -> None:
    articles = load(str(TEXTS / "articles.csv"), ReadOptions(template="Summarize: {title}\n{text}"))
    documents = load(str(TEXTS / "documents.jsonl"))
    batch = load(str(EXAMPLES / "message_batch.jsonl"))
    assert [*articles.mistakes, *documents.mistakes, *batch.mistakes] == []
    assert [len(loaded.prompts) for loaded in (articles, documents, batch)] == [200, 12, 20]
    assert all(400 <= len(prompt.columns["text"]) <= 3000 for prompt in articles.prompts)
    assert {prompt.columns["title"] for prompt in documents.prompts}.isdisjoint(
        prompt.columns["title"] for prompt in articles.prompts
    )


@given(st.lists(SENDABLE.filter(str.strip), min_size=1))
def test_any_prompt_survives_jsonl(texts: list[str]) -> None:
    lines = "\n".join(json.dumps({"prompt": text}, ensure_ascii=False) for text in texts)
    assert [prompt.text for prompt in prompts_of(lines)] == texts


@given(st.binary())
def test_no_bytes_at_all_make_it_raise(data: bytes) -> None:
    for name in (None, "jsonl", "text", "csv", "parquet", "anthropic", "openai"):
        loaded = from_stdin(data, format=name)
        assert loaded.prompts or loaded.mistakes

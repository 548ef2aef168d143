"""Reading CSV: the separator that its rows have, that its first line says, or that a person names."""

import io
from typing import Any

import pytest

from producer.files.record_to_prompt import ReadOptions
from tests.support.read_prompts import Loaded, load


def read(text: str, **options: Any) -> Loaded:
    return load("-", ReadOptions(format="csv", **options), stdin=io.BytesIO(text.encode()))


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ('id,text,"tags (a; b; c; d)"\n1,One.,fire; mill\n', {"text": "One.", "tags (a; b; c; d)": "fire; mill"}),
        ("id,text,tags (a; b; c; d)\n1,One.,fire; mill\n", {"text": "One.", "tags (a; b; c; d)": "fire; mill"}),
        ("id;text;price (EUR, net)\n1;One.;3,50\n2;Two;1,5\n", {"text": "One.", "price (EUR, net)": "3,50"}),
        ("id\ttext\ta;b,c\n1\tOne, two; three.\t,;,;\n", {"text": "One, two; three.", "a;b,c": ",;,;"}),
        ("id|text\n1|One, two; three.\n", {"text": "One, two; three."}),
        ('id;text\n1;"One;\ntwo, ""three"""\n', {"text": 'One;\ntwo, "three"'}),
        ("sep=;\nid;text\n1;One, two.\n", {"text": "One, two."}),
        ('"sep=|"\r\nid|text\r\n1|One, two.\r\n', {"text": "One, two."}),
        ("SEP=\t\rid\ttext\r1\tOne, two.\r", {"text": "One, two."}),
    ],
)
def test_the_separator_is_that_which_cuts_the_rows(text: str, columns: dict[str, str]) -> None:
    found = read(text, template="{text}")
    assert found.mistakes == []
    assert (found.prompts[0].id, found.prompts[0].columns) == ("1", columns)


def test_rows_decide_where_no_column_of_the_header_is_needed() -> None:
    [mistake] = read("id,text,tags (a; b; c)\n1,One.,x\n", template="{txt}").mistakes
    assert str(mistake).endswith("no column 'txt'; the columns are 'id', 'text', 'tags (a; b; c)'")
    [mistake] = read("id;text, more\n1;One, two, three\n", template="{txt}").mistakes
    assert str(mistake) == (
        "stdin:1: template: no column 'txt'; the columns are 'id', 'text, more', cut at ';' (--separator says another)"
    )


@pytest.mark.parametrize(
    ("message", "separator"), [(";", ";"), ("tab", "\t"), (r"\t", "\t"), ("Pipe", "|"), ("^", "^")]
)
def test_a_person_may_name_the_separator(message: str, separator: str) -> None:
    found = read(f"prompt{separator}a,b\nOne{separator}2,3\n", separator=message)
    assert [(prompt.text, prompt.columns["a,b"]) for prompt in found.prompts] == [("One", "2,3")]
    assert found.notes == ()


def test_a_separator_that_is_named_holds_against_the_first_line_too() -> None:
    found = read("sep=;\nprompt,n\nOne; two,3\n", separator=",")
    assert [prompt.text for prompt in found.prompts] == ["One; two"]


@pytest.mark.parametrize("message", ["", ";;", '"', "\n", "\r", "\0", "dot"])
def test_a_separator_that_can_be_none_is_refused(message: str) -> None:
    [mistake] = read("prompt\na\n", separator=message).mistakes
    assert str(mistake).startswith(
        f"stdin: separator: {message!r} should be one character, or one of 'comma', 'semicolon'"
    )


def test_a_separator_is_for_csv() -> None:
    [mistake] = load("-", ReadOptions(separator=";"), stdin=io.BytesIO(b'{"prompt": "a"}')).mistakes
    assert str(mistake) == (
        "stdin: separator: is for CSV, and this is read as jsonl; leave it out, or give --format csv"
    )


def test_a_separator_that_was_found_is_told_but_for_the_comma() -> None:
    end = "; --separator says another"
    assert read("prompt;n\na;1\n").notes == (f"stdin: cells are cut at ';', as its first rows say{end}",)
    assert read("sep=\t\nprompt\tn\na\t1\n").notes == (f"stdin: cells are cut at tab, as its first line says{end}",)
    assert read("prompt,n\na,1\n").notes == ()


def test_lines_are_counted_from_the_first_of_the_file_also_behind_one_that_says_the_separator() -> None:
    [mistake] = read('sep=;\nprompt;n\n"a\nb";1\nc\n').mistakes
    assert str(mistake).startswith("stdin:5: has 1 cells where the header has 2, cut at ';'")


def test_a_long_file_of_an_old_spreadsheet_has_lines_of_its_own() -> None:
    found = read("prompt,n\r" + f"{'x' * 1000},1\r" * 3000)
    assert (len(found.prompts), found.mistakes) == (3000, [])

"""Nothing a model or a stranger wrote steers a terminal."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.terminal import drawable, terminal_text

ANY_TEXT = st.text(st.characters())


@given(st.text(st.characters(exclude_categories=["C", "Z"])))
def test_what_can_be_seen_is_left_as_it_is(text: str) -> None:
    assert terminal_text(text) == text


@given(ANY_TEXT)
def test_what_is_fit_to_be_shown_stays_so(text: str) -> None:
    assert terminal_text(terminal_text(text)) == terminal_text(text)


@given(ANY_TEXT)
def test_no_direction_is_turned_and_no_line_broken(text: str) -> None:
    shown = terminal_text(text)
    assert not set(shown) & set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert len(shown.splitlines()) <= 1
    assert "\t" not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]52;c;cm0gLXJm\x07", r"\x1b]52;c;cm0gLXJm\x07"),
        ("50%\rdone", r"50%\rdone"),
        ("\x9b2J", r"\x9b2J"),
        ("\ud83d", r"\ud83d"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("tab\tand\nnewline", r"tab\tand\nnewline"),
    ],
)
def test_it_becomes_an_escape_one_can_read(text: str, shown: str) -> None:
    assert terminal_text(text) == shown


def test_a_bar_is_of_plain_characters_where_there_are_no_others() -> None:
    latin, any_text = (io.TextIOWrapper(io.BytesIO(), encoding=name) for name in ("latin-1", "utf-8"))
    assert drawable("  █·  1/2", latin) == "  #.  1/2"
    assert drawable("  █·  1/2", any_text) == "  █·  1/2"

"""A text split for a model to read: nothing lost, nothing too long, and cut where a reader would pause."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.money.token_estimate import most_tokens
from producer.map_reduce.split_text import split

_ANY = st.characters()  # half surrogates and NUL among them
_PROSE = st.text(alphabet="ab .\n#é中🌍\r", max_size=400)
_HEADED = "\n\n".join(f"Chapter {number}\n\nIt rained. {'The harbour was dredged. ' * 6}" for number in range(1, 7))


def _parts(text: str, tokens: int) -> list[str]:
    return [text[begin:end] for begin, end in split(text, tokens=tokens)]


@given(text=st.text(alphabet=_ANY, max_size=300) | _PROSE, tokens=st.integers(min_value=2, max_value=60))
def test_any_text_is_split_without_loss_into_parts_that_are_short_enough(text: str, tokens: int) -> None:
    parts = _parts(text, tokens)
    assert "".join(parts) == text
    assert all(parts)
    assert all(most_tokens(part) <= tokens for part in parts)


@given(text=_PROSE, tokens=st.integers(min_value=20, max_value=60))
def test_there_are_at_most_about_twice_as_many_parts_as_there_must_be(text: str, tokens: int) -> None:
    assert len(_parts(text, tokens)) <= 2 * -(-most_tokens(text) // tokens) + 1


def test_a_text_that_fits_is_one_part() -> None:
    assert split("It rained.", tokens=4) == [(0, 10)]


def test_parts_begin_at_headings_where_there_are_some_near() -> None:
    parts = _parts(_HEADED, most_tokens(_HEADED) // 2)
    assert len(parts) == 3
    assert all(part.startswith("Chapter ") for part in parts)


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("# One\nwords here now\n# Two\nwords here now", "now\n"),
        ("One\n===\nwords here now\nTwo\n===\nwords here now", "now\n"),
        ("It rained. It blew.\n\nIt was cold. It was dark.", "\n\n"),
        ("It rained for days! Then it stopped at last", "days! "),
        ("下了三天的大雨。然后天放晴了起来", "。"),
        ("a line of words\nanother line of words", "\n"),
        ("words without any end of a sentence", " "),
        ("Donaudampfschifffahrtsgesellschaft", "schifff"),
    ],
)
def test_a_part_ends_at_the_best_boundary_that_is_near_the_middle(text: str, ends: str) -> None:
    first, second = _parts(text, -(-most_tokens(text) * 2 // 3))
    assert first.endswith(ends)
    assert not second.startswith(" ")

"""Documents planned before anything is asked: parts, levels that are sure to fit, and one synthesis of all."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputError
from models.job.map_reduce import MissingPart, PartAnswer, question
from models.money.token_estimate import most_tokens
from producer.map_reduce.plan import Document, Outline, Planned, PromptKind, plan
from producer.prompt.template import parse_template

_MAP, _REDUCE = parse_template("Sum up: {text}"), parse_template("Merge: {text}")
_TEXTS = st.text(alphabet="It rained. \n   ", min_size=1, max_size=600).filter(str.strip)


def _asked(task: str, **changes: Any) -> PromptKind:
    usual: dict[str, Any] = {"template": _REDUCE, "max_tokens": 20, "answer": 20, "room": 400}
    return PromptKind(task=task, **(usual | changes))


def _outline(*, synthesize: bool = True, part_room: int = 60, step_room: int = 400) -> Outline:
    return Outline(
        part=_asked("summarize", template=_MAP, room=part_room),
        between=_asked("summarize", room=step_room),
        synthesis=_asked("synthesize", room=step_room) if synthesize else None,
    )


def _planned(*texts: str, **changes: Any) -> list[Planned]:
    return plan([Document(text) for text in texts], _outline(**changes))


def _ids(planned: Sequence[Planned]) -> list[str | None]:
    return [one.prompt.id for one in planned]


@given(texts=st.lists(_TEXTS, min_size=1, max_size=12), synthesize=st.booleans(), step_room=st.integers(250, 600))
def test_every_word_is_asked_about_and_every_answer_is_read_once(
    texts: list[str], synthesize: bool, step_room: int
) -> None:
    planned = _planned(*texts, synthesize=synthesize, step_room=step_room)
    for number, text in enumerate(texts, start=1):
        parts = [one for one in planned if (one.document, one.level) == (str(number), 0)]
        spans = [one.span or (0, 0) for one in parts]
        assert "".join(text.split()) == "".join("".join(text[begin:end].split()) for begin, end in spans)
        assert all(text[begin:end].strip() for begin, end in spans), "nobody is asked about nothing"
        assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))
    read = [place for one in planned for place in one.parts]
    assert len(read) == len(set(read))
    tops = [one for place, one in enumerate(planned) if place not in read]
    assert [one.document for one in tops] == ([None] if synthesize else [str(n) for n, _ in enumerate(texts, start=1)])
    assert all(place < at for at, one in enumerate(planned) for place in one.parts), "each comes after its parts"
    assert len(set(_ids(planned))) == len(planned)


@given(texts=st.lists(_TEXTS, min_size=9, max_size=12), step_room=st.integers(1000, 1200), names=st.sampled_from("a中"))
def test_whatever_the_answers_say_every_prompt_fits(texts: list[str], step_room: int, names: str) -> None:
    documents = [Document(text, id=f"{names * 100}{number}") for number, text in enumerate(texts)]
    planned = plan(documents, _outline(step_room=step_room))
    longest = "x" * 60  # of 20 tokens
    for one in planned:
        if not one.parts:
            assert most_tokens(one.prompt.text) <= 60
            continue
        reported = [PartAnswer(label=planned[place].label, text=longest) for place in one.parts]
        assert most_tokens(question(one.pieces, reported, [])) <= step_room
        missing = [MissingPart(label=planned[place].label, outcome="over_budget") for place in one.parts[1:]]
        assert most_tokens(question(one.pieces, reported[:1], missing)) <= step_room


def test_documents_that_fit_are_mapped_whole_and_synthesized_at_once() -> None:
    first, second, whole = _planned("It rained.", "It blew.")
    assert _ids([first, second, whole]) == ["1", "2", "synthesis"]
    assert (first.prompt.text, first.prompt.task, first.level, first.label) == (
        "Sum up: It rained.",
        "summarize",
        0,
        "1",
    )
    assert (whole.prompt.task, whole.level, whole.parts, whole.pieces) == ("synthesize", 1, (0, 1), ("Merge: ", ""))
    assert first.prompt.columns == {"document": "1", "level": "0", "part": "1 of 1"}
    assert whole.prompt.columns == {"level": "1", "parts": "2"}


def test_a_long_document_is_brought_together_before_it_meets_others() -> None:
    planned = _planned("It rained. " * 90, "It blew.", step_room=300)
    alone = _planned("It rained. " * 90, step_room=300, synthesize=False)
    parts = [one for one in planned if one.level == 0]
    assert _ids(parts)[:2] == ["1/1", "1/2"]
    assert parts[0].label == f"1, part 1 of {len(parts) - 1}"
    first = [one for one in planned if one.level == 1]
    assert {one.document for one in first} == {"1"}
    assert first[0].label == f"1, part 1 of {len(parts) - 1} to 1, part {len(first[0].parts)} of {len(parts) - 1}"
    assert _ids(planned)[-2:] == [f"1/level-1.{len(first)}", "synthesis"], "no more levels than it takes"
    assert (_ids(alone)[-1], alone[-1].level, alone[-1].label) == ("1", 2, "1"), "a whole document is called like it"


def test_many_documents_are_read_in_as_few_groups_as_will_do_about_as_many_in_each() -> None:
    planned = _planned(*["It rained."] * 20)
    groups = [one for one in planned if one.level == 1]
    assert [len(one.parts) for one in groups] == [5, 5, 5, 5]
    assert (groups[0].prompt.id, groups[0].label, groups[0].document) == ("level-1.1", "1 to 5", None)
    assert planned[-1].parts == (20, 21, 22, 23)
    tight = _planned(*["It rained."] * 10, step_room=180)
    assert [len(one.parts) for one in tight if one.level == 1] == [2] * 5, "three would not fit"


def test_without_a_synthesis_each_document_has_an_answer_with_its_columns() -> None:
    documents = [
        Document("It rained. " * 20, id="wet", columns={"place": "Ely", "part": "I"}),
        Document("It blew.", id="dry"),
    ]
    planned = plan(documents, _outline(synthesize=False))
    assert [one.prompt.columns for one in planned if one.prompt.id in {"wet", "dry"}] == [
        {"document": "dry", "level": "0", "part": "1 of 1"},
        {"place": "Ely", "input_part": "I", "document": "wet", "level": "1", "parts": str(len(planned) - 2)},
    ]


def test_what_is_blank_is_no_part() -> None:
    first, *_ = _planned(f"It rained.{' ' * 600}It blew.")
    assert first.label == "1, part 1 of 2"


def test_a_template_may_name_the_part_and_columns_of_the_document() -> None:
    asked = _asked("summarize", template=parse_template("{title}, {part} of {document}: {text}"), room=60)
    outline = Outline(part=asked, between=_asked("summarize"), synthesis=None)
    (one,) = plan([Document("It rained.", id="a", columns={"title": "On rain"})], outline)
    assert one.prompt.text == "On rain, 1 of 1 of a: It rained."


def _template(text: str, field: str) -> Outline:
    changes = {"template": parse_template(text)}
    part = _asked("summarize", **({"template": _MAP, "room": 60} | (changes if field == "map" else {})))
    between = _asked("summarize", **(changes if field == "reduce" else {}))
    return Outline(part=part, between=between, synthesis=None)


@pytest.mark.parametrize(
    ("documents", "outline", "message"),
    [
        ([], _outline(), "summarize: no documents: give at least one"),
        ([Document(" \n")], _outline(), "document 1: text: .* should be text with at least one visible"),
        ([Document("a", id=" ")], _outline(), "document 1: id: ' ' should be text, or be left out"),
        ([Document("a", columns={"n": 5})], _outline(), "document 1: columns: 'n': 5 should be text"),  # type: ignore[dict-item]
        (
            [Document("a", id="x"), Document("b", id="x")],
            _outline(),
            "document 2: id: 'x' is document 1's; ids are uni",
        ),
        (
            [Document("It rained. " * 60, id="x"), Document("b", id="x/2")],
            _outline(part_room=60),
            "id: 'x/2' is what a part of another document is called",
        ),
        ([Document("a", id="synthesis")], _outline(), "'synthesis' is that of what is made of all"),
        ([Document("a")], _template("{title}: {text}", "map"), r"map: names {title}, which '1' has not"),
        ([Document("a")], _template("{title}", "map"), r"map: has no place for it: write {text}"),
        ([Document("a")], _template("{text} {part}", "reduce"), r"reduce: names {part}; what it reads are answers"),
        ([Document("a")], _outline(part_room=10), "map: leaves 7 tokens for a part of '1'"),
        ([Document("a"), Document("b")], _outline(step_room=100), "max_tokens: answers of .* too long to read two at"),
        (
            [Document("a")],
            replace(_outline(), synthesis=_asked("synthesize", room=40)),
            "synthesis_max_tokens: leaves no room",
        ),
    ],
)
def test_what_cannot_be_planned_is_refused_with_what_would_be_right(
    documents: list[Document], outline: Outline, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        plan(documents, outline)


def test_an_answer_that_no_api_takes_is_made_one() -> None:
    reported = [PartAnswer(label='a "b"', text="It\0 rained \ud83d\ude00 \udc00")]
    assert (
        question(["", ""], reported, [])
        == "<summary of='a \"b\"'>\nIt\N{REPLACEMENT CHARACTER} rained 😀 �\n</summary>"
    )


def test_what_is_missing_is_named_up_to_fifty() -> None:
    asked = question(["", ""], [], [MissingPart(label=f"<{number}>", outcome=None) for number in range(60)])
    assert "&lt;49&gt;" in asked
    assert "&lt;50&gt;" not in asked
    assert "and 10 more" in asked

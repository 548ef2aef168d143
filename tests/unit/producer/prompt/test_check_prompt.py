"""What keeps a prompt out of the queue, and what it is told."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.prompt.check_prompt import MAX_REQUEST_BYTES, check, check_id
from producer.prompt.prompt import Prompt

QUESTION = {"role": "user", "content": "Why?"}


def reported(prompt: Prompt) -> str | None:
    mistake = check(prompt, source="prompts", line=3)
    return None if mistake is None else str(mistake)


def with_params(**changes: Any) -> Prompt:
    return Prompt(params={"max_tokens": 5, "messages": [QUESTION], **changes})


def with_content(content: Any) -> Prompt:
    return with_params(messages=[{"role": "user", "content": content}])


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt("Why?", id="a", max_tokens=1, system="Be brief.", task="summarize", columns={"n": ""}),
        with_params(model="claude-haiku-4-5-20251001", temperature=0.5, system=[{"type": "text", "text": "x"}]),
        with_params(messages=[QUESTION, {"role": "assistant", "content": ""}]),
        with_content([{"type": "image", "source": {}}, {"type": "text", "text": "What is it? 😀"}]),
        with_content(r"how JSON writes \u0000 and \ud800"),
        with_params(stream=False),
    ],
)
def test_a_prompt_in_order_has_no_mistake(prompt: Prompt) -> None:
    assert reported(prompt) is None


@pytest.mark.parametrize(
    ("prompt", "problem"),
    [
        (Prompt(" \n"), "prompt: ' \\n' should be text with at least one visible character"),
        (Prompt(5), "prompt: 5 should be text with at least one visible character"),  # type: ignore[arg-type]
        (Prompt("a", system=5), "system: 5 should be text, or be left out"),  # type: ignore[arg-type]
        (Prompt("a", max_tokens=0), "max_tokens: 0 should be a whole number, 1 or more"),
        (Prompt("a", max_tokens=10**20), "max_tokens: 100000000000000000000 is more than any model writes"),
        (Prompt("a", max_tokens=True), "max_tokens: True should be a whole number, 1 or more"),
        (Prompt("a", max_tokens=9.0), "max_tokens: 9.0 should be a whole number, 1 or more"),  # type: ignore[arg-type]
        (Prompt("a", id=""), "id: '' should be text, or be left out"),
        (Prompt("a", id="x" * 201), "id: has 201 characters; an id has at most 200"),
        (Prompt("a", floor=3), "floor: 3 should be text, or be left out"),  # type: ignore[arg-type]
        (Prompt("a", columns={"n": 1}), "columns: 'n': 1 should be text named by text"),  # type: ignore[dict-item]
        (Prompt(params=[]), "params: [] should be an object of Messages API parameters"),  # type: ignore[arg-type]
        (with_params(stream=True), "stream: true cannot be queued, an answer comes back whole; leave it out"),
        (with_params(model=""), "model: '' should be the name of a model, or be left out"),
        (with_params(max_tokens=None), "max_tokens: None should be a whole number, 1 or more"),
        (
            Prompt(params={"messages": [QUESTION]}),
            "max_tokens: missing; give the most output tokens the answer may have",
        ),
        (with_params(messages=[]), "messages: [] should be a list of at least one message"),
        (with_params(messages=["hi"]), "messages[0]: 'hi' should be an object with role and content"),
        (
            with_params(messages=[QUESTION, {"role": "bot", "content": "a"}]),
            "messages[1].role: 'bot' should be one of user, assistant, system",
        ),
        (with_content(""), "messages[0].content: is empty; the API refuses a message without text"),
        (with_content(None), "messages[0].content: None should be text or a list of content blocks"),
        (with_content(["a"]), "messages[0].content[0]: 'a' should be an object with a type"),
        (
            with_content([{"type": "text", "text": " "}]),
            "messages[0].content[0].text: is empty; the API refuses a text block without text",
        ),
        (
            with_params(temperature=float("nan")),
            "params: cannot be written as JSON: Out of range float values are not JSON compliant",
        ),
        (with_params(tools={1}), "params: cannot be written as JSON: Object of type set is not JSON serializable"),
    ],
)
def test_a_wrong_prompt_is_told_its_field_and_what_would_be_right(prompt: Prompt, problem: str) -> None:
    assert reported(prompt) == f"prompts:3: {problem}"


@pytest.mark.parametrize(
    ("prompt", "problem"),
    [
        (Prompt("a\0b"), "prompt: holds a NUL character at character 2; remove it"),
        (Prompt("ab\ud83d"), r"prompt: holds half a surrogate pair (\ud83d) at character 3; remove it"),
        (Prompt("a", system="\0"), "system: holds a NUL character at character 1; remove it"),
        (Prompt("a", id="\0"), "id: holds a NUL character at character 1; remove it"),
        (Prompt("a", columns={"note": "\0"}), "note: holds a NUL character at character 1; remove it"),
        (Prompt("a", columns={"\0": "note"}), "columns: holds a NUL character at character 1; remove it"),
        (with_content("\0"), "messages[0].content: holds a NUL character at character 1; remove it"),
        (
            with_content([{"type": "text", "text": "x\udfff"}]),
            r"messages[0].content[0].text: holds half a surrogate pair (\udfff) at character 2; remove it",
        ),
        (with_params(model="m\0"), "model: holds a NUL character at character 2; remove it"),
        (with_params(metadata={"a\0": 1}), "metadata: holds a NUL character at character 2; remove it"),
    ],
)
def test_what_no_database_keeps_is_refused_with_the_field_that_holds_it(prompt: Prompt, problem: str) -> None:
    assert reported(prompt) == f"prompts:3: {problem}"


@given(st.text(st.characters(), min_size=1), st.booleans())
def test_any_accepted_text_can_be_encoded_and_holds_no_nul(text: str, is_nested: bool) -> None:
    prompt = with_content([{"type": "text", "text": text}]) if is_nested else Prompt(text)
    if reported(prompt) is None:
        assert text.strip()
        assert b"\0" not in text.encode()
    else:
        assert not text.strip() or "\0" in text or any("\ud800" <= character <= "\udfff" for character in text)


def test_a_request_over_32_mb_is_refused_before_the_api_would() -> None:
    frame = len('{"max_tokens":1024,"messages":[{"role":"user","content":""}]}')
    fitting = "x" * (MAX_REQUEST_BYTES - frame)
    assert reported(Prompt(fitting)) is None
    assert reported(Prompt(fitting + "x")) == (
        "prompts:3: prompt: makes a request of 33,554,433 bytes; the API takes at most 33,554,432"
    )
    assert reported(with_content(fitting + "xxxx")) == (
        "prompts:3: messages: makes a request of 33,554,433 bytes; the API takes at most 33,554,432"
    )


def test_size_is_counted_in_bytes_as_sent() -> None:
    assert reported(Prompt("€" * 11_200_000)) == (
        "prompts:3: prompt: makes a request of 33,600,061 bytes; the API takes at most 33,554,432"
    )


def test_an_id_is_used_once_in_a_batch() -> None:
    used: dict[str, int] = {}
    assert check_id(Prompt("a", id="x"), position=1, source="p", line=1, used=used) is None
    assert str(check_id(Prompt("a", id="x"), position=2, source="p", line=4, used=used)) == (
        "p:4: id: 'x' is the id of line 1 already; ids are unique in a batch"
    )


def test_a_prompt_without_an_id_may_not_land_on_the_id_of_another() -> None:
    used: dict[str, int] = {}
    assert check_id(Prompt("a", id="2"), position=1, source="p", line=1, used=used) is None
    assert str(check_id(Prompt("a"), position=2, source="p", line=2, used=used)) == (
        "p:2: id: missing, and its position, 2, is the id of line 1; give every prompt an id"
    )


def test_a_prompt_may_fill_the_cache_only_where_that_is_meant() -> None:
    prompt = with_params(max_tokens=0)
    assert check(prompt, source="prompts", line=3) is not None
    assert check(prompt, source="prompts", line=3, fills_cache=True) is None


def test_a_header_that_cannot_be_sent_is_told_as_its_field() -> None:
    prompt = Prompt("Why?", headers={"anthropic-version": "2024-01-01"})
    mistake = check(prompt, source="prompts", line=3)
    assert str(mistake).startswith("prompts:3: anthropic-version: '2024-01-01' should be one of")

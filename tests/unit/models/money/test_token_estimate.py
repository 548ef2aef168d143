"""A prompt is as long as its words; images have none, and documents are told apart."""

from typing import Any

import pytest

from models.money.token_estimate import PromptSize, prompt_size


def _stated(content: Any, **more: Any) -> PromptSize:
    return prompt_size({"max_tokens": 10, "messages": [{"role": "user", "content": content}], **more})


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (_stated("twelve words"), PromptSize(characters=12)),
        (_stated("ünïcödé 橋"), PromptSize(characters=9)),
        (_stated("Hi", system="Be brief."), PromptSize(characters=11)),
        (_stated([{"type": "text", "text": "Hi"}, {"type": "text", "text": "you"}]), PromptSize(characters=5)),
        (_stated([{"type": "image", "source": {"data": "x" * 999}}]), PromptSize(characters=0, images=1)),
        (_stated("Hi", tools=[{"name": "bridge"}]), PromptSize(characters=2 + len('{"name": "bridge"}'))),
        (
            _stated([{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]),
            PromptSize(characters=2, is_marked=True),
        ),
        (_stated("Hi", cache_control={"type": "ephemeral"}), PromptSize(characters=2, is_marked=True)),
    ],
)
def test_a_prompt_is_as_long_as_its_words(size: PromptSize, expected: PromptSize) -> None:
    assert size == expected


def test_what_a_tool_gave_back_counts_with_the_images_in_it() -> None:
    result = {
        "type": "tool_result",
        "tool_use_id": "t",
        "content": [{"type": "text", "text": "abc"}, {"type": "image"}],
    }
    size = _stated([result])
    assert (size.images, size.characters > 3, size.is_text) == (1, True, False)


def test_a_document_is_as_long_as_its_file() -> None:
    size = _stated([{"type": "document", "source": {"type": "base64", "data": "x" * 5_000}}])
    assert (size.documents, size.characters > 5_000, size.is_text) == (1, True, False)


@pytest.mark.parametrize("content", [None, 7, [None, "x", {"type": None}], {}])
def test_nonsense_has_no_length_and_breaks_nothing(content: Any) -> None:
    assert _stated(content).characters < 20

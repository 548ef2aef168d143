"""What a model would refuse for its own limits is passed over without a request; nothing else is."""

from typing import Any

import pytest

from tests.walking import HAIKU, OPUS, PARAMS, SONNET
from worker.fit import misfit


def _misfit(model: str, *, window: int | None = None, **changes: Any) -> str | None:
    return misfit({**PARAMS, **changes}, model, window=window)


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k"])
@pytest.mark.parametrize("model", [OPUS, "claude-opus-4-8", "claude-opus-5", "claude-sonnet-5-5", "claude-haiku-5-5"])
def test_models_since_4_7_take_no_sampling_parameters(model: str, name: str) -> None:
    assert _misfit(model, **{name: 1}) == f"{model} takes no {name}"


@pytest.mark.parametrize(
    "model",
    [SONNET, HAIKU, "claude-opus-4-6", "claude-opus-4-20250514", "claude-3-5-haiku-20241022", "some-other-model"],
)
def test_older_models_take_them(model: str) -> None:
    assert _misfit(model, temperature=1, top_p=1, top_k=1) is None


@pytest.mark.parametrize(("model", "most"), [(OPUS, 128_000), (SONNET, 128_000), (HAIKU, 64_000)])
def test_no_model_is_asked_for_more_than_it_writes(model: str, most: int) -> None:
    assert _misfit(model, max_tokens=most) is None
    assert _misfit(model, max_tokens=most + 1) == f"{model} writes at most {most} tokens, max_tokens is {most + 1}"
    assert _misfit("a-model-nobody-knows", max_tokens=most + 1) is None


def test_a_prompt_that_cannot_be_within_the_window_is_not_sent() -> None:
    message = {"role": "user", "content": "x" * 600}
    assert _misfit(OPUS, window=100, messages=[message, message]) is None
    assert "longer than the 99 tokens" in str(_misfit(OPUS, window=99, messages=[message, message]))
    assert _misfit(OPUS, window=None, messages=[message] * 100) is None


@pytest.mark.parametrize("content", [None, [], [{"type": "text", "text": "x" * 10_000}], 7])
def test_what_is_not_plain_text_is_left_to_the_api(content: object) -> None:
    assert _misfit(OPUS, window=1, messages=[{"role": "user", "content": content}, "no message"]) is None

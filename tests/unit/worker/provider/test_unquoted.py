"""Errors are kept without the prompt, also where a gateway quotes it."""

import json

import pytest

from worker.provider.classify import classify
from worker.provider.reply import Failure, Received
from worker.provider.unquoted import without_prompt

_PROMPT = "Ten harbours were dredged in spring, and two bridges\nwere closed before dawn."


def _stated(body: str, prompt: str = _PROMPT) -> str:
    end = classify(Received(status=403, headers={}, body=body.encode(), latency_ms=1))
    reported = without_prompt(end, {"messages": [{"role": "user", "content": [{"type": "text", "text": prompt}]}]})
    assert isinstance(reported, Failure)
    return reported.message


@pytest.mark.parametrize(
    "body",
    [
        f"rejected: {_PROMPT}",
        json.dumps({"error": f"rejected: {_PROMPT}"}),
        f"rejected: {json.dumps(_PROMPT)}",
        f"<html><title>rejected: {_PROMPT}</title></html>",
    ],
)
def test_what_the_prompt_says_is_left_out_of_an_error(body: str) -> None:
    message = _stated(body)
    assert "rejected: " in message
    assert "harbours" not in message
    assert "bridges" not in message


def test_a_short_prompt_is_left_out_whole_and_common_words_stay() -> None:
    assert _stated("no: Summarize this", "Summarize this").endswith("no: ...")
    assert _stated("a bridge is closed here", "a bridge is closed, and a harbour").endswith("a bridge is closed here")

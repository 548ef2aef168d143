"""Answers as OpenAI's batch output: each line as its API reference documents it, checked by hand."""

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from models.job.answer import Answer
from models.outcome import Outcome, State
from producer.files.results import write

AT = datetime(2026, 11, 25, 12, tzinfo=UTC)


def message(**changes: Any) -> dict[str, Any]:
    usage = {"input_tokens": 3, "cache_read_input_tokens": 20, "cache_creation_input_tokens": None, "output_tokens": 4}
    content = [{"type": "text", "text": "Because"}, {"type": "text", "text": " of rain."}]
    return {
        "id": "msg_1",
        "model": "claude-x",
        "content": content,
        "stop_reason": "end_turn",
        "usage": usage,
        **changes,
    }


def answered(**changes: Any) -> Answer:
    done = message(**changes)
    return Answer(id="a", job_id="j-1", state=State.SUCCEEDED, message=done, outcome="answered", finished_at=AT)


def lines_of(*answers: Answer) -> list[dict[str, Any]]:
    out = io.StringIO(newline="")
    write(answers, format="openai", out=out)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    for line in lines:
        check(line)
    return lines


def check(line: dict[str, Any]) -> None:
    """Hold a line to the documented shape of the request output object, and of the chat completion in it."""
    assert list(line) == ["id", "custom_id", "response", "error"]
    assert line["id"].startswith("batch_req_")
    assert (line["response"] is None) != (line["error"] is None)
    if line["error"] is not None:
        assert {name: type(value) for name, value in line["error"].items()} == {"code": str, "message": str}
        return
    assert list(line["response"]) == ["status_code", "request_id", "body"]
    assert (line["response"]["status_code"], type(line["response"]["request_id"])) == (200, str)
    body = line["response"]["body"]
    assert (body["object"], type(body["id"]), type(body["created"]), type(body["model"])) == (
        "chat.completion", str, int, str,
    )  # fmt: skip
    [choice] = body["choices"]
    assert list(choice) == ["index", "message", "logprobs", "finish_reason"]
    assert (choice["index"], choice["logprobs"], choice["message"]["role"]) == (0, None, "assistant")
    assert choice["finish_reason"] in {"stop", "length", "tool_calls", "content_filter"}
    assert {"content", "refusal"} <= choice["message"].keys()
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_an_answer_is_a_chat_completion() -> None:
    assert lines_of(answered()) == [
        {
            "id": "batch_req_j-1",
            "custom_id": "a",
            "response": {
                "status_code": 200,
                "request_id": "j-1",
                "body": {
                    "id": "chatcmpl-msg_1",
                    "object": "chat.completion",
                    "created": int(AT.timestamp()),
                    "model": "claude-x",
                    "choices": [
                        {
                            "index": 0,
                            "message": {"role": "assistant", "content": "Because of rain.", "refusal": None},
                            "logprobs": None,
                            "finish_reason": "stop",
                        }
                    ],
                    "usage": {
                        "prompt_tokens": 23,
                        "completion_tokens": 4,
                        "total_tokens": 27,
                        "prompt_tokens_details": {"cached_tokens": 20},
                    },
                    "system_fingerprint": None,
                },
            },
            "error": None,
        }
    ]


@pytest.mark.parametrize(
    ("stopped", "word"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("a word of tomorrow", "stop"),
    ],
)
def test_why_it_stopped_is_said_in_the_other_vendors_word(stopped: str, word: str) -> None:
    [line] = lines_of(answered(stop_reason=stopped))
    assert line["response"]["body"]["choices"][0]["finish_reason"] == word


def test_a_refusal_is_no_content() -> None:
    [line] = lines_of(answered(stop_reason="refusal"))
    message = line["response"]["body"]["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == (None, "Because of rain.")


def test_a_call_of_a_tool_is_told_as_one() -> None:
    called = [{"type": "tool_use", "id": "t-1", "name": "look", "input": {"at": "é"}}]
    [line] = lines_of(answered(content=called, stop_reason="tool_use"))
    message = line["response"]["body"]["choices"][0]["message"]
    assert message["content"] is None
    [call] = message["tool_calls"]
    assert (call["id"], call["type"], call["function"]["name"]) == ("t-1", "function", "look")
    assert json.loads(call["function"]["arguments"]) == {"at": "é"}


def test_a_message_without_usage_still_parses() -> None:
    [line] = lines_of(answered(usage=None))
    assert line["response"]["body"]["usage"]["total_tokens"] == 0


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (
            Answer(id="b", job_id="j", state=State.FAILED, outcome=Outcome.BAD_REQUEST, error="No."),
            "bad_request",
            "No.",
        ),
        (
            Answer(id="b", job_id="j", state=State.FAILED, outcome="poison"),
            "poison",
            "job j ended as poison, without an answer",
        ),
        (
            Answer(id="b", job_id="j", state=State.FAILED, outcome="expired"),
            "batch_expired",
            "job j ended as expired, without an answer",
        ),
        (
            Answer(id="b", job_id="j", state=State.CANCELLED),
            "batch_cancelled",
            "the job was cancelled before it was answered",
        ),
    ],
)
def test_a_job_without_an_answer_is_an_error_with_a_code(answer: Answer, code: str, words: str) -> None:
    [line] = lines_of(answer)
    assert (line["custom_id"], line["error"]) == ("b", {"code": code, "message": words})


def test_a_job_that_has_not_ended_has_no_line() -> None:
    assert lines_of(Answer(id="c", job_id="j", state=State.QUEUED)) == []

"""The API's refusals before anything is generated, in the API's own words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from producer.simulator.request.catalog import Model, find
from producer.simulator.request.errors import ERRORS, ApiError
from producer.simulator.request.prompt import BYTES_PER_TOKEN, Body, Prompt, is_paused
from producer.simulator.request.reasoning import wrong_reasoning
from producer.simulator.request.versions import Head, wrong_for_head, wrong_head

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LARGEST_BODY = 32 * 1024 * 1024
_MOST_MARKS = 4


class RefusedError(Exception):
    """A request that the API answers with an error; `word` is the answer word of the purchase log."""

    def __init__(
        self, word: str, error: ApiError, model: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(error.message)
        self.word = word
        self.error = error
        self.model = model
        self.headers = headers or {}


def check_head(head: Head) -> None:
    """Refuse a request without a key, or with a version or a beta that the API does not know."""
    if not head.has_key:
        raise RefusedError("401", ERRORS["401"])
    if wrong := wrong_head(head):
        raise invalid(wrong)


def read_prompt(
    raw: bytes,
    head: Head,
    *,
    for_count: bool = False,
    in_batch: bool = False,
    bytes_per_token: int = BYTES_PER_TOKEN,
) -> Prompt:
    """Check a request in the API's order: headers, size, JSON, model, fields, length."""
    check_head(head)
    if len(raw) > LARGEST_BODY:
        raise RefusedError("413", ERRORS["413"])
    body = _parse(raw)
    model = _check_model(body)
    try:
        for check in _CHECKS:
            check(body, model)
        if wrong := wrong_for_head(body, model, head):
            raise invalid(wrong)
        if in_batch:
            _check_for_batch(body)
        if not for_count:
            _check_max_tokens(body, model)
        prompt = Prompt(body=body, model=model, bytes_per_token=bytes_per_token)
        _check_blocks(prompt)
    except RefusedError as refused:
        refused.model = str(body["model"])
        raise
    return prompt


def invalid(message: str, word: str = "400") -> RefusedError:
    """Refuse a request in the API's words for a wrong field."""
    return RefusedError(word, ApiError(status=400, type="invalid_request_error", message=message))


def read_json(raw: bytes) -> Any:
    """Read a body as the API does, which takes no half of a surrogate pair."""
    try:
        body = json.loads(raw)
        if b"\\u" in raw:
            json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise invalid("The request body is not valid JSON: no low surrogate in string") from None
    except ValueError as error:
        raise invalid(f"The request body is not valid JSON: {error}") from None
    return body


def _parse(raw: bytes) -> Body:
    body = read_json(raw)
    if not isinstance(body, dict):
        raise invalid("The request body must be a JSON object")
    return body


def _check_model(body: Body) -> Model:
    name = body.get("model")
    if name is None:
        raise invalid("model: Field required")
    if not isinstance(name, str):
        raise invalid("model: Input should be a valid string")
    model = find(name)
    if model is None:
        error = ApiError(status=404, type="not_found_error", message=f"model: {name}")
        raise RefusedError("404", error, model=name)
    return model


def _check_max_tokens(body: Body, model: Model) -> None:
    limit = body.get("max_tokens")
    if limit is None:
        raise invalid("max_tokens: Field required")
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise invalid("max_tokens: Input should be a valid integer")
    if limit < 0:
        raise invalid("max_tokens: Input should be greater than or equal to 0")
    if limit > model.max_output:
        raise invalid(
            f"max_tokens: {limit} > {model.max_output}, which is the maximum allowed number "
            f"of output tokens for {model.id}"
        )


def _check_for_batch(body: Body) -> None:
    """Refuse the fields that an item of a message batch cannot have."""
    for name in ("speed", "store"):
        if body.get(name) is not None:
            raise invalid(f"{name}: not supported in a Message Batch")
    if body.get("stream"):
        raise invalid("stream: not supported in a Message Batch")
    if body.get("max_tokens") == 0:
        raise invalid("max_tokens: Input should be greater than or equal to 1 in a Message Batch")


def _check_stream(body: Body, _: Model) -> None:
    if not isinstance(body.get("stream", False), bool):
        raise invalid("stream: Input should be a valid boolean")


def _check_tool_choice(body: Body, model: Model) -> None:
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") in ("any", "tool") and not model.forced_tools:
        raise invalid(f"tool_choice.type: '{choice['type']}' is not supported for this model.")


def _check_reasoning(body: Body, model: Model) -> None:
    if wrong := wrong_reasoning(body, model):
        raise invalid(wrong)


def _check_messages(body: Body, model: Model) -> None:
    messages = body.get("messages")
    if messages is None:
        raise invalid("messages: Field required")
    if not isinstance(messages, list):
        raise invalid("messages: Input should be a valid list")
    if not messages:
        raise invalid("messages: at least one message is required")
    for position, message in enumerate(messages):
        _check_message(message, f"messages.{position}")
    if messages[0]["role"] == "assistant":
        raise invalid('messages: first message must use the "user" role')
    if messages[-1]["role"] == "assistant" and not (model.prefill or is_paused(messages[-1])):
        raise invalid(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )


def _check_message(message: Any, where: str) -> None:
    if not isinstance(message, dict):
        raise invalid(f"{where}: Input should be a valid dictionary")
    if message.get("role") not in ("user", "assistant", "system"):
        raise invalid(f"{where}.role: Input should be 'user', 'assistant' or 'system'")
    if "content" not in message:
        raise invalid(f"{where}.content: Field required")
    _check_content(message["content"], f"{where}.content")
    if not message["content"]:
        raise invalid(f"{where}: user messages must have non-empty content")


def _check_content(content: Any, where: str) -> None:
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise invalid(f"{where}: Input should be a valid list")
    for position, block in enumerate(content):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise invalid(f"{where}.{position}.type: Field required")
        if block["type"] == "text" and not isinstance(block.get("text"), str):
            raise invalid(f"{where}.{position}.text.text: Field required")


def _check_system(body: Body, _: Model) -> None:
    _check_content(body.get("system") or "", "system")
    tools = body.get("tools") or []
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise invalid("tools: Input should be a valid list")


def _check_blocks(prompt: Prompt) -> None:
    if any(part.control and not isinstance(part.control, dict) for part in prompt.parts):
        raise invalid("cache_control: Input should be a valid dictionary or object to extract fields from")
    marks = sum(1 for part in prompt.parts if part.control)
    if marks > _MOST_MARKS:
        raise invalid(f"A maximum of {_MOST_MARKS} blocks with cache_control may be provided. Found {marks}.")
    if prompt.tokens > prompt.model.context:
        message = f"prompt is too long: {prompt.tokens} tokens > {prompt.model.context} maximum"
        raise invalid(message, word="400_too_long")


_CHECKS: tuple[Callable[[Body, Model], None], ...] = (
    _check_stream,
    _check_tool_choice,
    _check_reasoning,
    _check_messages,
    _check_system,
)

"""A streamed answer, as the provider's own SDK reads one: whole, paced, and broken in the middle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic
import httpx2
import pytest
from anthropic import Anthropic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer.simulator.process import RunningSimulator

_ASKED: dict[str, Any] = {
    "model": "claude-opus-4-7",
    "max_tokens": 400,
    "messages": [{"role": "user", "content": "Three bridges were closed before dawn on Tuesday."}],
}
_TOOL = {"name": "look_up", "description": "Looks it up.", "input_schema": {"type": "object"}}


@pytest.fixture
def client(simulator: RunningSimulator) -> Iterator[Anthropic]:
    """Lend the SDK's client, without its retries, and with little patience for silence."""
    with Anthropic(api_key="k", base_url=simulator.url, max_retries=0, timeout=3) as client:
        yield client


def _lasting(message: Any) -> dict[str, Any]:
    """Leave out what is drawn anew for each request."""
    fields: dict[str, Any] = message.model_dump(exclude={"id": True, "content": {"__all__": {"id", "signature"}}})
    return fields


@pytest.mark.parametrize(
    "script",
    [
        "",
        "[[rules]]\nanswer = 'tool_use'\ntool = 'look_up'\ntool_input = {harbour = 'Rotterdam'}\ntext = 'So.'",
        "[[rules]]\nanswer = 'thinking_only'",
        "[[rules]]\nanswer = 'refusal'\ncategory = 'bio'",
    ],
)
def test_the_events_add_up_to_the_message_of_the_same_request(
    simulator: RunningSimulator, client: Anthropic, script: str
) -> None:
    simulator.set_script(script)
    asked = {**_ASKED, "tools": [_TOOL]} if "tool" in script else _ASKED
    whole = client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        streamed = stream.get_final_message()
    assert _lasting(streamed) == _lasting(whole)
    assert [purchase["status"] for purchase in simulator.purchases()[-2:]] == [200, 200]


@pytest.mark.parametrize("answer", ["cut", "reset_after", "error_event", "stall"])
def test_a_stream_that_breaks_is_an_error_after_its_first_text(
    simulator: RunningSimulator, client: Anthropic, answer: str
) -> None:
    simulator.set_script(f"[[rules]]\nanswer = '{answer}'")
    with client.messages.stream(**_ASKED) as stream:
        texts = iter(stream.text_stream)
        assert next(texts)
        with pytest.raises((anthropic.APIError, httpx2.HTTPError)):
            list(texts)


def test_an_error_before_the_stream_keeps_its_status(simulator: RunningSimulator, client: Anthropic) -> None:
    simulator.set_script("[[rules]]\nanswer = 529")
    with pytest.raises(anthropic.APIStatusError) as refused, client.messages.stream(**_ASKED) as stream:
        stream.get_final_message()
    assert refused.value.status_code == 529

"""OpenAI batch lines: what is mapped to the Messages API, and which field of which line cannot be."""

import io
import json
from typing import Any

import pytest

from models.errors import InputMistakes
from producer.files.prompts import opened_prompts
from producer.files.record_to_prompt import ReadOptions
from producer.prompt.prompt import Prompt
from tests.support.read_prompts import Loaded, load

OPUS, HAIKU = "claude-opus-4-7", "claude-haiku-4-5-20251001"
WHY = [{"role": "user", "content": "Why?"}]
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def line(custom_id: object = "a", *, beside: dict[str, Any] | None = None, **body: Any) -> str:
    asked = {"model": "gpt-4o-mini", "messages": WHY, **body}
    whole = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": asked}
    return json.dumps(whole | (beside or {}))


def image(**image_url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": image_url}


def loaded(*lines: str, **options: Any) -> Loaded:
    return load("-", ReadOptions(models=(OPUS, HAIKU), **options), stdin=io.BytesIO("\n".join(lines).encode()))


def prompt_of(text: str, **options: Any) -> Prompt:
    found = loaded(text, **options)
    assert found.mistakes == []
    [prompt] = found.prompts
    return prompt


def test_a_line_is_recognised_and_what_has_an_equal_is_mapped() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": [{"type": "text", "text": "What is it?"}, image(url=PIXEL, detail="high")]},
        {"role": "assistant", "content": "A bridge.", "refusal": None, "tool_calls": None},
        {"role": "developer", "content": "Name a river."},
        {"role": "user", "content": [image(url="https://a.test/b.png")]},
    ]  # fmt: skip
    text = line(
        messages=messages, max_completion_tokens=50, temperature=0.5, top_p=1, stop="END", user="u-1",
        metadata={"run": "7"}, beside={"team": "maps"},
    )  # fmt: skip
    pixel = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    bridge = {"type": "image", "source": {"type": "url", "url": "https://a.test/b.png"}}
    assert prompt_of(text) == Prompt(
        id="a",
        params={
            "max_tokens": 50,
            "system": "Be brief.\n\nBe kind.",
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "What is it?"}, pixel]},
                {"role": "assistant", "content": "A bridge."},
                {"role": "system", "content": "Name a river."},
                {"role": "user", "content": [bridge]},
            ],
            "temperature": 0.5,
            "top_p": 1,
            "stop_sequences": ["END"],
            "metadata": {"user_id": "u-1"},
        },
        columns={"team": "maps", "metadata": '{"run": "7"}'},
    )


def test_a_model_is_heeded_only_where_the_chain_has_it_and_the_others_are_kept_to_be_told() -> None:
    data = io.BytesIO("\n".join([line("a"), line("b", model=HAIKU), line("c", model="o9")]).encode())
    with opened_prompts("-", ReadOptions(models=(OPUS, HAIKU)), stdin=data) as prompts:
        assert [prompt.params and prompt.params.get("model") for prompt in prompts.prompts()] == [None, HAIKU, None]
        assert prompts.ignored_models == {"gpt-4o-mini", "o9"}


def test_output_tokens_are_the_lines_own_else_those_of_the_command() -> None:
    assert prompt_of(line(max_tokens=7), max_tokens=9).request()["max_tokens"] == 7
    assert prompt_of(line(max_tokens=7, max_completion_tokens=7)).request()["max_tokens"] == 7
    assert prompt_of(line(), max_tokens=9).request()["max_tokens"] == 9
    assert prompt_of(line()).request()["max_tokens"] == 1024


def test_a_field_that_says_what_is_so_anyway_is_no_obstacle() -> None:
    usual: dict[str, Any] = {
        "n": 1, "stream": False, "stream_options": None, "logprobs": False, "top_logprobs": 0, "presence_penalty": 0,
        "frequency_penalty": 0.0, "logit_bias": {}, "response_format": {"type": "text"}, "tools": [],
        "tool_choice": "none", "parallel_tool_calls": True, "functions": None, "modalities": ["text"], "seed": None,
        "service_tier": "auto", "store": False, "verbosity": "medium", "prompt_cache_key": "k", "stop": None,
        "temperature": None,
    }  # fmt: skip
    assert prompt_of(line(**usual)) == Prompt(id="a", params={"max_tokens": 1024, "messages": WHY})


BATCHES = "write such prompts as message-batch lines (custom_id, params)"
JSON = "ask for JSON in the prompt, and hold answers to it with --json-schema"
EFFORT = f"it is set by other words for each model: leave it out, or {BATCHES}"
READ = "an image is read in full: leave it out"
IMAGES = "an https: URL, or data:image/jpeg, png, gif or webp;base64,..."
LEAVE = "the Messages API has no equal: leave it out"
TOOL = {"type": "function", "function": {"name": "look"}}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (line(""), "custom_id: '' should be text"),
        (line(7), "custom_id: 7 should be text"),
        (line("x" * 201), "id: has 201 characters; an id has at most 200"),
        (line(beside={"method": "GET"}), "method: 'GET' should be 'POST'"),
        (
            line(beside={"url": "/v1/responses"}),
            "url: '/v1/responses' should be '/v1/chat/completions': no other endpoint is mapped",
        ),
        (line(beside={"body": []}), "body: [] should be an object of chat completion parameters"),
        (
            line(n=2),
            "body.n: 2 cannot be mapped; a prompt has one answer: leave it out, and write a line for each answer",
        ),
        (
            line(n=True),
            "body.n: True cannot be mapped; a prompt has one answer: leave it out, and write a line for each answer",
        ),
        (line(stream=True), "body.stream: True cannot be mapped; an answer comes back whole: leave it out"),
        (
            line(stream_options={"include_usage": True}),
            "body.stream_options: {'include_usage': True} cannot be mapped; an answer comes back whole: leave it out",
        ),
        (line(logprobs=True), "body.logprobs: True cannot be mapped; the Messages API tells none: leave it out"),
        (line(top_logprobs=3), "body.top_logprobs: 3 cannot be mapped; the Messages API tells none: leave it out"),
        (line(presence_penalty=0.5), f"body.presence_penalty: 0.5 cannot be mapped; {LEAVE}"),
        (line(frequency_penalty=-1), f"body.frequency_penalty: -1 cannot be mapped; {LEAVE}"),
        (line(logit_bias={"5": 1}), f"body.logit_bias: {{'5': 1}} cannot be mapped; {LEAVE}"),
        (line(seed=1), f"body.seed: 1 cannot be mapped; {LEAVE}"),
        (line(service_tier="flex"), f"body.service_tier: 'flex' cannot be mapped; {LEAVE}"),
        (line(store=True), f"body.store: True cannot be mapped; {LEAVE}"),
        (line(verbosity="low"), f"body.verbosity: 'low' cannot be mapped; {LEAVE}"),
        (line(prediction={}), f"body.prediction: {{}} cannot be mapped; {LEAVE}"),
        (line(web_search_options={}), f"body.web_search_options: {{}} cannot be mapped; {LEAVE}"),
        (
            line(response_format={"type": "json_object"}),
            f"body.response_format: {{'type': 'json_object'}} cannot be mapped; {JSON}",
        ),
        (
            line(tools=[{"type": "custom"}]),
            f"body.tools: [{{'type': 'custom'}}] cannot be mapped; tools of another API are not mapped: {BATCHES}",
        ),
        (
            line(functions=[{}]),
            f"body.functions: [{{}}] cannot be mapped; tools of another API are not mapped: {BATCHES}",
        ),
        (
            line(tool_choice="required"),
            f"body.tool_choice: 'required' cannot be mapped; tools of another API are not mapped: {BATCHES}",
        ),
        (
            line(function_call={"name": "f"}),
            f"body.function_call: {{'name': 'f'}} cannot be mapped; tools of another API are not mapped: {BATCHES}",
        ),
        (line(modalities=["audio"]), "body.modalities: ['audio'] cannot be mapped; an answer is text: leave it out"),
        (line(audio={}), "body.audio: {} cannot be mapped; an answer is text: leave it out"),
        (
            line(reasoning_effort="high"),
            f"body.reasoning_effort: 'high' cannot be mapped; {EFFORT}",
        ),
        (line(suffix="x"), f"body.suffix: is not known here: leave it out, or {BATCHES}"),
        (line(temperature=1.5), "body.temperature: 1.5 should be from 0 to 1, as the Messages API has it"),
        (line(top_p="1"), "body.top_p: '1' should be from 0 to 1, as the Messages API has it"),
        (line(max_tokens=1, max_completion_tokens=2), "body.max_tokens: 1 beside max_completion_tokens 2: give one"),
        (line(max_tokens=0), "max_tokens: 0 should be a whole number, 1 or more"),
        (
            line(stop=["a", "b", "c", "d", "e"]),
            "body.stop: ['a', 'b', 'c', 'd', 'e'] should be text, or at most 4 texts, each with a visible character",
        ),
        (line(stop=" "), "body.stop: ' ' should be text, or at most 4 texts, each with a visible character"),
        (line(user=5), "body.user: 5 should be text, or be left out"),
        (line(model=5), "body.model: 5 should be text, or be left out"),
    ],
)
def test_a_line_that_cannot_be_mapped_names_its_field_and_what_would_be_right(text: str, problem: str) -> None:
    found = loaded(line("before"), text, line("behind"), format="openai")
    assert [str(mistake) for mistake in found.mistakes] == [f"stdin:2: {problem}"]
    assert [prompt.id for prompt in found.prompts] == ["before", "behind"]


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (5, "5 should be an object with role and content"),
        ({"role": "tool", "content": "x"}, "role: 'tool': results of another API's tools are not mapped"),
        ({"role": "critic", "content": "x"}, "role: 'critic' should be one of system, developer, user, assistant"),
        ({"role": ["user"], "content": "x"}, "role: ['user'] should be one of system, developer, user, assistant"),
        ({"role": "user", "content": ""}, "content: is empty; the API refuses a message without text"),
        ({"role": "user", "content": None}, "content: None should be text or a list of content parts"),
        ({"role": "user", "content": []}, "content: [] should be text or a list of content parts"),
        ({"role": "user", "content": ["x"]}, "content[0]: 'x' should be an object with a type"),
        (
            {"role": "user", "content": [{"type": "text", "text": " "}]},
            "content[0].text: is empty; the API refuses a text block without text",
        ),
        (
            {"role": "user", "content": [{"type": "input_audio"}]},
            "content[0].type: 'input_audio' cannot be mapped; right is text or image_url",
        ),
        (
            {"role": "assistant", "content": [{"type": "image_url"}]},
            "content[0].type: 'image_url' cannot be mapped; right is text",
        ),
        (
            {"role": "user", "content": "x", "name": "Ann"},
            "name: has no equal: write the name into the text",
        ),
        (
            {"role": "assistant", "content": "x", "tool_calls": [TOOL]},
            "tool_calls: tools of another API are not mapped",
        ),
        ({"role": "assistant", "content": "x", "audio": {"id": "1"}}, "audio: has no equal: leave it out"),
    ],
)
def test_a_message_that_cannot_be_mapped_is_named_by_its_place_in_the_line(message: Any, problem: str) -> None:
    found = loaded(line(messages=[{"role": "system", "content": "Be brief."}, message]), format="openai")
    place = "stdin:1: body.messages[1]"
    reported = f"{place}: {problem}" if problem[0].isdigit() else f"{place}.{problem}"
    assert [str(mistake) for mistake in found.mistakes] == [reported]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("x", "image_url: 'x' should be an object with a url"),
        ({"url": PIXEL, "detail": "low"}, f"image_url.detail: 'low' has no equal, {READ}"),
        ({"url": "ftp://a/b"}, f"image_url.url: 'ftp://a/b' should be {IMAGES}"),
        (
            {"url": "data:image/bmp;base64,AA=="},
            f"image_url.url: 'data:image/bmp;base64,AA==' should be {IMAGES}",
        ),
        ({}, f"image_url.url: None should be {IMAGES}"),
    ],
)  # fmt: skip
def test_an_image_of_another_shape_is_refused(given: Any, problem: str) -> None:
    messages = [{"role": "user", "content": [{"type": "image_url", "image_url": given}]}]
    found = loaded(line(messages=messages), format="openai")
    assert [str(mistake) for mistake in found.mistakes] == [f"stdin:1: body.messages[0].content[0].{problem}"]


@pytest.mark.parametrize("messages", [None, [], "Why?"])
def test_no_messages_at_all_are_refused(messages: Any) -> None:
    found = loaded(line(messages=messages), format="openai")
    assert [str(mistake) for mistake in found.mistakes] == [
        f"stdin:1: body.messages: {messages!r} should be a list of at least one message"
    ]


def test_messages_of_the_system_alone_ask_nothing() -> None:
    found = loaded(line(messages=[{"role": "system", "content": "Be brief."}]))
    problem = "holds no message of the user, which is what is answered"
    assert [str(mistake) for mistake in found.mistakes] == [f"stdin:1: body.messages: {problem}"]


def test_every_line_that_cannot_be_mapped_is_listed_and_no_prompt_is_given_behind_the_first() -> None:
    data = io.BytesIO("\n".join([line("a"), line("b", n=2), line("c"), line("d", seed=1), line("a")]).encode())
    with opened_prompts("-", stdin=data) as prompts:
        given = prompts.prompts()
        assert next(given).id == "a"
        with pytest.raises(InputMistakes) as refused:
            next(given)
    assert [str(mistake).split(": ")[:2] for mistake in refused.value.mistakes] == [
        ["stdin:2", "body.n"],
        ["stdin:4", "body.seed"],
        ["stdin:5", "id"],
    ]

"""What a request's parameters must be for the provider to take them at all, asked before anything is queued.

What depends on the model, and fields that are newer than this file, are left to the provider: its 400 costs nothing.
"""

from collections.abc import Callable, Mapping
from reprlib import repr as shown
from typing import Any

from models.chain import called_in
from producer.check import check
from producer.prompt import Prompt
from producer.web.refusal import Refusal

_MOST_TOP_K = 1_000_000


def checked(params: object, *, id: str | None, models: tuple[str, ...], where: str) -> Prompt:  # noqa: A002
    """Make a prompt of Messages API parameters; `where` is what an error calls them, with its dot.

    Raises Refusal: 404 for a model that is not in the chain, 400 for what no model takes.
    """
    if not isinstance(params, Mapping):
        raise Refusal(400, f"{where.removesuffix('.')}: {shown(params)} should be an object of Messages API parameters")
    model = params.get("model")
    if not isinstance(model, str) or not model:
        raise Refusal(400, f"{where}model: {shown(model)} should be the name of a model")
    if called_in(models, model) is None:
        said = f"{where}model: {shown(model)} is not in this server's chain; it has {', '.join(models)}"
        raise Refusal(404, said)
    prompt = Prompt(id=id, params=params)
    if mistake := check(prompt, source=where.removesuffix(".") or "body", line=None):
        raise Refusal(400, str(mistake))
    if problem := problem_of(params):
        raise Refusal(400, f"{where}{problem}")
    return prompt


def problem_of(params: Mapping[str, Any]) -> str | None:
    """Find the first thing that keeps every model from taking parameters whose messages are in order."""
    for name, (is_right, right) in _FIELDS.items():
        value = params.get(name)
        if value is not None and not is_right(value):
            return f"{name}: {shown(value)} should be {right}"
    if params["messages"][0]["role"] == "assistant":
        return "messages[0].role: the first message should be the user's"
    return None


def _is_number(least: float, most: float) -> Callable[[object], bool]:
    def is_right(value: object) -> bool:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return least <= value <= most  # false for what is no number

    return is_right


def _is_system(value: object) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list)
        and all(
            isinstance(block, Mapping) and block.get("type") == "text" and _is_text(block) and _is_marked_right(block)
            for block in value
        )
    )


def _is_marked_right(block: Mapping[str, Any]) -> bool:
    mark = block.get("cache_control")
    return mark is None or _is_typed(mark)


def _is_text(block: Mapping[str, Any]) -> bool:
    return isinstance(block.get("text"), str) and bool(block["text"].strip())


def _is_typed(value: object) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("type"), str)


def _are_tools(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(tool, Mapping) and (isinstance(tool.get("name"), str) or _is_typed(tool)) and _is_marked_right(tool)
        for tool in value
    )


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _is_object(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_whole_k(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MOST_TOP_K


_FIELDS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "system": (_is_system, "text, or a list of text blocks"),
    "temperature": (_is_number(0, 1), "a number from 0 to 1"),
    "top_p": (_is_number(0, 1), "a number from 0 to 1"),
    "top_k": (_is_whole_k, "a whole number, 0 or more"),
    "stop_sequences": (_are_texts, "a list of texts"),
    "tools": (_are_tools, "a list of tools, each with a name or a type"),
    "tool_choice": (_is_typed, "an object with a type"),
    "thinking": (_is_typed, "an object with a type"),
    "metadata": (_is_object, "an object"),
    "output_config": (_is_object, "an object"),
    "service_tier": (lambda value: isinstance(value, str), "text"),
    "stream": (lambda value: isinstance(value, bool), "true or false"),
}

"""Counts the input tokens of a file by the provider: free and slow, and exact but for the provider's additions."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from models.chain.capabilities import OLDER_VERSION, wants_older_version
from models.errors import ApiError, InputError
from models.rung_name import model_of
from producer.costs.anthropic_http import Api

_AT_ONCE = 8
_PATH = "/v1/messages/count_tokens"
_COUNTED = ("messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control", "speed")


def count_tokens(requests: Sequence[tuple[str, Mapping[str, Any]]], api: Api) -> list[int]:
    """Count each request, (model, parameters), in order; eight at a time.

    Raises ApiError, SettingsError, and InputError for the first prompt that the API refuses.
    """
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        counts = [pool.submit(_count, number, *request, api) for number, request in enumerate(requests, start=1)]
        return [count.result() for count in counts]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _count(number: int, model: str, params: Mapping[str, Any], api: Api) -> int:
    body = {"model": model_of(model), **{name: params[name] for name in _COUNTED if name in params}}
    if wants_older_version(body):
        api = replace(api, headers={**api.headers, "anthropic-version": OLDER_VERSION})
    try:
        tokens = api.ask(_PATH, body).get("input_tokens")
    except InputError as error:
        raise InputError(str(error), source=f"prompt {number}") from None
    if type(tokens) is not int or tokens < 0:
        raise ApiError(f"prompt {number}: {_PATH} told no input_tokens")
    return tokens

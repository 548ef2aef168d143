"""Asks the API for the models of the chain, which costs nothing, and names the obstacle to calls."""

import json
from dataclasses import dataclass
from typing import Literal

from models.chain.chain import short_name
from models.chain.provider_error import ProviderError, one_line, read_error
from producer.costs.anthropic_http import Api, Looked
from producer.output.terminal import terminal_text

_OK, _REDIRECT, _CLIENT_ERROR, _NOT_FOUND, _LIMITED, _SERVER_ERROR = 200, 300, 400, 404, 429, 500
_ABOUT_THE_KEY = {401, 402, 403}
_HERE = "set ANTHROPIC_BASE_URL to the address of the API, without /v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The state of the API: the verdict of a finding, and its sentence."""

    verdict: Literal["ok", "warn", "fail"]
    message: str


def state_of(api: Api, models: tuple[str, ...]) -> State:
    """Look up each model of the chain; the first reply about the address or the key ends the check.

    Raises ApiError if no reply comes.
    """
    closed = list[str]()
    for model in models:
        looked = api.look(f"/v1/models/{model}")
        if _is_known(looked):
            continue
        error = read_error(looked.body)
        if looked.status >= _REDIRECT and _is_about_the_model(looked.status, error):
            closed.append(f"{short_name(model)} ({looked.status}: {_words(error)})")
            continue
        return _in_the_way(api.host(), looked, error)
    if closed:
        fix = "jobs step past them; look at MODEL_CHAIN, and at what this key may use"
        return State(verdict="warn", message=f"{api.host()} answers, but not for {', '.join(closed)}: {fix}")
    return State(verdict="ok", message=f"{api.host()} answers, and knows the models of MODEL_CHAIN")


def _is_known(looked: Looked) -> bool:
    try:
        return looked.status == _OK and isinstance(json.loads(looked.body), dict)
    except ValueError:
        return False


def _is_about_the_model(status: int, error: ProviderError) -> bool:
    is_named = "model" in error.text.lower() and error.form != "page"
    return (status == _NOT_FOUND and error.is_own) or (status in _ABOUT_THE_KEY and is_named)


def _in_the_way(host: str, looked: Looked, error: ProviderError) -> State:
    status, words = looked.status, _words(error)
    if status < _REDIRECT:
        return State(
            verdict="fail", message=f"{host} answers {status} with something that is no model ({words}): {_HERE}"
        )
    if status < _CLIENT_ERROR:
        target = terminal_text(one_line(looked.location.partition("?")[0])) or "another address"
        return State(verdict="fail", message=f"{host} sends every call on to {target} ({status}): {_HERE}")
    if error.is_own and status in _ABOUT_THE_KEY:
        return State(verdict="fail", message=f"{host} refuses the key ({status}: {words}): mend ANTHROPIC_API_KEY")
    if status >= _SERVER_ERROR or status == _LIMITED:
        return State(verdict="warn", message=f"{host} answers {status} ({words}): run stepdown doctor again later")
    # A gateway may serve messages and no models; a page is nobody's API.
    fix = f"something between here and the API may answer: ask its operator, or {_HERE}"
    return State(
        verdict="fail" if error.form == "page" else "warn",
        message=f"{host} answers {status} ({words}), not the API: {fix}",
    )


def _words(error: ProviderError) -> str:
    return terminal_text(error.message) or "without a message"

"""The provider's Models API over the chain, and its token counting."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from reprlib import repr as shown
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from models.chain.capabilities import OLDER_VERSION, capabilities_of, wants_older_version
from models.chain.chain import called_in
from models.chain.provider_error import read_error
from models.chain.retirements import retirements
from models.errors import ApiError, SettingsError
from models.money.token_estimate import prompt_size, usual_tokens
from models.settings import Settings
from producer.costs.anthropic_http import Looked, api_of
from producer.web.http.bodies import LARGEST_MESSAGE, Body, received
from producer.web.http.context import caller_of, counting_of, producer_of, settings_of
from producer.web.http.errors import Refusal
from producer.web.http.labels import limit_of
from producer.web.http.params import checked

_NAME = re.compile(r"claude-([a-z]+)-(\d+)(?:-(\d{1,2}))?(?!\d)")
_DAY = re.compile(r"-(\d{4})(\d{2})(\d{2})$")
_UNKNOWN = "1970-01-01T00:00:00Z"  # the API's own value for a day it does not know
_COUNT = "/v1/messages/count_tokens"
_COUNT_S = 30.0
_PASSED_ON = ("anthropic-version", "anthropic-beta")
_LONGEST_HEADER = 1000
_ESTIMATED = "x-stepdown-estimated"
_OUR_KEY = {401, 402, 403}
_BUSY = 429
_SERVER_ERROR = 500


async def listing(request: Request) -> Response:
    """List the chain's models, the primary first, in pages."""
    asked, models = request.query_params, producer_of(request).models
    limit = limit_of(asked.get("limit"))
    if "before_id" in asked and "after_id" in asked:
        raise Refusal(400, "before_id, after_id: give one of them")
    if (after := asked.get("after_id")) is not None:
        left = models[_place(after, models, "after_id") + 1 :]
        page, has_more = left[:limit], len(left) > limit
    elif (before := asked.get("before_id")) is not None:
        left = models[: _place(before, models, "before_id")]
        page, has_more = left[-limit:], len(left) > limit
    else:
        page, has_more = models[:limit], len(models) > limit
    data = [_told(model) for model in page]
    ends = {"first_id": page[0], "last_id": page[-1]} if page else {"first_id": None, "last_id": None}
    return JSONResponse({"data": data, "has_more": has_more, **ends})


async def retrieve(request: Request) -> Response:
    """Tell one model of the chain, named with its date or without."""
    given: str = request.path_params["id"]
    model = called_in(producer_of(request).models, given)
    if model is None:
        names = ", ".join(producer_of(request).models)
        raise Refusal(404, f"model: {shown(given)} is not in this server's chain; it has {names}")
    return JSONResponse(_told(model))


async def count_tokens(request: Request) -> Response:
    """Have the provider count a request's input; an estimate says so in a header."""
    caller = caller_of(request).name
    async with received(request, most_bytes=LARGEST_MESSAGE, caller=caller) as body:
        given = await body.read_by(_countable, body, producer_of(request).models)
        async with counting_of(request).place(caller):
            return await run_in_threadpool(_counted, given, _headers(request, given), settings_of(request))


def _countable(body: Body, models: tuple[str, ...]) -> dict[str, Any]:
    given = body.object()
    checked({"max_tokens": 1, **given}, id=None, models=models, where="")
    return {**given, "model": called_in(models, given["model"])}


def _headers(request: Request, given: Mapping[str, Any]) -> dict[str, str]:
    """Pass on the version and the betas of the caller."""
    told = {name: value for name in _PASSED_ON if (value := request.headers.get(name)) is not None}
    for name, value in told.items():
        if not (value.isascii() and value.isprintable() and len(value) <= _LONGEST_HEADER):
            raise Refusal(400, f"{name}: {shown(value)} should be plain text of at most {_LONGEST_HEADER} characters")
    return ({"anthropic-version": OLDER_VERSION} if wants_older_version(given) else {}) | told


def _counted(given: Mapping[str, Any], headers: Mapping[str, str], settings: Settings) -> Response:
    try:
        api = replace(api_of(settings), headers=headers)
        looked = api.look(_COUNT, given, timeout_s=_COUNT_S)
    except SettingsError:  # only the workers have the key
        return _estimate(given)
    except ApiError:
        raise Refusal(503, "the provider gives no answer; send it again later", retry_after_s=5) from None
    if looked.status == 200:  # noqa: PLR2004
        return _as_told(looked)
    said = read_error(looked.body)
    if looked.status in _OUR_KEY:
        raise Refusal(503, "the provider refuses the key of this server; its operator can see why", is_for_good=True)
    if looked.status == 404 and said.kind != "not_found_error":  # noqa: PLR2004 - it does not know how to count
        return _estimate(given)
    if looked.status == _BUSY or looked.status >= _SERVER_ERROR:
        raise Refusal(529, f"the provider is busy ({looked.status}); send it again later", retry_after_s=5)
    raise Refusal(looked.status, said.text or "the provider refuses it without a word")


def _as_told(looked: Looked) -> Response:
    try:
        told = json.loads(looked.body)
    except ValueError:
        told = None
    if not isinstance(told, dict) or type(told.get("input_tokens")) is not int:
        raise Refusal(502, "the provider's count is no count; send it again later")
    return JSONResponse(told)


def _estimate(given: Mapping[str, Any]) -> Response:
    return JSONResponse({"input_tokens": usual_tokens(prompt_size(given))}, headers={_ESTIMATED: "true"})


def _told(model: str) -> dict[str, Any]:
    """Lay a model out as the provider does."""
    facts, name, day = capabilities_of(model), _NAME.match(model), _DAY.search(model)
    ends = (retirements() or {}).get(model)
    number = "" if name is None else ".".join(filter(None, name.groups()[1:]))
    return {
        "type": "model",
        "id": model,
        "display_name": model if name is None else f"Claude {name[1].title()} {number}",
        "created_at": _UNKNOWN if day is None else f"{'-'.join(day.groups())}T00:00:00Z",
        "line": None if name is None else name[1],
        "lifecycle": "active" if ends is None else "deprecated",
        "deprecated_at": None,
        "retires_at": None if ends is None else datetime.combine(ends, datetime.min.time()).isoformat() + "Z",
        "max_input_tokens": facts.window,
        "max_tokens": facts.most_output,
        "capabilities": None,
    }


def _place(given: str, models: tuple[str, ...], field: str) -> int:
    if given not in models:
        raise Refusal(400, f"{field}: {shown(given)} is not in this server's chain; it has {', '.join(models)}")
    return models.index(given)

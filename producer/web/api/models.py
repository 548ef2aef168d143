"""The provider's Models API over the chain, and the provider's token counts."""

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
from producer.web.http.context import caller_of, producer_of, server_of, settings_of
from producer.web.http.errors import Refusal
from producer.web.http.receive_body import LARGEST_MESSAGE, Body, received
from producer.web.http.request import checked, cursor_of, limit_of, page

_NAME = re.compile(r"claude-([a-z]+)-(\d+)(?:-(\d{1,2}))?(?!\d)")
_DAY = re.compile(r"-(\d{4})(\d{2})(\d{2})$")
_UNKNOWN = "1970-01-01T00:00:00Z"  # the API's own value for an unknown day
_COUNT = "/v1/messages/count_tokens"
_COUNT_S = 30.0
_PASSED_ON = ("anthropic-version", "anthropic-beta")
_LONGEST_HEADER = 1000
_ESTIMATED = "x-stepdown-estimated"
_OUR_KEY = {401, 402, 403}
_BUSY = 429
_SERVER_ERROR = 500


def listing(request: Request) -> Response:
    """List the chain's models, the primary first, in pages."""
    models, limit = producer_of(request).models, limit_of(request)
    cursor = {name: _place(given, models, name) for name, given in cursor_of(request).items()}
    left = models[cursor.get("after_id", -1) + 1 : cursor.get("before_id")]
    chosen = left[-limit:] if "before_id" in cursor else left[:limit]
    return page([_laid_out(model) for model in chosen], has_more=len(left) > limit)


def retrieve(request: Request) -> Response:
    """Return a model of the chain, named with its date or without."""
    given: str = request.path_params["id"]
    model = called_in(producer_of(request).models, given)
    if model is None:
        names = ", ".join(producer_of(request).models)
        raise Refusal(404, f"model: {shown(given)} is not in this server's chain; it has {names}")
    return JSONResponse(_laid_out(model))


async def count_tokens(request: Request) -> Response:
    """Return the provider's count of a request's input tokens, or an estimate with a header that marks estimates."""
    async with received(request, LARGEST_MESSAGE) as body:
        given = await body.read_by(_countable)
        async with server_of(request).counting.slot(caller_of(request).name):
            return await run_in_threadpool(_counted, given, _headers(request, given), settings_of(request))


def _countable(request: Request, body: Body) -> dict[str, Any]:
    given, models = body.object(), producer_of(request).models
    checked({"max_tokens": 1, **given}, id=None, models=models, where="")
    return {**given, "model": called_in(models, given["model"])}


def _headers(request: Request, given: Mapping[str, Any]) -> dict[str, str]:
    """Return the version and the betas of the caller, which the provider gets, too."""
    own = {name: value for name in _PASSED_ON if (value := request.headers.get(name)) is not None}
    for name, value in own.items():
        if not (value.isascii() and value.isprintable() and len(value) <= _LONGEST_HEADER):
            raise Refusal(400, f"{name}: {shown(value)} should be plain text of at most {_LONGEST_HEADER} characters")
    return ({"anthropic-version": OLDER_VERSION} if wants_older_version(given) else {}) | own


def _counted(given: Mapping[str, Any], headers: Mapping[str, str], settings: Settings) -> Response:
    try:
        api = replace(api_of(settings), headers=headers)
        looked = api.look(_COUNT, given, timeout_s=_COUNT_S)
    except SettingsError:  # only the workers have the key
        return _estimate(given)
    except ApiError:
        raise Refusal(503, "the provider gives no answer; send it again later", retry_after_s=5) from None
    if looked.status == 200:  # noqa: PLR2004
        return _passed_on(looked)
    error = read_error(looked.body)
    if looked.status in _OUR_KEY:
        raise Refusal(503, "the provider refuses the key of this server; its operator can see why", is_for_good=True)
    if looked.status == 404 and error.kind != "not_found_error":  # noqa: PLR2004 - the address has no counter
        return _estimate(given)
    if looked.status == _BUSY or looked.status >= _SERVER_ERROR:
        raise Refusal(529, f"the provider is busy ({looked.status}); send it again later", retry_after_s=5)
    raise Refusal(looked.status, error.text or "the provider refuses the request without a message")


def _passed_on(looked: Looked) -> Response:
    try:
        count = json.loads(looked.body)
    except ValueError:
        count = None
    if not isinstance(count, dict) or type(count.get("input_tokens")) is not int:
        raise Refusal(502, "the provider's count is no count; send it again later")
    return JSONResponse(count)


def _estimate(given: Mapping[str, Any]) -> Response:
    return JSONResponse({"input_tokens": usual_tokens(prompt_size(given))}, headers={_ESTIMATED: "true"})


def _laid_out(model: str) -> dict[str, Any]:
    """Return a model as the provider does."""
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

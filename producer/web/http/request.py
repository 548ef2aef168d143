"""Reads the headers and the query of a request, and its Messages API parameters as a prompt."""

from collections.abc import Mapping, Sequence
from reprlib import repr as shown
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from models.chain.capabilities import HEADERS, headers_problem
from models.chain.chain import called_in
from models.money.cap_settings import usd
from producer.prompt.check_prompt import MAX_ID_LENGTH, check
from producer.prompt.prompt import Prompt
from producer.web.http.errors import Refusal

TASK, MAX_COST, DEPTH, COST, JOB = (
    f"x-stepdown-{word}" for word in ("task", "max-cost-usd", "fallback-depth", "cost-usd", "job")
)
KEY = "idempotency-key"
LISTED, MOST_LISTED = 20, 1000  # items of a page: the default, and the most
_CURSORS = ("before_id", "after_id")
_MOST_DIGITS = 9


def label(request: Request, header: str) -> str | None:
    """Return a header that is kept as text; None for a blank header. Raises Refusal for other or longer text."""
    value = request.headers.get(header, "")
    if not (value.isprintable() and len(value) <= MAX_ID_LENGTH):
        raise Refusal(400, f"{header}: {shown(value)} should be plain text of at most {MAX_ID_LENGTH} characters")
    return value.strip() or None


def cap_of(request: Request) -> str | None:
    """Return the header that caps the cost of a request, in USD. Raises Refusal."""
    try:
        return None if (value := request.headers.get(MAX_COST)) is None else f"{usd(value).normalize():f}"
    except ValueError as error:
        raise Refusal(400, f"{MAX_COST}: {error}") from None


def headers_of(request: Request) -> dict[str, str]:
    """Return the version of the API and the betas of a request. Raises Refusal."""
    given = {name: ",".join(request.headers.getlist(name)) for name in HEADERS if name in request.headers}
    if problem := headers_problem(given):
        raise Refusal(400, f"{problem[0]}: {problem[1]}")
    return given


def limit_of(request: Request) -> int:
    """Return the most items of a page. Raises Refusal."""
    given = request.query_params.get("limit", str(LISTED))
    is_number = given.isascii() and given.isdecimal() and len(given) <= _MOST_DIGITS
    if not is_number or not 1 <= int(given) <= MOST_LISTED:
        raise Refusal(400, f"limit: {shown(given)} should be a whole number from 1 to {MOST_LISTED}")
    return int(given)


def cursor_of(request: Request) -> dict[str, str]:
    """Return `before_id` or `after_id`, or neither. Raises Refusal for both."""
    cursors = {name: request.query_params[name] for name in _CURSORS if name in request.query_params}
    if len(cursors) > 1:
        raise Refusal(400, f"{', '.join(_CURSORS)}: give one of them")
    return cursors


def page(data: Sequence[Mapping[str, Any]], *, has_more: bool) -> JSONResponse:
    """Return a page as the provider does."""
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return JSONResponse({"data": data, "has_more": has_more, **ends})


def checked(
    params: object,
    *,
    id: str | None,  # noqa: A002 - the prompt's own name
    models: tuple[str, ...],
    where: str,
    headers: Mapping[str, str] | None = None,
    fills_cache: bool = False,
) -> Prompt:
    """Make a prompt of Messages API parameters. `where` is the path of the parameters in an error, with a dot.

    Raises Refusal: 404 for a model that is not in the chain, 400 for parameters that no model takes.
    """
    if not isinstance(params, Mapping):
        raise Refusal(400, f"{where.removesuffix('.')}: {shown(params)} should be an object of Messages API parameters")
    model = params.get("model")
    if not isinstance(model, str) or not model:
        raise Refusal(400, f"{where}model: {shown(model)} should be the name of a model")
    if called_in(models, model) is None:
        problem = f"{shown(model)} is not in this server's chain; it has {', '.join(models)}"
        raise Refusal(404, f"{where}model: {problem}")
    prompt = Prompt(id=id, params=params, headers=headers)
    if mistake := check(prompt, source=where.removesuffix(".") or "body", line=None, fills_cache=fills_cache):
        raise Refusal(400, str(mistake))
    return prompt

"""Makes a prompt of the parameters and headers that a request brings, or refuses them before anything is queued."""

from collections.abc import Mapping
from reprlib import repr as shown

from starlette.requests import Request

from models.chain.capabilities import HEADERS, headers_problem
from models.chain.chain import called_in
from producer.prompt.check_prompt import check
from producer.prompt.prompt import Prompt
from producer.web.http.errors import Refusal


def headers_of(request: Request) -> dict[str, str]:
    """Read the version of the API and the betas that a request comes with. Raises Refusal for what is none."""
    given = {name: ",".join(request.headers.getlist(name)) for name in HEADERS if name in request.headers}
    if problem := headers_problem(given):
        raise Refusal(400, f"{problem[0]}: {problem[1]}")
    return given


def checked(
    params: object,
    *,
    id: str | None,  # noqa: A002
    models: tuple[str, ...],
    where: str,
    headers: Mapping[str, str] | None = None,
    fills_cache: bool = False,
) -> Prompt:
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
    prompt = Prompt(id=id, params=params, headers=headers)
    if mistake := check(prompt, source=where.removesuffix(".") or "body", line=None, fills_cache=fills_cache):
        raise Refusal(400, str(mistake))
    return prompt

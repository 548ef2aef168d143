"""The address of an endpoint: the SDK's own client class of its kind names the address, and signs each request.

The packages of a cloud are imported only if ENDPOINTS_FILE names the kind.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import anthropic
import httpx2

from models.chain.capabilities import OLDER_VERSION, VERSION
from models.chain.cloud_error import Cloud
from models.endpoints import Endpoint
from models.errors import Mistake, SettingsError
from worker.provider.anthropic_client import Address, Signed

_MESSAGES = "/v1/messages"
_HOP_BY_HOP = frozenset({"connection", "host", "content-length"})  # aiohttp's own, the same as those that are signed
_ENCODINGS = {"Accept-Encoding": "gzip, deflate"}  # a signature covers the header, and aiohttp reads both
_AUTH = frozenset({"authorization", "x-api-key"})
_VERSION_IN_BODY = frozenset({"bedrock", "vertex"})  # as anthropic_version; the SDK puts the betas in their place
_CLOUDS: Mapping[str, Cloud] = {
    **dict.fromkeys(("aws", "bedrock", "bedrock-mantle"), "aws"),
    **dict.fromkeys(("google-cloud", "vertex"), "google"),
    "foundry": "azure",
}
# The package that signs for a cloud, and our extra for the package. With a key, none is needed.
_SIGNERS: Mapping[str, tuple[str, str]] = {"aws": ("botocore", "bedrock"), "google": ("google.auth", "vertex")}
# The client class of a kind, and its parameters for the fields of an endpoint.
_CLIENTS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "aws": ("AsyncAnthropicAWS", {"key": "api_key", "region": "aws_region", "workspace": "workspace_id"}),
    "google-cloud": (
        "AsyncAnthropicGoogleCloud",
        {"key": "token_provider", "region": "location", "project": "project", "workspace": "workspace_id"},
    ),
    "bedrock-mantle": ("AsyncAnthropicBedrockMantle", {"key": "api_key", "region": "aws_region"}),
    "bedrock": ("AsyncAnthropicBedrock", {"key": "api_key", "region": "aws_region"}),
    "vertex": ("AsyncAnthropicVertex", {"key": "access_token", "region": "region", "project": "project_id"}),
    "foundry": ("AsyncAnthropicFoundry", {"key": "api_key"}),
}


class _Unsent(httpx2.AsyncBaseTransport):
    """Takes the place of the network: a request is signed as ever, and goes nowhere."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer at once."""
        return httpx2.Response(200, request=request)


def usual_address(api_key: str, base_url: str) -> Address:
    """Return the address of the usual API."""
    return _fixed(anthropic.AsyncAnthropic(api_key=api_key, base_url=base_url))


def address_of(endpoint: Endpoint) -> Address:
    """Return the address of an endpoint. Raises SettingsError if the SDK cannot sign for the endpoint here."""
    key = None if endpoint.key is None else endpoint.key.get_secret_value()
    if endpoint.kind in {"anthropic", "compatible"}:
        # Without a key the SDK would take the key of the usual API, and show that key to a stranger.
        sdk = anthropic.AsyncAnthropic(api_key=key or "-", base_url=endpoint.base_url or "https://api.anthropic.com")
        is_direct = endpoint.kind == "compatible"
        version = {VERSION: OLDER_VERSION} if is_direct else {}
        own = _auth_of(endpoint, key) | version
        return replace(_fixed(_without_custom_headers(sdk), own=own), is_direct=is_direct)
    package, extra = _SIGNERS.get(_CLOUDS[endpoint.kind], ("anthropic", ""))
    if key is None and not _is_installed(package):
        raise _unfit(endpoint, f"kind: {endpoint.kind} needs {package} to sign: pip install 'stepdown[{extra}]'")
    try:
        sdk = _client(endpoint, key)
    except Exception as error:
        raise _unfit(endpoint, f"key: {error}") from error
    return Address(
        url=str(sdk.base_url).rstrip("/"),
        sign=_signer(sdk, has_version_in_body=endpoint.kind in _VERSION_IN_BODY),
        takes_stream=endpoint.kind != "bedrock",
        cloud=_CLOUDS[endpoint.kind],
    )


def _fixed(sdk: anthropic.AsyncAnthropic, own: dict[str, str] | None = None) -> Address:
    """Return an address whose headers are always the same. `own` holds the endpoint's, instead of those of the key."""
    headers = {name: value for name, value in sdk.default_headers.items() if isinstance(value, str)}
    if own is not None:
        replaced = {*_AUTH, *own}
        headers = {name: value for name, value in headers.items() if name.lower() not in replaced} | own
    return Address(url=str(sdk.base_url).rstrip("/"), headers=headers)


def _auth_of(endpoint: Endpoint, key: str | None) -> dict[str, str]:
    if key is None:
        return {}
    return {"x-api-key": key} if endpoint.auth == "x-api-key" else {"authorization": f"Bearer {key}"}


def _client(endpoint: Endpoint, key: str | None) -> Any:
    name, parameters = _CLIENTS[endpoint.kind]
    given = {"key": key} | {field: getattr(endpoint, field) for field in ("region", "project", "workspace")}
    if key is not None and parameters["key"] == "token_provider":
        given["key"] = lambda: key
    sdk = getattr(anthropic, name)(
        http_client=httpx2.AsyncClient(transport=_Unsent()),
        max_retries=0,
        **{parameters[field]: value for field, value in given.items() if value is not None and field in parameters},
        **({} if endpoint.base_url is None else {"base_url": endpoint.base_url}),
    )
    return _without_custom_headers(sdk)


def _without_custom_headers(sdk: Any) -> Any:
    # ANTHROPIC_CUSTOM_HEADERS is meant for the usual API, and may hold a key of its gateway.
    sdk._custom_headers = dict(_ENCODINGS)  # noqa: SLF001 - no parameter keeps the SDK from that variable
    return sdk


def _signer(sdk: Any, *, has_version_in_body: bool) -> Callable[..., Any]:
    async def sign(body: Mapping[str, Any], headers: Mapping[str, str]) -> Signed:
        sent, whole = dict(headers), dict(body)
        if has_version_in_body and VERSION in sent:
            whole["anthropic_version"] = sent.pop(VERSION)
        response = await sdk.post(_MESSAGES, body=whole, cast_to=httpx2.Response, options={"headers": sent})
        request = response.request
        kept = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        return Signed(url=str(request.url), headers=kept, body=request.content)

    return sign


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of an outer package
        return False


def _unfit(endpoint: Endpoint, fix: str) -> SettingsError:
    return SettingsError([Mistake(variable="ENDPOINTS_FILE", value=endpoint.name, fix=f"[{endpoint.name}] {fix}")])

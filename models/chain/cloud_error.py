"""The error words of a cloud: AWS, Google and Azure name the same faults as the API, each in a form of its own.

Sources: Amazon's pages on InvokeModel and on common errors, and Google's canonical codes (google.rpc.Code). For Azure,
and for keys of Bedrock: replies that users have reported.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from models.chain.provider_error import ProviderError

Cloud = Literal["aws", "google", "azure"]
ERROR_TYPE = "x-amzn-errortype"  # the header in which AWS names an error
# The names of a cloud's errors, by the type with which the API names the same fault.
_NAMES: Mapping[Cloud, Mapping[str, str]] = {
    "aws": {
        "authentication_error": "UnrecognizedClientException InvalidSignatureException SignatureDoesNotMatch"
        " ExpiredTokenException IncompleteSignatureException IncompleteSignature MissingAuthenticationTokenException"
        " MissingAuthenticationToken RequestExpired InvalidClientTokenId NotAuthorized invalid_api_key",
        "permission_error": "AccessDeniedException AccessDenied OptInRequired",
        "not_found_error": "ResourceNotFoundException",
        "rate_limit_error": "ThrottlingException TooManyRequestsException ServiceQuotaExceededException",
        "overloaded_error": "ServiceUnavailableException ServiceUnavailable ModelNotReadyException",
        "api_error": "InternalServerException InternalFailure ModelErrorException ModelTimeoutException",
        "invalid_request_error": "ValidationException",
    },
    "google": {
        "authentication_error": "UNAUTHENTICATED",
        "permission_error": "PERMISSION_DENIED",
        "not_found_error": "NOT_FOUND",
        "rate_limit_error": "RESOURCE_EXHAUSTED",
        "overloaded_error": "UNAVAILABLE",
        "api_error": "INTERNAL UNKNOWN ABORTED CANCELLED DEADLINE_EXCEEDED DATA_LOSS",
        "invalid_request_error": "INVALID_ARGUMENT FAILED_PRECONDITION OUT_OF_RANGE UNIMPLEMENTED",
    },
    "azure": {
        "authentication_error": "401 Unauthorized AuthenticationFailed InvalidApiKey invalid_api_key",
        "permission_error": "403 Forbidden PermissionDenied AccessDenied AuthenticationTypeDisabled",
        "not_found_error": "404 NotFound DeploymentNotFound ModelNotFound ResourceNotFound",
        "rate_limit_error": "429 TooManyRequests RateLimitReached RateLimitExceeded QuotaExceeded",
        "overloaded_error": "503 ServiceUnavailable NoCapacity",
        "api_error": "408 500 502 504 Timeout InternalServerError",
        "invalid_request_error": "400 BadRequest InvalidRequest InvalidRequestError content_filter",
    },
}
_TYPES = {
    cloud: {name: kind for kind, names in by_type.items() for name in names.split()}
    for cloud, by_type in _NAMES.items()
}


def by_cloud(error: ProviderError, cloud: Cloud, value: object, headers: Mapping[str, str]) -> ProviderError:
    """Return an error in the API's types, if its JSON has the form and a name of the cloud. Else the error itself.

    A firewall's JSON has no such name. `code` becomes the cloud's own name.
    """
    body = value[0] if isinstance(value, list) and value else value  # Google answers a stream with a list
    found = _name_at(cloud, body, headers) if isinstance(body, dict) else None
    kind = _TYPES[cloud].get(found or "")
    return error if kind is None or found is None else replace(error, form="cloud", kind=kind, code=found)


def _name_at(cloud: Cloud, body: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
    inner = body.get("error")
    error = inner if isinstance(inner, dict) else {}
    if cloud == "aws":
        named = headers.get(ERROR_TYPE) or body.get("__type") or error.get("code")
        return named.partition(":")[0].rpartition("#")[2] if isinstance(named, str) else None
    named = error.get("status" if cloud == "google" else "code")
    return named if isinstance(named, str) else None

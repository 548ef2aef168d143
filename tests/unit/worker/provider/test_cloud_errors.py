"""The words of clouds: at an endpoint of a cloud they count as the API's own, and nowhere else."""

import json
from typing import Any

import pytest

from models.chain.cloud_error import Cloud
from worker.provider.classify import classify
from worker.provider.reply import Failure, Received

_CLOUDS: tuple[Cloud, ...] = ("aws", "google", "azure")


def _end(cloud: Cloud | None, status: int, body: object, **headers: str) -> Failure:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    text = body if isinstance(body, str) else json.dumps(body)
    end = classify(Received(status=status, headers=named, body=text.encode(), latency_ms=7, cloud=cloud))
    assert isinstance(end, Failure)
    return end


@pytest.mark.parametrize(
    ("status", "name", "words", "outcome"),
    [
        (403, "InvalidSignatureException", "Credential should be scoped to a valid region. ", "unauthorized"),
        (403, "ExpiredTokenException", "The security token included in the request is expired", "unauthorized"),
        (400, "IncompleteSignatureException", "Authorization header requires 'Signature'", "unauthorized"),
        (
            403,
            "AccessDeniedException",
            "Authentication failed: Please make sure your API Key is valid.",
            "unauthorized",
        ),
        (
            403,
            "AccessDeniedException",
            "User: arn:aws:iam::1:user/x is not authorized to perform: bedrock-mantle:CreateInference",
            "unauthorized",
        ),
        (
            403,
            "AccessDeniedException",
            "You don't have access to the model with the specified model ID.",
            "model_denied",
        ),
        (
            403,
            "AccessDeniedException",
            (
                "User: arn:aws:iam::1:user/x is not authorized to perform: bedrock:InvokeModel on resource:"
                " arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-4-7"
            ),
            "model_denied",
        ),
        (400, "ValidationException", "The provided model identifier is invalid.", "model_missing"),
        (
            400,
            "ValidationException",
            "Invocation of model ID anthropic.claude-opus-4-7-v1:0 with on-demand throughput isn\u2019t supported.",
            "model_missing",
        ),
        (404, "ResourceNotFoundException", "This model version has reached the end of its life.", "model_missing"),
        (400, "ValidationException", "Input is too long for requested model.", "too_long"),
        (400, "ValidationException", "max_tokens: Field required", "bad_request"),
        (429, "ThrottlingException", "Too many tokens, please wait before trying again.", "rate_limited"),
        (400, "ServiceQuotaExceededException", "Your request exceeds the service quota.", "rate_limited"),
        (429, "ModelNotReadyException", "The model is not ready for inference.", "overloaded"),
        (503, "ServiceUnavailableException", "Bedrock is unable to process your request.", "overloaded"),
        (424, "ModelErrorException", "The request failed while the model processed it.", "server_error"),
        (500, "InternalServerException", "An internal server error occurred.", "server_error"),
    ],
)
def test_aws_is_understood_by_the_name_in_its_header_or_its_body(
    status: int, name: str, words: str, outcome: str
) -> None:
    by_header = _end("aws", status, {"message": words}, x_amzn_errortype=f"{name}:http://x/", x_amzn_requestid="r1")
    by_body = _end("aws", status, {"__type": f"com.amazon.coral.service#{name}", "Message": words})
    assert (by_header.outcome, by_header.error_code, by_header.request_id) == (outcome, name, "r1")
    assert (by_body.outcome, by_body.error_code, by_body.message) == (outcome, name, words.strip())


@pytest.mark.parametrize(
    ("status", "name", "words", "outcome"),
    [
        (401, "UNAUTHENTICATED", "Request had invalid authentication credentials.", "unauthorized"),
        (403, "PERMISSION_DENIED", "This API method requires billing to be enabled.", "unauthorized"),
        (
            403,
            "PERMISSION_DENIED",
            (
                "Permission 'aiplatform.endpoints.predict' denied on resource '//aiplatform.googleapis.com/projects/p/"
                "locations/us-east5/publishers/anthropic/models/claude-opus-4-7' (or it may not exist)."
            ),
            "model_denied",
        ),
        (
            400,
            "FAILED_PRECONDITION",
            "Project `p` is not allowed to use Publisher Model `projects/p/locations/x/models/claude-opus-4-7`",
            "model_denied",
        ),
        (
            400,
            "FAILED_PRECONDITION",
            "Publisher Model `projects/p/locations/x/models/claude-opus-4-7` is not servable in region x.",
            "model_missing",
        ),
        (404, "NOT_FOUND", "Publisher Model `projects/p/locations/x/models/m` was not found.", "model_missing"),
        (
            429,
            "RESOURCE_EXHAUSTED",
            (
                "Quota exceeded for aiplatform.googleapis.com/online_prediction_input_tokens_per_minute_per_base_model"
                " with base model: anthropic-claude-opus-4. Please submit a quota increase request."
            ),
            "rate_limited",
        ),
        (503, "UNAVAILABLE", "The service is currently unavailable.", "overloaded"),
        (500, "INTERNAL", "Internal error encountered.", "server_error"),
        (504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete.", "server_error"),
        (400, "INVALID_ARGUMENT", "Invalid value at 'max_tokens'.", "bad_request"),
    ],
)
def test_google_is_understood_by_its_status_alone_or_in_a_list(
    status: int, name: str, words: str, outcome: str
) -> None:
    body = {"error": {"code": status, "message": words, "status": name}}
    for sent in (body, [body]):
        end = _end("google", status, sent)
        assert (end.outcome, end.error_code, end.message) == (outcome, name, words)


@pytest.mark.parametrize(
    ("status", "name", "words", "outcome"),
    [
        (401, "401", "Access denied due to invalid subscription key or wrong API endpoint.", "unauthorized"),
        (401, "PermissionDenied", "Principal does not have access to API/Operation.", "unauthorized"),
        (403, "AuthenticationTypeDisabled", "Key based authentication is disabled.", "unauthorized"),
        (404, "DeploymentNotFound", "The API deployment for this resource does not exist.", "model_missing"),
        (429, "429", "Requests have exceeded the token rate limit. Please retry after 7 seconds.", "rate_limited"),
        (503, "ServiceUnavailable", "The service is temporarily unavailable.", "overloaded"),
        (408, "Timeout", "The operation was timeout.", "server_error"),
        (400, "BadRequest", "max_tokens is too small", "bad_request"),
        (400, "content_filter", "The response was filtered by our content management policy.", "refused"),
    ],
)
def test_azure_is_understood_by_its_code(status: int, name: str, words: str, outcome: str) -> None:
    end = _end("azure", status, {"error": {"code": name, "message": words}}, apim_request_id="a1")
    assert (end.outcome, end.error_code, end.message, end.request_id) == (outcome, name, words, "a1")


_OTHERS: tuple[tuple[object, dict[str, str]], ...] = (
    ({"message": "no"}, {"x_amzn_errortype": "AccessDeniedException"}),
    ({"error": {"code": 403, "message": "no", "status": "PERMISSION_DENIED"}}, {}),
    ({"error": {"code": "PermissionDenied", "message": "no"}}, {}),
)


@pytest.mark.parametrize(("body", "headers"), _OTHERS)
def test_the_words_of_a_cloud_blame_nobody_elsewhere(body: object, headers: dict[str, str]) -> None:
    own = _CLOUDS[_OTHERS.index((body, headers))]
    outcomes = {cloud: str(_end(cloud, 403, body, **headers).outcome) for cloud in (None, *_CLOUDS)}
    assert outcomes == dict.fromkeys((None, *_CLOUDS), "blocked") | {own: "unauthorized"}


_FIREWALLS: tuple[Any, ...] = (
    "<html><head><title>Request Rejected</title></head></html>",
    "Forbidden",
    "",
    '{"message":"Forbidden"}',
    '{"error":"Access denied by policy"}',
    '{"error":{"code":403,"message":"blocked by policy","status":"BLOCKED"}}',
    '{"error":{"code":"blocked","message":"your account is suspended"}}',
    "[[]]",
    '{"__type":7,"error":{"code":[],"status":{}}}',
)


@pytest.mark.parametrize("cloud", _CLOUDS)
@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("body", _FIREWALLS)
def test_a_firewall_before_a_cloud_blames_neither_key_nor_model(cloud: Cloud, status: int, body: str) -> None:
    assert _end(cloud, status, body, x_amzn_errortype="ForbiddenException").outcome == "blocked"


def test_the_newer_place_of_aws_names_a_key_as_others_do() -> None:
    body = {"error": {"code": "invalid_api_key", "message": "Invalid bearer token", "type": "invalid_request_error"}}
    assert _end("aws", 401, body).outcome == "unauthorized"


@pytest.mark.parametrize("cloud", _CLOUDS)
def test_the_apis_own_words_come_first(cloud: Cloud) -> None:
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    end = _end(cloud, 529, body, request_id="req_1", x_request_id="gateway")
    assert (end.outcome, end.error_type, end.error_code, end.request_id) == (
        "overloaded",
        "overloaded_error",
        None,
        "req_1",
    )

"""The kinds of AWS against a checker that computes each signature again, as AWS does."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from models.endpoints import Endpoint
from models.errors import SettingsError
from tests.support.clouds.aws import ACCESS, KEY, REGION, REQUEST_ID, SECRET, TOKEN, Aws, aws_environment
from tests.support.clouds.checker import MODEL, call
from worker.endpoints.sdk_address import address_of
from worker.provider.classify import classify
from worker.provider.reply import Broken, Failure, Received, Reply

_SERVICES = {"aws": "aws-external-anthropic", "bedrock-mantle": "bedrock-mantle", "bedrock": "bedrock"}
_ID = "global.anthropic.claude-opus-4-7-v1:0"
_ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3"
_SIGNING = {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN}
_PATHS = {"aws": "/v1/messages", "bedrock-mantle": "/v1/messages", "bedrock": f"/model/{_ID}/invoke"}
Environment = Callable[..., None]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Environment]:
    """Set the variables of AWS for one test."""
    with ExitStack() as until_end:
        yield lambda **variables: until_end.enter_context(aws_environment(monkeypatch, tmp_path, variables))


def _fields(kind: str, **more: Any) -> dict[str, Any]:
    own: dict[str, dict[str, Any]] = {"aws": {"workspace": "wrkspc_1"}, "bedrock": {"ids": {MODEL: _ID}}}
    return {"kind": kind, "region": REGION, **own.get(kind, {}), **more}


def _failure(end: Received | Broken) -> Failure:
    failure = classify(end)
    assert isinstance(failure, Failure), failure
    return failure


@pytest.mark.parametrize("kind", _SERVICES)
def test_a_signed_call_gets_a_message(environment: Environment, kind: str) -> None:
    environment(**_SIGNING)
    called = call(Aws(service=_SERVICES[kind]), _fields(kind), reply_headers={"x-amzn-requestid": REQUEST_ID})
    reply = classify(called.end)
    assert isinstance(reply, Reply), reply
    assert (reply.outcome, reply.request_id) == ("answered", REQUEST_ID)
    assert called.sent.path == _PATHS[kind]
    assert called.sent.headers["x-amz-security-token"] == TOKEN
    assert called.sent.headers["x-stepdown-attempt"] == "a"


@pytest.mark.parametrize("model", [_ID, _ARN, "a@model"])
def test_the_path_of_any_bedrock_id_is_signed_as_sent(environment: Environment, model: str) -> None:
    environment(**_SIGNING)
    called = call(Aws(service="bedrock"), _fields("bedrock", ids={MODEL: model}))
    assert isinstance(classify(called.end), Reply)
    assert called.sent.path == f"/model/{model.replace('/', '%2F').replace('@', '%40')}/invoke"


def test_bedrock_has_version_and_betas_in_the_body_and_no_stream(environment: Environment) -> None:
    environment(**_SIGNING)
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "one,two"}
    called = call(Aws(service="bedrock"), _fields("bedrock"), headers=headers)
    body = json.loads(called.sent.body)
    assert (body["anthropic_version"], body["anthropic_beta"]) == ("2023-06-01", ["one", "two"])
    assert not {"model", "stream"} & set(body)
    assert "anthropic-version" not in called.sent.headers
    assert json.loads(call(Aws(service="bedrock"), _fields("bedrock")).sent.body)["anthropic_version"] == "2026-10-21"


@pytest.mark.parametrize("kind", ["aws", "bedrock-mantle"])
def test_the_callers_version_is_the_only_one_sent(environment: Environment, kind: str) -> None:
    environment(**_SIGNING)
    called = call(Aws(service=_SERVICES[kind]), _fields(kind), headers={"anthropic-version": "2023-06-01"})
    assert isinstance(classify(called.end), Reply)
    assert called.sent.headers["anthropic-version"] == "2023-06-01"
    assert json.loads(called.sent.body)["model"] == {"aws": MODEL, "bedrock-mantle": f"anthropic.{MODEL}"}[kind]


@pytest.mark.parametrize("kind", _SERVICES)
@pytest.mark.parametrize(
    ("judge", "variables", "fields", "name", "words"),
    [
        ({"secret": "another"}, {}, {}, "InvalidSignatureException", "does not match the signature"),
        ({}, {}, {"region": "eu-west-3"}, "InvalidSignatureException", "scoped to a valid region"),
        ({"ahead": timedelta(minutes=6)}, {}, {}, "InvalidSignatureException", "Signature expired"),
        ({}, {"AWS_ACCESS_KEY_ID": "AKIDNOBODY"}, {}, "UnrecognizedClientException", "security token"),
        ({}, {}, {"key": "another"}, "AccessDeniedException", "make sure your API Key is valid"),
    ],
)
def test_wrong_credentials_a_wrong_region_and_a_stale_date_are_unauthorized(
    environment: Environment,
    kind: str,
    judge: dict[str, Any],
    variables: dict[str, str],
    fields: dict[str, Any],
    name: str,
    words: str,
) -> None:
    environment(**_SIGNING | variables)
    failure = _failure(call(Aws(service=_SERVICES[kind], **judge), _fields(kind, **fields)).end)
    assert (failure.outcome, failure.error_code, failure.request_id) == ("unauthorized", name, REQUEST_ID)
    assert words in failure.message


@pytest.mark.parametrize("kind", _SERVICES)
def test_a_key_goes_as_bearer_and_needs_no_signature(environment: Environment, kind: str) -> None:
    environment()
    called = call(Aws(service=_SERVICES[kind]), _fields(kind, key=KEY))
    assert isinstance(classify(called.end), Reply)
    assert called.sent.headers["authorization"] == f"Bearer {KEY}"
    assert "x-amz-date" not in called.sent.headers


@pytest.mark.parametrize("kind", _SERVICES)
def test_without_credentials_no_request_leaves(environment: Environment, kind: str) -> None:
    environment()
    called = call(Aws(service=_SERVICES[kind]), _fields(kind))
    assert called.requests == []
    failure = _failure(called.end)
    assert failure.outcome == "unauthorized"
    assert failure.message.endswith(
        "nobody could sign it: RuntimeError: Could not resolve AWS credentials from session"
    )


@pytest.mark.parametrize("kind", _SERVICES)
def test_without_the_package_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, environment: Environment, kind: str
) -> None:
    environment(**_SIGNING)
    monkeypatch.setitem(sys.modules, "botocore", None)
    with pytest.raises(SettingsError, match=r"pip install 'stepdown\[bedrock\]'"):
        address_of(Endpoint(name="elsewhere", **_fields(kind)))
    assert address_of(Endpoint(name="elsewhere", **_fields(kind, key=KEY))).sign is not None

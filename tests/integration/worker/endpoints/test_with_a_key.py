"""The kinds with a key: Azure's two headers, and bearer or x-api-key at any endpoint of this protocol."""

import json
from typing import Any

import pytest

from models.endpoints import Endpoint
from models.errors import SettingsError
from tests.support.clouds.checker import Answer, Judge, Sent, call
from worker.endpoints.sdk_address import address_of
from worker.provider.classify import classify
from worker.provider.reply import Failure, Reply

_KEY, _USUAL = "a-key-of-its-own", "sk-ant-usual"
_OPEN = ["anthropic", "compatible"]
_DENIED = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an"
    " active subscription and use a correct regional API endpoint for your resource."
)


@pytest.fixture(autouse=True)
def _usual_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the usual key in each variable from which the SDK would take it."""
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.setenv(name, _USUAL)
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", f"X-Gateway-Key: {_USUAL}")


def _azure(sent: Sent) -> Answer | None:
    if sent.headers.get("x-api-key") == sent.headers.get("api-key") == _KEY:
        return None
    body = {"error": {"code": "401", "message": _DENIED}}
    return Answer(status=401, body=body, headers={"apim-request-id": "apim-1"})


def _takes(header: str, value: str) -> Judge:
    def judge(sent: Sent) -> Answer | None:
        if sent.headers.get(header) == value:
            return None
        body = {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}
        return Answer(status=401, body=body, headers={"x-request-id": "gateway-1"})

    return judge


def _outcome(judge: Judge, fields: dict[str, Any]) -> tuple[str, str | None]:
    called = call(judge, fields)
    assert _USUAL not in str(called.sent)
    end = classify(called.end)
    assert isinstance(end, Reply | Failure)
    return str(end.outcome), end.request_id


def test_foundry_takes_its_key_in_two_headers() -> None:
    assert _outcome(_azure, {"kind": "foundry", "key": _KEY}) == ("answered", None)
    assert _outcome(_azure, {"kind": "foundry", "key": "another"}) == ("unauthorized", "apim-1")
    called = call(_azure, {"kind": "foundry", "key": _KEY, "ids": {"claude-opus-4-7": "opus-prod"}})
    assert (called.sent.path, json.loads(called.sent.body)["model"]) == ("/v1/messages", "opus-prod")


def test_foundry_without_a_key_is_named_at_start() -> None:
    with pytest.raises(SettingsError, match=r"\[elsewhere\] key: Missing credentials"):
        address_of(Endpoint(name="elsewhere", kind="foundry", base_url="http://127.0.0.1:1"))


@pytest.mark.parametrize("kind", _OPEN)
def test_a_key_goes_as_bearer(kind: str) -> None:
    judge = _takes("authorization", f"Bearer {_KEY}")
    assert _outcome(judge, {"kind": kind, "key": _KEY}) == ("answered", None)
    assert _outcome(judge, {"kind": kind, "key": "another"}) == ("unauthorized", "gateway-1")


def test_a_key_goes_as_x_api_key_where_the_table_says_so() -> None:
    judge = _takes("x-api-key", _KEY)
    fields = {"kind": "compatible", "auth": "x-api-key"}
    assert _outcome(judge, {**fields, "key": _KEY}) == ("answered", None)
    assert _outcome(judge, {**fields, "key": "another"}) == ("unauthorized", "gateway-1")


@pytest.mark.parametrize("kind", _OPEN)
def test_without_a_key_there_is_no_header_for_one(kind: str) -> None:
    called = call(lambda _: None, {"kind": kind})
    assert isinstance(classify(called.end), Reply)
    assert not {"authorization", "x-api-key", "api-key", "x-gateway-key"} & set(called.sent.headers)


@pytest.mark.parametrize(("kind", "version"), [("anthropic", "2026-10-21"), ("compatible", "2023-06-01")])
def test_a_compatible_endpoint_gets_the_older_version(kind: str, version: str) -> None:
    assert call(lambda _: None, {"kind": kind}).sent.headers["anthropic-version"] == version

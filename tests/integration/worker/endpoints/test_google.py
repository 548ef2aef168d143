"""The kinds of Google against a checker of tokens, with a metadata server that gives them."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.endpoints import Endpoint
from models.errors import SettingsError
from tests.support.clouds.checker import call
from tests.support.clouds.google import PROJECT, REGION, Google, google_environment
from worker.endpoints.sdk_address import address_of
from worker.provider.classify import classify
from worker.provider.reply import Broken, Failure, Received, Reply

_KINDS = ["vertex", "google-cloud"]
_HAIKU = "claude-haiku-4-5-20251001"
_MODELS = f"/projects/{PROJECT}/locations/{REGION}/publishers/anthropic/models"
Named = Callable[[str], None]


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Named:
    """Have google-auth take its tokens from the checker."""
    return google_environment(monkeypatch, tmp_path)


def _fields(kind: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "region": REGION, "project": PROJECT, **more}


def _failure(end: Received | Broken) -> Failure:
    failure = classify(end)
    assert isinstance(failure, Failure), failure
    return failure


@pytest.mark.parametrize("kind", _KINDS)
def test_a_call_with_a_token_of_the_metadata_server_gets_a_message(metadata: Named, kind: str) -> None:
    called = call(Google(), _fields(kind), prepare=metadata, model=_HAIKU, times=2)
    assert [str(classify(end).outcome) for end in called.ends] == ["answered", "answered"]
    tokens = [sent for sent in called.requests if sent.path.partition("?")[0].endswith("/token")]
    assert (len(tokens), len(called.messages)) == (1, 2)
    where = f"{_MODELS}/claude-haiku-4-5@20251001:rawPredict" if kind == "vertex" else "/v1/messages"
    assert {sent.path for sent in called.messages} == {where}


def test_vertex_has_the_version_in_the_body_and_the_stream_in_the_path(metadata: Named) -> None:
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "one,two"}
    called = call(Google(), _fields("vertex"), prepare=metadata, model=_HAIKU, headers=headers, is_streamed=True)
    assert isinstance(classify(called.end), Reply)
    assert called.sent.path == f"{_MODELS}/claude-haiku-4-5@20251001:streamRawPredict"
    body = json.loads(called.sent.body)
    assert (body["anthropic_version"], body["stream"], "model" in body) == ("2023-06-01", True, False)
    assert called.sent.headers["anthropic-beta"] == "one,two"
    assert "anthropic-version" not in called.sent.headers


@pytest.mark.parametrize("kind", _KINDS)
def test_a_token_that_has_expired_is_made_anew(metadata: Named, kind: str) -> None:
    judge = Google(tokens=["ya29.old", "ya29.good"], lives_s=1)
    called = call(judge, _fields(kind), prepare=metadata, times=2)
    assert [str(classify(end).outcome) for end in called.ends][1] == "answered"


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("fields", [{}, {"key": "ya29.another"}])
def test_a_wrong_token_is_unauthorized(metadata: Named, kind: str, fields: dict[str, Any]) -> None:
    failure = _failure(call(Google(tokens=["ya29.old"]), _fields(kind, **fields), prepare=metadata).end)
    assert (failure.outcome, failure.http_status, failure.error_code) == ("unauthorized", 401, "UNAUTHENTICATED")
    assert failure.message.startswith("Request had invalid authentication credentials.")


def test_a_wrong_region_has_no_such_model(metadata: Named) -> None:
    failure = _failure(call(Google(), _fields("vertex", region="europe-west1"), prepare=metadata).end)
    assert (failure.outcome, failure.error_code) == ("model_missing", "NOT_FOUND")


@pytest.mark.parametrize("kind", _KINDS)
def test_a_token_as_key_needs_no_metadata_server(metadata: Named, kind: str) -> None:
    called = call(Google(is_elsewhere=True), _fields(kind, key="ya29.good"), prepare=metadata)
    assert isinstance(classify(called.end), Reply)
    assert len(called.requests) == 1


@pytest.mark.parametrize("kind", _KINDS)
def test_without_credentials_no_request_leaves(metadata: Named, kind: str) -> None:
    called = call(Google(is_elsewhere=True), _fields(kind), prepare=metadata)
    assert called.messages == []
    failure = _failure(called.end)
    assert failure.outcome == "unauthorized"
    assert "nobody could sign it: DefaultCredentialsError: Your default credentials were not found." in failure.message


@pytest.mark.parametrize("kind", _KINDS)
def test_the_usual_key_in_custom_headers_stays_at_home(
    monkeypatch: pytest.MonkeyPatch, metadata: Named, kind: str
) -> None:
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "Authorization: Bearer sk-ant-usual\nX-Gateway-Key: usual")
    called = call(Google(), _fields(kind), prepare=metadata)
    assert isinstance(classify(called.end), Reply)
    assert "usual" not in str(called.sent.headers)


@pytest.mark.parametrize("kind", _KINDS)
def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(SettingsError, match=r"pip install 'stepdown\[vertex\]'"):
        address_of(Endpoint(name="elsewhere", **_fields(kind)))
    assert address_of(Endpoint(name="elsewhere", **_fields(kind, key="ya29.good"))).sign is not None

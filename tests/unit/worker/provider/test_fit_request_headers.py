"""A request leaves under its caller's version and betas, but for what its model answers with 400."""

import json
from typing import Any

import pytest

from models.chain.capabilities import OLDER_VERSION, capabilities_of, headers_problem
from producer.simulator.request.checks import read_prompt
from producer.simulator.request.versions import NEW, head_of
from tests.support.plays.walk_scene import HAIKU, OPUS, PARAMS, SONNET
from worker.provider.fit_request import FittedRequest, fit_request

_OLDER = {"anthropic-version": OLDER_VERSION}


def _fit(model: str, headers: dict[str, str], **changes: Any) -> FittedRequest:
    """Fit a request, and have the simulator check it as it leaves."""
    fit = fit_request({**PARAMS, **changes}, capabilities_of(model), headers=headers)
    assert isinstance(fit, FittedRequest), fit
    sent = {"anthropic-version": NEW, "x-api-key": "any", **fit.headers}
    read_prompt(json.dumps({"model": model, **fit.params}).encode(), head_of(sent))
    return fit


@pytest.mark.parametrize("version", [OLDER_VERSION, NEW])
@pytest.mark.parametrize("model", [OPUS, SONNET, HAIKU])
def test_the_callers_version_and_betas_go_with_each_request(model: str, version: str) -> None:
    asked = {"anthropic-version": version, "anthropic-beta": "files-api-2025-04-14,mcp-client-2025-11-20"}
    fit = _fit(model, asked)
    assert (fit.headers, fit.note) == (asked, None)


@pytest.mark.parametrize("asked", [{}, {"anthropic-version": NEW}, _OLDER])
def test_sampling_sets_the_version_only_where_the_model_is_sent_it(asked: dict[str, str]) -> None:
    stepped = [_fit(model, asked, temperature=0.2) for model in (OPUS, SONNET)]
    assert [fit.headers.get("anthropic-version") for fit in stepped] == [asked.get("anthropic-version"), OLDER_VERSION]


def test_the_beta_of_a_long_window_is_dropped_for_a_model_without_one() -> None:
    asked = {"anthropic-beta": "context-1m-2025-08-07, files-api-2025-04-14"}
    fit = _fit(HAIKU, asked)
    assert fit.headers == {"anthropic-beta": "files-api-2025-04-14"}
    assert fit.note == f"beta context-1m-2025-08-07 dropped: {HAIKU} has 200000 tokens"
    assert _fit(SONNET, asked).headers == {"anthropic-beta": "context-1m-2025-08-07,files-api-2025-04-14"}


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"anthropic-version": "2024-01-01"}, "anthropic-version"),
        ({"anthropic-version": ""}, "anthropic-version"),
        ({"anthropic-beta": "files-api-2025-04-14,a b"}, "anthropic-beta"),
        ({"anthropic-beta": ",".join(f"beta-{number}" for number in range(51))}, "anthropic-beta"),
        ({"anthropic-beta": 5}, "anthropic-beta"),
        ({"x-mine": "1"}, "headers"),
        ("anthropic-beta", "headers"),
    ],
)
def test_a_header_that_no_request_can_leave_with_is_named(headers: object, field: str) -> None:
    assert (headers_problem(headers) or ("",))[0] == field


def test_betas_are_read_as_the_api_reads_them() -> None:
    assert headers_problem({"anthropic-beta": " files-api-2025-04-14 ,, mcp-client-2025-11-20,"}) is None
    assert _fit(OPUS, {"anthropic-beta": " files-api-2025-04-14 ,,files-api-2025-04-14,"}).headers == {
        "anthropic-beta": "files-api-2025-04-14"
    }

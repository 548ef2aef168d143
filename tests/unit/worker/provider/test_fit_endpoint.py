"""A request is made to suit its endpoint: fields that may go are dropped, and what cannot go is passed over."""

from pathlib import Path
from typing import Any

import pytest

from models.chain.endpoint_fit import FEATURES
from models.endpoints import Endpoint, capabilities_at, read_endpoints
from models.errors import SettingsError
from tests.support.plays.walk_scene import OPUS, PARAMS
from worker.provider.capabilities import LearnedCapabilities
from worker.provider.fit_request import FittedRequest, Misfit, fit_request

_EXAMPLE = Path(__file__).parents[4] / "worker" / "endpoints" / "endpoints.example.toml"
_PLACES: dict[str, dict[str, Any]] = {
    "anthropic": {},
    "aws": {"region": "us-east-1", "workspace": "w"},
    "google-cloud": {"region": "global", "project": "p"},
    "bedrock-mantle": {"region": "us-east-1"},
    "bedrock": {"region": "us-east-1"},
    "vertex": {"region": "global", "project": "p"},
    "foundry": {"base_url": "https://r.services.ai.azure.com/anthropic"},
    "compatible": {"base_url": "http://127.0.0.1:1"},
}
_LACKING: dict[str, set[str]] = {
    **{kind: set() for kind in _PLACES},
    "aws": {"fast_mode"},
    "bedrock-mantle": {"fast_mode", "files", "server_tools", "structured_outputs"},
    "bedrock": {"fast_mode", "files", "server_tools"},
    "vertex": {"fast_mode", "files"},
    "compatible": set(FEATURES),
}
_FILE = {"type": "document", "source": {"type": "file", "file_id": "file_1"}}
_SIGNED = {"type": "thinking", "thinking": "x", "signature": "made there"}
_FOUND = {"type": "web_search_result", "title": "x", "url": "x", "encrypted_content": "x"}


def _fit(
    kind: str, *, model: str = OPUS, headers: dict[str, str] | None = None, **params: Any
) -> FittedRequest | Misfit:
    more = {name: params.pop(name) for name in ("lacks", "shares_limits_with") if name in params}
    endpoints = {"there": Endpoint.model_validate({"name": "there", "kind": kind, **_PLACES[kind], **more})}
    facts = capabilities_at(f"there/{model}", endpoints)
    return fit_request({**PARAMS, **params}, facts, headers=headers)


def _said(*blocks: dict[str, Any]) -> list[dict[str, Any]]:
    first: dict[str, Any] = {"role": "user", "content": "x"}
    return [first, {"role": "assistant", "content": list(blocks)}, {"role": "user", "content": "Go on."}]


@pytest.mark.parametrize("kind", _PLACES)
@pytest.mark.parametrize(
    ("feature", "params", "part"),
    [
        ("server_tools", {"tools": [{"type": "web_search_20250305", "name": "w"}]}, "the tool web_search_20250305"),
        ("server_tools", {"tools": [{"type": "mcp_toolset"}]}, "the tool mcp_toolset"),
        ("structured_outputs", {"output_config": {"format": {"type": "json_schema"}}}, "output_config.format"),
        ("betas", {"context_management": {"edits": []}}, "context_management"),
    ],
)
def test_a_part_that_cannot_go_is_a_misfit_where_the_endpoint_lacks_its_feature(
    kind: str, feature: str, params: dict[str, Any], part: str
) -> None:
    fit = _fit(kind, **params)
    if feature not in _LACKING[kind]:
        assert isinstance(fit, FittedRequest)
        assert fit.params == PARAMS | params
        return
    assert fit == Misfit(reason=f"the endpoint of there/{OPUS} does not take {part}")
    assert isinstance(_fit(kind, lacks=[], **params), FittedRequest)


@pytest.mark.parametrize("kind", ["bash_20250124", "memory_20250818", "computer_20251124", "custom", None])
def test_tools_that_the_caller_runs_go_everywhere(kind: str | None) -> None:
    tool = {"name": "t"} if kind is None else {"type": kind, "name": "t"}
    assert isinstance(_fit("compatible", tools=[tool]), FittedRequest)


@pytest.mark.parametrize("kind", _PLACES)
def test_a_parameter_that_may_go_is_dropped_with_a_note(kind: str) -> None:
    asked: dict[str, Any] = {"speed": "fast", "tools": [{"name": "t", "strict": True}, {"name": "u"}]}
    fit = _fit(kind, headers={"anthropic-beta": "one,two"}, **asked)
    assert isinstance(fit, FittedRequest)
    lacks, there = _LACKING[kind], f"dropped: the endpoint of there/{OPUS} takes none"
    tools = [{"name": "t"}, {"name": "u"}] if "structured_outputs" in lacks else asked["tools"]
    notes = {"fast_mode": "speed fast", "structured_outputs": "strict of tools", "betas": "beta one, two"}
    assert fit.params == PARAMS | {"tools": tools} | ({} if "fast_mode" in lacks else {"speed": "fast"})
    assert fit.headers.get("anthropic-beta") == (None if "betas" in lacks else "one,two")
    assert (fit.note or "") == "; ".join(f"{part} {there}" for feature, part in notes.items() if feature in lacks)
    assert asked["tools"] == [{"name": "t", "strict": True}, {"name": "u"}]


_BOUND: tuple[tuple[dict[str, Any], str], ...] = (
    (_SIGNED, "signed thinking"),
    ({"type": "redacted_thinking", "data": "x"}, "redacted thinking"),
    ({"type": "web_search_tool_result", "content": [_FOUND]}, "the encrypted result of a tool"),
    (_FILE, "a file"),
    ({"type": "tool_result", "tool_use_id": "t", "content": [_FILE]}, "a file"),
    ({"type": "container_upload", "file_id": "file_1"}, "a file"),
)


@pytest.mark.parametrize("kind", _PLACES)
@pytest.mark.parametrize(("block", "part"), _BOUND)
def test_a_conversation_does_not_leave_the_account_that_made_it(kind: str, block: dict[str, Any], part: str) -> None:
    reason = f"there/{OPUS} stands in another account than {part} of the conversation"
    assert _fit(kind, messages=_said(block)) == Misfit(reason=reason)
    same = _fit(kind, messages=_said(block), shares_limits_with="anthropic", lacks=[])
    assert isinstance(same, FittedRequest)


def test_a_container_does_not_leave_its_account() -> None:
    fit = _fit("anthropic", container="container_1")
    assert fit == Misfit(reason=f"there/{OPUS} stands in another account than a container of the conversation")


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text", "text": "signed thinking"},
        {"type": "thinking", "thinking": "x", "signature": ""},
        {"type": "tool_use", "id": "t", "name": "n", "input": {"type": "file", "content": [_SIGNED]}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}},
    ],
)
def test_all_other_content_goes_to_any_account(block: dict[str, Any]) -> None:
    assert isinstance(_fit("compatible", messages=_said(block)), FittedRequest)


@pytest.mark.parametrize(("block", "_part"), _BOUND)
def test_at_the_usual_endpoint_a_conversation_is_at_home(block: dict[str, Any], _part: str) -> None:
    fit = fit_request({**PARAMS, "messages": _said(block)}, capabilities_at(OPUS, {}))
    assert isinstance(fit, FittedRequest)


@pytest.mark.parametrize("asked", [{}, {"anthropic-version": "2026-10-21"}])
def test_a_compatible_endpoint_gets_the_older_version_and_sampling(asked: dict[str, str]) -> None:
    fit = _fit("compatible", model="qwen3", headers=asked, temperature=0.2, top_k=5)
    older = {"anthropic-version": "2023-06-01"}
    assert fit == FittedRequest(params=PARAMS | {"temperature": 0.2, "top_k": 5}, headers=older)


def test_the_facts_of_an_endpoint_outlive_those_that_are_learned() -> None:
    endpoints = {"there": Endpoint(name="there", kind="compatible", **_PLACES["compatible"])}
    learned = LearnedCapabilities(
        ["there/qwen3"],
        ask=lambda _: {"max_tokens": 4096},
        window_of=lambda _: None,
        known=lambda rung: capabilities_at(rung, endpoints),
    )
    learned.ask_one()
    facts = learned("there/qwen3")
    assert (facts.most_output, facts.lacks, facts.only_version) == (4096, frozenset(FEATURES), "2023-06-01")
    assert facts.is_other_account


def test_the_example_can_be_read_and_says_what_an_endpoint_lacks(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("a-key\n")
    text = _EXAMPLE.read_text(encoding="utf-8").replace("/run/secrets/foundry-key", str(secret))
    (tmp_path / "endpoints.toml").write_text(text)
    endpoints = read_endpoints(tmp_path / "endpoints.toml")
    lacks = {name: set(capabilities_at(f"{name}/m", endpoints).lacks) for name in endpoints}
    assert lacks == {
        "bedrock": _LACKING["bedrock"],
        "vertex": _LACKING["vertex"],
        "foundry": set(),
        "local": set(FEATURES) - {"structured_outputs"},
    }


def test_an_unknown_feature_is_named_with_those_that_are_right(tmp_path: Path) -> None:
    file = tmp_path / "endpoints.toml"
    file.write_text('[there]\nkind = "anthropic"\nlacks = ["tools"]\n')
    with pytest.raises(SettingsError, match="lacks: should be a list of some of: betas, fast_mode, files"):
        read_endpoints(file)

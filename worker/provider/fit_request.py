"""A request is made to suit a model: parameters that the model would refuse are dropped, mapped or capped.

A field that cannot go without changing the question is a misfit: the model is skipped without a request.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from models.chain.capabilities import (
    BETA,
    EFFORTS,
    LONG_CONTEXT,
    OLDER_VERSION,
    SAMPLING,
    VERSION,
    Capabilities,
    betas_of,
    wants_older_version,
)
from models.chain.endpoint_fit import bound_to_account, lacking
from models.money.prompt_cache import prefix_tokens
from models.money.token_estimate import PromptSize, prompt_size

_LEAST_BUDGET = 1024  # tokens of thinking; the SDK's ThinkingConfigEnabledParam
_MOST_EFFORT_WITHOUT_THINKING = "high"
_FORCING = ("any", "tool")
_NOT_THINKING = ("disabled", "between_tools")
# No text has fewer tokens than a twelfth of its characters: a longer text is surely longer than the window.
_CHARACTERS_A_TOKEN = 12
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedRequest:
    """The parameters to send. `note` lists the dropped, mapped and capped parameters; None: all are unchanged.

    `is_cached`: the prefix of the batch is to be marked for this model's cache, before the request is sent. `headers`
    are the version of the API and the betas of the request. Empty: the headers of the SDK.
    """

    params: Mapping[str, Any]
    note: str | None = None
    is_cached: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """The model cannot take this request, even with fields left out."""

    reason: str


@dataclass(slots=True, kw_only=True)
class _Sheet:
    """A request being made to fit: its parameters, and the notes so far."""

    facts: Capabilities
    params: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def fit_request(
    request: Mapping[str, Any],
    facts: Capabilities,
    *,
    prefix: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> FittedRequest | Misfit:
    """Fit Messages API parameters and the caller's headers to a model; the request itself is unchanged.

    With a `prefix`, the prefix is for the cache, if the model caches so short a prefix. A malformed field goes out
    unchanged, and the API names the fault.
    """
    if reason := _why_not(request, facts):
        return Misfit(reason=reason)
    sheet = _Sheet(facts=facts, params=dict(request))
    _cap_output(sheet)
    _fit_thinking(sheet)
    _fit_effort(sheet)
    _fit_sampling(sheet)
    _fit_endpoint(sheet)
    fit_headers = _headers(sheet, headers or {})
    is_cached = prefix is not None and prefix_tokens(request) >= facts.smallest_prefix
    return FittedRequest(
        params=sheet.params, note="; ".join(sheet.notes) or None, is_cached=is_cached, headers=fit_headers
    )


def _why_not(request: Mapping[str, Any], facts: Capabilities) -> str | None:
    messages = request.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if not facts.takes_prefill and isinstance(last, dict) and last.get("role") == "assistant":
        return f"{facts.model} takes no prefill: the last message is the assistant's"
    choice = request.get("tool_choice")
    if not facts.takes_forced_tools and isinstance(choice, dict) and choice.get("type") in _FORCING:
        return f"{facts.model} takes no tool_choice {choice['type']}"
    if facts.is_other_account and (part := bound_to_account(request)):
        return f"{facts.model} stands in another account than {part} of the conversation"
    if part := lacking(request, facts.lacks):
        return f"the endpoint of {facts.model} does not take {part}"
    if facts.window is not None and _surely_tokens(prompt_size(request)) > facts.window:
        return f"the prompt is longer than the {facts.window} tokens of {facts.model}"
    return None


def _surely_tokens(size: PromptSize) -> int:
    # A document's characters are those of its file, which is no measure of the document's tokens.
    return 0 if size.documents else -(-size.characters // _CHARACTERS_A_TOKEN)


def _cap_output(sheet: _Sheet) -> None:
    # max_tokens is the most that the caller takes, and the model nearly always ends before. A longer answer is
    # truncated at the model's own limit, and may climb as any truncated answer.
    wanted, most = sheet.params.get("max_tokens"), sheet.facts.most_output
    if most is not None and _is_count(wanted) and wanted > most:
        sheet.params["max_tokens"] = most
        sheet.notes.append(f"max_tokens {wanted} capped: {sheet.facts.model} writes at most {most}")


def _fit_thinking(sheet: _Sheet) -> None:
    thinking = sheet.params.get("thinking")
    if not isinstance(thinking, dict):
        return
    match thinking.get("type"):
        case "enabled" if "enabled" in sheet.facts.thinking:
            _fit_budget(sheet, thinking)
        case "enabled" if "adaptive" in sheet.facts.thinking:
            kept = {name: value for name, value in thinking.items() if name != "budget_tokens"}
            sheet.params["thinking"] = kept | {"type": "adaptive"}
            note = f"thinking became adaptive, without its budget_tokens: {sheet.facts.model} chooses its own"
            sheet.notes.append(note)
        case "adaptive" if "adaptive" not in sheet.facts.thinking and "enabled" in sheet.facts.thinking:
            _give_budget(sheet, thinking, f"thinking became enabled: {sheet.facts.model} takes no adaptive")
        case "disabled" | "between_tools" as kind if kind not in sheet.facts.thinking:
            _stop_thinking(sheet, kind)
        case "enabled" | "adaptive" as kind if kind not in sheet.facts.thinking:
            _drop_thinking(sheet, f"{sheet.facts.model} does not think")


def _fit_budget(sheet: _Sheet, thinking: dict[str, Any]) -> None:
    budget, most = thinking.get("budget_tokens"), sheet.params.get("max_tokens")
    if _is_count(budget) and _is_count(most) and not _LEAST_BUDGET <= budget < most:
        _give_budget(sheet, thinking, f"budget_tokens {budget} is not from {_LEAST_BUDGET} to below max_tokens {most}")


def _give_budget(sheet: _Sheet, thinking: dict[str, Any], reason: str) -> None:
    """Let the model think for half of max_tokens, and answer with half; drop thinking if half is too few."""
    most = sheet.params.get("max_tokens")
    if not _is_count(most):
        return
    if most <= _LEAST_BUDGET:
        _drop_thinking(sheet, f"max_tokens {most} leaves no room for the {_LEAST_BUDGET} it takes")
        return
    budget = max(_LEAST_BUDGET, most // 2)
    sheet.params["thinking"] = thinking | {"type": "enabled", "budget_tokens": budget}
    sheet.notes.append(f"{reason}; budget_tokens set to {budget}")


def _stop_thinking(sheet: _Sheet, kind: str) -> None:
    if "disabled" in sheet.facts.thinking:
        sheet.params["thinking"] = {"type": "disabled"}
        sheet.notes.append(f"thinking {kind} became disabled: {sheet.facts.model} takes no other")
        return
    unasked = sheet.facts.thinks_unasked
    reason = "cannot be kept from it" if unasked else "does not think unasked, and takes no word for it"
    _drop_thinking(sheet, f"{sheet.facts.model} {reason}")


def _drop_thinking(sheet: _Sheet, reason: str) -> None:
    kind = sheet.params.pop("thinking")["type"]
    sheet.notes.append(f"thinking {kind} dropped: {reason}")


def _fit_effort(sheet: _Sheet) -> None:
    config = sheet.params.get("output_config")
    effort = config.get("effort") if isinstance(config, dict) else None
    if effort not in EFFORTS or not isinstance(config, dict):
        return
    most = _MOST_EFFORT_WITHOUT_THINKING if _must_not_think(sheet) else EFFORTS[-1]
    wanted = EFFORTS[: EFFORTS.index(effort) + 1]
    taken = [name for name in wanted if name in sheet.facts.efforts and EFFORTS.index(name) <= EFFORTS.index(most)]
    if taken and taken[-1] == effort:
        return
    if taken:
        sheet.params["output_config"] = config | {"effort": taken[-1]}
        reason = "without thinking" if effort in sheet.facts.efforts else f"of {sheet.facts.model}"
        sheet.notes.append(f"effort {effort} became {taken[-1]}, the most there is {reason}")
        return
    left = {name: value for name, value in config.items() if name != "effort"}
    sheet.params["output_config"] = left
    if not left:
        del sheet.params["output_config"]
    sheet.notes.append(f"effort dropped: {sheet.facts.model} takes none")


def _must_not_think(sheet: _Sheet) -> bool:
    """Return whether a model that thinks unasked may not think: such a model takes at most high effort."""
    return sheet.facts.thinks_unasked and _thinking_type(sheet) in _NOT_THINKING


def _fit_sampling(sheet: _Sheet) -> None:
    given = [name for name in SAMPLING if name in sheet.params]
    if not sheet.facts.takes_sampling:
        _drop_sampling(sheet, given, f"{sheet.facts.model} takes none")
    elif _thinking_type(sheet) in ("enabled", "adaptive"):
        _drop_sampling(sheet, given, f"{sheet.facts.model} takes none while it thinks")


def _drop_sampling(sheet: _Sheet, names: list[str], reason: str) -> None:
    for name in names:
        del sheet.params[name]
        sheet.notes.append(f"{name} dropped: {reason}")


def _fit_endpoint(sheet: _Sheet) -> None:
    if "fast_mode" in sheet.facts.lacks and sheet.params.get("speed") is not None:
        sheet.notes.append(f"speed {sheet.params.pop('speed')} dropped: the endpoint of {sheet.facts.model} takes none")
    tools = sheet.params.get("tools")
    strict = [tool for tool in tools if isinstance(tool, dict) and "strict" in tool] if isinstance(tools, list) else []
    if strict and "structured_outputs" in sheet.facts.lacks:
        sheet.params["tools"] = [
            {name: value for name, value in tool.items() if name != "strict"} if tool in strict else tool
            for tool in sheet.params["tools"]
        ]
        sheet.notes.append(f"strict of tools dropped: the endpoint of {sheet.facts.model} takes none")


def _headers(sheet: _Sheet, asked: Mapping[str, str]) -> dict[str, str]:
    """Return the API version and the betas of the fitted request.

    The version is the caller's, unless only the older takes a field: a step down must not cause a 400.
    """
    headers, betas = dict(asked), betas_of(asked)
    if LONG_CONTEXT in betas and sheet.facts.window is not None and sheet.facts.window < _MILLION:
        betas.remove(LONG_CONTEXT)
        sheet.notes.append(f"beta {LONG_CONTEXT} dropped: {sheet.facts.model} has {sheet.facts.window} tokens")
    if betas and "betas" in sheet.facts.lacks:
        sheet.notes.append(f"beta {', '.join(betas)} dropped: the endpoint of {sheet.facts.model} takes none")
        betas = []
    headers.pop(BETA, None)
    if betas:
        headers[BETA] = ",".join(betas)
    if sheet.facts.only_version is not None:
        return headers | {VERSION: sheet.facts.only_version}
    if headers.get(VERSION) != OLDER_VERSION and (reason := wants_older_version(sheet.params)):
        headers[VERSION] = OLDER_VERSION
        sheet.notes.append(f"sent as version {OLDER_VERSION} of the API, which takes {reason}")
    return headers


def _thinking_type(sheet: _Sheet) -> object:
    thinking = sheet.params.get("thinking")
    return thinking.get("type") if isinstance(thinking, dict) else None


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and value > 0

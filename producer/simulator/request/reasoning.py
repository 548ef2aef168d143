"""Refusals of thinking and effort, in the API's own words if known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from producer.simulator.request.catalog import Model

KINDS = ("enabled", "adaptive", "disabled", "between_tools")
EFFORTS = ("low", "medium", "high", "xhigh", "max")
_LEAST_BUDGET = 1024
_LEAST_TOP_P = 0.95  # beside thinking
_FORCING = ("any", "tool")


def wrong_reasoning(body: dict[str, Any], model: Model) -> str | None:
    """Return the complaint about `thinking` or `output_config.effort` for this model. Returns None if there is none."""
    thinking = body.get("thinking")
    if thinking is not None and not (isinstance(thinking, dict) and thinking.get("type") in KINDS):
        return f"thinking: Input tag should be one of {', '.join(KINDS)}"
    kind = None if thinking is None else thinking["type"]
    return (
        _wrong_kind(kind, model)
        or (_wrong_budget(thinking or {}, body) if kind == "enabled" else None)
        or (_wrong_company(body) if kind in ("enabled", "adaptive") else None)
        or _wrong_effort(body, model, kind)
    )


def _wrong_kind(kind: str | None, model: Model) -> str | None:
    if kind is None or kind in model.thinking:
        return None
    if kind == "enabled":
        return (
            '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
            '"output_config.effort" to control thinking behavior.'
        )
    return f'"thinking.type.{kind}" is not supported for this model.'


def _wrong_budget(thinking: dict[str, Any], body: dict[str, Any]) -> str | None:
    budget, most = thinking.get("budget_tokens"), body.get("max_tokens")
    if type(budget) is not int:
        return "thinking.enabled.budget_tokens: Field required"
    if budget < _LEAST_BUDGET:
        return f"thinking.enabled.budget_tokens: Input should be greater than or equal to {_LEAST_BUDGET}"
    if type(most) is int and budget >= most:
        return "`max_tokens` must be greater than `thinking.budget_tokens`."
    return None


def _wrong_company(body: dict[str, Any]) -> str | None:
    if body.get("temperature") not in (None, 1):
        return "`temperature` may only be set to 1 when thinking is enabled."
    if body.get("top_k") is not None:
        return "`top_k` must be unset when thinking is enabled."
    if not _LEAST_TOP_P <= (body.get("top_p") or 1) <= 1:
        return "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled."
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") in _FORCING:
        return "Thinking may not be enabled when tool_choice forces tool use."
    return None


def _wrong_effort(body: dict[str, Any], model: Model, kind: str | None) -> str | None:
    config = body.get("output_config")
    if config is not None and not isinstance(config, dict):
        return "output_config: Input should be a valid dictionary"
    effort = (config or {}).get("effort")
    if effort is None:
        return None
    if effort not in EFFORTS:
        return f"output_config.effort: Input should be one of {', '.join(EFFORTS)}"
    if effort not in model.efforts:
        return f"This model does not support effort level '{effort}'."
    if model.thinks_unasked and kind in ("disabled", "between_tools") and effort in EFFORTS[3:]:
        return f"Thinking cannot be disabled at effort '{effort}'."
    return None

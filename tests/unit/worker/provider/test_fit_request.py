"""A request is made to suit its model: dropped, mapped or capped with a note; what cannot be is passed over."""

import json
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.chain.capabilities import EFFORTS, OLDER_VERSION, capabilities_of
from producer.simulator.request.catalog import MODELS, find
from producer.simulator.request.checks import read_prompt
from producer.simulator.request.versions import NEW, Head
from tests.support.plays.walk_scene import HAIKU, OPUS, PARAMS, SONNET
from worker.provider.fit_request import FittedRequest, Misfit, fit_request

OPUS_5 = "claude-opus-5"
_OLDER = {"anthropic-version": OLDER_VERSION}
_THINKS: dict[str, Any] = {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 8000}


def _fit(model: str, **changes: Any) -> FittedRequest:
    prefix, headers = changes.pop("prefix", None), changes.pop("headers", None)
    fit = fit_request({**PARAMS, **changes}, capabilities_of(model), prefix=prefix, headers=headers)
    assert isinstance(fit, FittedRequest), fit
    return fit


def _head(fit: FittedRequest) -> Head:
    betas = fit.headers.get("anthropic-beta", "").split(",")
    return Head(version=fit.headers.get("anthropic-version", NEW), betas=tuple(filter(None, betas)))


def _noted(model: str, *names: str, **changes: Any) -> tuple[Any, ...]:
    fit = _fit(model, **changes)
    return (*(fit.params.get(name) for name in names), fit.note)


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k"])
@pytest.mark.parametrize("model", [OPUS, "claude-opus-4-8", OPUS_5, "claude-sonnet-5-5", "claude-haiku-5-5"])
def test_sampling_is_dropped_for_models_since_4_7(model: str, name: str) -> None:
    fit = _fit(model, **{name: 1})
    assert (fit.params, fit.note) == (PARAMS, f"{name} dropped: {model} takes none")


@pytest.mark.parametrize(
    "model", [SONNET, HAIKU, "claude-opus-4-6", "claude-opus-4-20250514", "claude-3-5-haiku-20241022", "another-model"]
)
def test_sampling_is_sent_where_it_is_taken(model: str) -> None:
    asked = {"temperature": 1, "top_p": 1, "top_k": 1}
    note = "sent as version 2023-06-01 of the API, which takes temperature"
    assert _fit(model, **asked) == FittedRequest(params=PARAMS | asked, note=note, headers=_OLDER)


def test_a_request_without_sampling_leaves_with_the_sdks_own_version() -> None:
    for model in (OPUS, SONNET, HAIKU):
        assert (_fit(model).headers, _fit(model, temperature=None).headers) == ({}, {})
    assert _fit(OPUS, temperature=1).headers == {}


_DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "A map."}}
_CITED = {"type": "text", "text": "Go on.", "citations": [{"type": "char_location", "cited_text": "x"}]}


def _turns(answered: object, asked: object) -> list[dict[str, Any]]:
    first: dict[str, Any] = {"role": "user", "content": "x"}
    return [first, {"role": "assistant", "content": answered}, {"role": "user", "content": asked}]


@pytest.mark.parametrize("model", [OPUS, SONNET, HAIKU, OPUS_5])
@pytest.mark.parametrize(
    ("answered", "asked", "reason"),
    [([_DOCUMENT], "Go on.", "a document of the assistant"), ("A map.", [_CITED], "citations of the user")],
)
def test_blocks_that_only_the_older_version_takes_are_sent_under_it(
    model: str, answered: object, asked: object, reason: str
) -> None:
    fit = _fit(model, messages=_turns(answered, asked))
    assert (fit.headers, fit.note) == (
        _OLDER,
        f"sent as version 2023-06-01 of the API, which takes {reason}",
    )
    read_prompt(json.dumps({"model": model, **fit.params}).encode(), _head(fit))


@pytest.mark.parametrize(("model", "fits"), [("claude-fable-5", True), ("claude-fable-5-2", False), (OPUS, True)])
@pytest.mark.parametrize("kind", ["any", "tool", "auto"])
def test_a_forced_tool_is_a_misfit_for_later_fables(model: str, fits: bool, kind: str) -> None:
    fit = fit_request({**PARAMS, "tool_choice": {"type": kind}}, capabilities_of(model))
    assert isinstance(fit, FittedRequest) == (fits or kind == "auto")


def test_sampling_is_dropped_where_the_model_thinks() -> None:
    assert _noted(SONNET, "temperature", temperature=0.2, **_THINKS) == (
        None,
        f"temperature dropped: {SONNET} takes none while it thinks",
    )


@pytest.mark.parametrize(("model", "most"), [(OPUS, 128_000), (SONNET, 128_000), (HAIKU, 64_000)])
def test_max_tokens_is_capped_at_what_the_model_writes(model: str, most: int) -> None:
    assert _noted(model, "max_tokens", max_tokens=most) == (most, None)
    note = f"max_tokens {most + 1} capped: {model} writes at most {most}"
    assert _noted(model, "max_tokens", max_tokens=most + 1) == (most, note)
    assert _noted("a-model-nobody-knows", "max_tokens", max_tokens=most + 1) == (most + 1, None)


def test_the_request_itself_is_left_as_it_is() -> None:
    asked = {
        **PARAMS,
        "temperature": 1,
        "max_tokens": 200_000,
        "output_config": {"effort": "max"},
        "system": "x" * 9999,
    }
    before = json.dumps(asked)
    fit_request(asked, capabilities_of(HAIKU), prefix="shared")
    assert json.dumps(asked) == before


def test_a_budget_of_thinking_becomes_adaptive_where_the_model_chooses_its_own() -> None:
    thinking, note = _noted(OPUS, "thinking", **_THINKS)
    assert (thinking, note) == (
        {"type": "adaptive"},
        f"thinking became adaptive, without its budget_tokens: {OPUS} chooses its own",
    )
    assert _fit(SONNET, **_THINKS).note is None


def test_adaptive_thinking_becomes_half_of_max_tokens_where_the_model_wants_a_budget() -> None:
    adaptive = {"type": "adaptive", "display": "omitted"}
    thinking, note = _noted(HAIKU, "thinking", thinking=adaptive, max_tokens=8000)
    assert thinking == {"type": "enabled", "display": "omitted", "budget_tokens": 4000}
    assert note == f"thinking became enabled: {HAIKU} takes no adaptive; budget_tokens set to 4000"
    assert _noted(HAIKU, "thinking", thinking=adaptive, max_tokens=1024) == (
        None,
        "thinking adaptive dropped: max_tokens 1024 leaves no room for the 1024 it takes",
    )


def test_a_budget_that_a_cap_left_no_room_for_is_halved() -> None:
    thinking, note = _noted(
        HAIKU, "thinking", thinking=_THINKS["thinking"] | {"budget_tokens": 90_000}, max_tokens=100_000
    )
    assert thinking["budget_tokens"] == 32_000
    assert str(note).endswith(
        "budget_tokens 90000 is not from 1024 to below max_tokens 64000; budget_tokens set to 32000"
    )


@pytest.mark.parametrize(
    ("model", "kind", "sent", "note"),
    [
        (HAIKU, "disabled", {"type": "disabled"}, None),
        (
            HAIKU,
            "between_tools",
            {"type": "disabled"},
            f"thinking between_tools became disabled: {HAIKU} takes no other",
        ),
        (
            OPUS,
            "disabled",
            None,
            f"thinking disabled dropped: {OPUS} does not think unasked, and takes no word for it",
        ),
        (OPUS_5, "disabled", {"type": "disabled"}, None),
        ("claude-fable-5", "disabled", None, "thinking disabled dropped: claude-fable-5 cannot be kept from it"),
        (
            "claude-3-haiku-20240307",
            "adaptive",
            None,
            "thinking adaptive dropped: claude-3-haiku-20240307 does not think",
        ),
    ],
)
def test_a_word_against_thinking_is_sent_where_it_is_taken(
    model: str, kind: str, sent: object, note: str | None
) -> None:
    assert _noted(model, "thinking", thinking={"type": kind}) == (sent, note)


@pytest.mark.parametrize(
    ("model", "effort", "sent", "note"),
    [
        (OPUS, "xhigh", {"effort": "xhigh"}, None),
        (SONNET, "xhigh", {"effort": "high"}, f"effort xhigh became high, the most there is of {SONNET}"),
        (SONNET, "max", {"effort": "max"}, None),
        ("claude-opus-4-5", "max", {"effort": "high"}, "effort max became high, the most there is of claude-opus-4-5"),
        (HAIKU, "low", None, f"effort dropped: {HAIKU} takes none"),
    ],
)
def test_effort_is_the_most_the_model_takes_of_it(model: str, effort: str, sent: object, note: str | None) -> None:
    assert _noted(model, "output_config", output_config={"effort": effort}) == (sent, note)


def test_a_model_kept_from_thinking_takes_no_more_than_high_effort() -> None:
    asked = {"thinking": {"type": "disabled"}, "output_config": {"effort": "max", "format": {}}}
    note = "effort max became high, the most there is without thinking"
    assert _noted(OPUS_5, "output_config", **asked) == ({"effort": "high", "format": {}}, note)


def test_a_prefill_is_passed_over_where_the_model_takes_none() -> None:
    messages = [*PARAMS["messages"], {"role": "assistant", "content": "{"}]  # type: ignore[misc]
    misfit = fit_request({**PARAMS, "messages": messages}, capabilities_of(SONNET))
    assert misfit == Misfit(reason=f"{SONNET} takes no prefill: the last message is the assistant's")
    assert _fit(HAIKU, messages=messages).note is None


def test_a_prompt_that_cannot_be_within_the_window_is_passed_over() -> None:
    whole = {"system": "x" * 600_000, "tools": [{"name": "x" * 900_000}], **_text("x" * 900_000)}
    misfit = fit_request({**PARAMS, **whole}, capabilities_of(HAIKU))
    assert misfit == Misfit(reason=f"the prompt is longer than the 200000 tokens of {HAIKU}")
    assert isinstance(fit_request({**PARAMS, **_text("x" * 2_400_000)}, capabilities_of(HAIKU)), FittedRequest)
    assert isinstance(fit_request({**PARAMS, **whole}, capabilities_of(OPUS)), FittedRequest)
    assert isinstance(fit_request({**PARAMS, **whole}, capabilities_of("a-model-nobody-knows")), FittedRequest)


def test_a_documents_file_says_nothing_of_its_tokens() -> None:
    file = {"type": "document", "source": {"type": "base64", "data": "x" * 5_000_000}}
    assert _fit(HAIKU, messages=[{"role": "user", "content": [file]}]).note is None


def _text(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]}


@pytest.mark.parametrize(
    "wrong", [{"thinking": "much"}, {"thinking": {}}, {"output_config": 7}, {"max_tokens": "many"}]
)
def test_what_is_malformed_is_left_to_the_api(wrong: dict[str, Any]) -> None:
    assert _fit(HAIKU, **wrong) == FittedRequest(params=PARAMS | wrong)


@pytest.mark.parametrize(
    ("model", "characters", "is_marked"),
    [(SONNET, 3584, True), (SONNET, 3580, False), (OPUS, 7168, True), (OPUS, 7164, False), (HAIKU, 14_336, True)],
)
def test_a_shared_beginning_is_marked_where_the_model_keeps_one_as_short(
    model: str, characters: int, is_marked: bool
) -> None:
    fit = _fit(model, prefix="shared", system="x" * characters)
    assert fit.is_cached == is_marked
    assert not _fit(model, system="x" * characters).is_cached


_KINDS: list[dict[str, Any] | None] = [
    None,
    {"type": "adaptive"},
    {"type": "disabled"},
    {"type": "between_tools"},
    {"type": "enabled", "budget_tokens": 100},
    {"type": "enabled", "budget_tokens": 2048},
    {"type": "enabled", "budget_tokens": 100_000},
]


@given(
    st.fixed_dictionaries(
        {
            "max_tokens": st.sampled_from([1, 1024, 1025, 5000, 64_001, 200_000]),
            "messages": st.sampled_from(
                [PARAMS["messages"], _turns([_DOCUMENT], "Go on."), _turns("A map.", [_CITED])]
            ),
        },
        optional={
            "temperature": st.sampled_from([0, 0.5, 1]),
            "top_p": st.sampled_from([0.1, 0.99]),
            "top_k": st.just(5),
            "system": st.sampled_from(["Be brief.", "x" * 20_000]),
        },
    ),
)
@pytest.mark.parametrize("model", [name for model in MODELS for name in dict.fromkeys((model.id, model.alias))])
def test_whatever_is_asked_of_whichever_model_the_api_takes_it(model: str, asked: dict[str, Any]) -> None:
    for thinking, effort in product(_KINDS, (None, *EFFORTS)):
        request = asked | ({"thinking": thinking} if thinking else {})
        request |= {"output_config": {"effort": effort}} if effort else {}
        fit = fit_request(request, capabilities_of(model), prefix="shared" if "system" in asked else None)
        assert isinstance(fit, FittedRequest)
        read_prompt(json.dumps({"model": model, **fit.params}).encode(), _head(fit))


@pytest.mark.parametrize("model", [model.id for model in MODELS])
def test_what_a_name_tells_is_what_the_provider_says(model: str) -> None:
    facts, real = capabilities_of(model), find(model)
    assert real is not None
    assert (facts.window, facts.most_output) == (real.context, real.max_output)
    assert (facts.takes_sampling, facts.takes_prefill) == (real.sampling, real.prefill)
    assert facts.takes_forced_tools == real.forced_tools
    assert facts.smallest_prefix == real.smallest_prefix
    assert (facts.thinking, frozenset(facts.efforts)) == (real.thinking, real.efforts)

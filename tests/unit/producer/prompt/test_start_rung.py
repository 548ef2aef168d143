"""Where a prompt starts in the chain, and how far it may go."""

from typing import Any

import pytest

from models.chain.chain import Chain, RungRange
from models.errors import InputError
from producer.prompt.prompt import Prompt
from producer.prompt.start_rung import span_of

CHAIN = Chain(models=("big", "middle", "small"), starts={"summarize": 2, "synthesize": 0})
CHOICES = "(big, middle, small)"


def with_model(model: object, **changes: Any) -> Prompt:
    return Prompt(params={"model": model, "max_tokens": 5, "messages": []}, **changes)


def span(prompt: Prompt, task: str | None = None) -> RungRange:
    return span_of(prompt, CHAIN, task, source="prompt 7")


@pytest.mark.parametrize(
    ("prompt", "task", "start"),
    [
        (Prompt("a"), None, 0),
        (Prompt("a"), "summarize", 2),
        (Prompt("a"), "a task nobody configured", 0),
        (Prompt("a", task="summarize"), None, 2),
        (Prompt("a", task="synthesize"), "summarize", 0),
        (Prompt("a", task="a task nobody configured"), "summarize", 0),
        (with_model("middle"), None, 1),
        (with_model("middle"), "summarize", 2),
        (with_model("middle", task="synthesize"), None, 0),
        (with_model("middle"), "a task nobody configured", 1),
        (Prompt("a", start="middle"), None, 1),
        (Prompt("a", start="middle", task="summarize"), "synthesize", 1),
        (with_model("small", start="big"), "summarize", 0),
    ],
)
def test_its_own_start_comes_first_then_its_task_then_its_params_then_the_primary(
    prompt: Prompt, task: str | None, start: int
) -> None:
    assert span(prompt, task) == RungRange(start=start, floor=2, ceiling=0)


@pytest.mark.parametrize(
    ("limits", "floor", "ceiling"),
    [
        ({}, 2, 0),
        ({"floor": "middle"}, 1, 0),
        ({"ceiling": "middle"}, 2, 1),
        ({"floor": "middle", "ceiling": "middle"}, 1, 1),
        ({"floor": "small", "ceiling": "big"}, 2, 0),
    ],
)
def test_floor_and_ceiling_bound_the_walk_and_are_the_whole_chain_otherwise(
    limits: dict[str, str], floor: int, ceiling: int
) -> None:
    assert span(Prompt("a", start="middle", **limits)) == RungRange(start=1, floor=floor, ceiling=ceiling)  # type: ignore[arg-type]


def test_a_model_in_params_may_be_named_without_its_date() -> None:
    dated = Chain(models=("claude-opus-4-7", "claude-haiku-4-5-20251001"))
    assert span_of(with_model("claude-haiku-4-5"), dated, None, source="prompt 7").start == 1


@pytest.mark.parametrize(
    ("prompt", "problem"),
    [
        (Prompt("a", start="huge"), f"start: 'huge' is not in MODEL_CHAIN {CHOICES}"),
        (Prompt("a", floor="huge"), f"floor: 'huge' is not in MODEL_CHAIN {CHOICES}"),
        (Prompt("a", ceiling="Big"), f"ceiling: 'Big' is not in MODEL_CHAIN {CHOICES}"),
        (with_model("huge"), f"params.model: 'huge' is not in MODEL_CHAIN {CHOICES}"),
        (with_model(5), f"params.model: 5 is not in MODEL_CHAIN {CHOICES}"),
    ],
)
def test_a_model_outside_the_chain_is_refused_with_the_chain(prompt: Prompt, problem: str) -> None:
    with pytest.raises(InputError) as refused:
        span(prompt)
    assert str(refused.value) == f"prompt 7: {problem}"


@pytest.mark.parametrize(
    ("prompt", "problem"),
    [
        (Prompt("a", start="small", floor="middle"), "small is the start; {} the ceiling big and the floor middle"),
        (Prompt("a", ceiling="middle"), "big is the start; {} the ceiling middle and the floor small"),
        (
            Prompt("a", start="middle", ceiling="small", floor="big"),
            "middle is the start; {} the ceiling small and the floor big",
        ),
        (Prompt("a", task="summarize", floor="big"), "small is the start; {} the ceiling big and the floor big"),
    ],
)
def test_a_start_outside_its_own_floor_and_ceiling_is_refused_with_both(prompt: Prompt, problem: str) -> None:
    with pytest.raises(InputError) as refused:
        span(prompt)
    assert str(refused.value) == f"prompt 7: start: {problem.format('it must lie between')} in MODEL_CHAIN"


def test_a_model_in_the_params_that_its_task_overrules_need_not_be_in_the_chain() -> None:
    assert span(with_model("huge"), "summarize").start == 2

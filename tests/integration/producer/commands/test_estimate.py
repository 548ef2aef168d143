"""`stepdown estimate`: what it prints, what it refuses, and that the real cost lies in the range it printed."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from producer.files.record_to_prompt import ReadOptions
from producer.simulator.process import running_simulator
from tests.support.ledgers.half_price_lane import book_lane
from tests.support.read_prompts import load
from tests.support.sites.command_line import EXAMPLES, KEY, TEXTS, Stranger, stranger_in
from tests.support.sites.worker_site import HAIKU, OPUS, Plant, running_plant

_SUMMARIES = ("producer/simulator/texts/articles.csv", "--template", "Summarize: {text}", "--max-tokens", "300")


@pytest.fixture
def me(tmp_path: Path) -> Stranger:
    """Sit at a terminal without a ledger, a broker or a worker."""
    return stranger_in(tmp_path, ANTHROPIC_API_KEY=KEY)


@pytest.fixture(params=["sqlite", "postgres"])
def plant(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plant]:
    """Run a worker with a ledger that has learned nothing yet."""
    with running_plant(request, tmp_path, CLIMB_ON="truncated") as running:
        yield running


def _estimated(me: Stranger, *arguments: str) -> dict[str, Any]:
    printed: dict[str, Any] = json.loads(me.types("estimate", *arguments, "--json").out)
    return printed


def _worst(printed: dict[str, Any], model: str | None = None) -> Decimal:
    return Decimal((printed["chain"] if model is None else printed["models"][model])["worst_case_usd"])


def test_an_estimate_needs_no_ledger_and_makes_none(me: Stranger) -> None:
    printed = me.types("estimate", *_SUMMARIES)
    assert printed.out.startswith("200 prompts, 144,502 characters\n")
    assert printed.out.splitlines()[1:4] == [
        "expected $0.9564, likely $0.5814 to $1.34",
        "  likely: answers half to 1.5 times as long as expected, assumed until answers are recorded",
        "at most $3.12: the dearest model that a prompt may reach answers it, at full length",
    ]
    assert "3.50 characters a token, taken for want of attempts, for claude-opus-4-7" in printed.out
    assert "50% of max_tokens written (0 to 100%), taken for want of attempts" in printed.out
    assert (printed.err, (me.folder / ".stepdown").exists()) == ("", False)
    (length,) = _estimated(me, *_SUMMARIES)["output_tokens"]
    assert length == {"task": None, "expected": None, "low": None, "high": None, "attempts": 0}


def test_each_prompt_is_priced_from_its_own_start(me: Stranger) -> None:
    starts = {"ANTHROPIC_API_KEY": KEY, "TASK_STARTS": f"summarize:{HAIKU}"}
    me.configure(**starts)
    me.write(
        "two.jsonl", '{"prompt": "Summarize: bridges.", "task": "summarize"}\n{"prompt": "Synthesize: harbours."}\n'
    )
    printed = _estimated(me, "two.jsonl")
    assert printed["starts"] == {HAIKU: 1, OPUS: 1}
    each = {model: Decimal(total["expected_usd"]) for model, total in printed["models"].items()}
    assert each[HAIKU] < Decimal(printed["chain"]["expected_usd"]) < each[OPUS]
    names = ("low_usd", "expected_usd", "worst_case_usd")
    live, half = ([Decimal(printed[lane][name]) for name in names] for lane in ("chain", "half_price"))
    assert [usd * 2 for usd in half] == pytest.approx(live)
    assert Decimal(printed["models"][OPUS]["half_price"]["expected_usd"]) * 2 == pytest.approx(each[OPUS])


def test_the_time_of_message_batches_is_shown_once_recorded(me: Stranger, engine: Engine, database_url: str) -> None:
    ranges = "expected $0.4782, likely $0.2907 to $0.6658, at most $1.56"
    half_price = f"at half price: {ranges}, if message batches answer all in time\n"
    assert half_price + "if one answers all" in me.types("estimate", *_SUMMARIES).out
    book_lane(engine)
    me.configure(ANTHROPIC_API_KEY=KEY, DATABASE_URL=database_url)
    took = f"message batches of {OPUS}: half within 10 min, 19 of 20 within 30 min (3 in 30 days)\n"
    assert half_price + took in me.types("estimate", *_SUMMARIES).out
    times = {"message_batches": 3, "p50_s": 600.0, "p95_s": 1800.0}
    assert _estimated(me, *_SUMMARIES)["message_batch_times"] == {OPUS: times}


def test_climbing_may_buy_every_rung_once(me: Stranger) -> None:
    plain = _estimated(me, *_SUMMARIES)
    climbing = _estimated(me, *_SUMMARIES, "--climb-on", "refused")
    assert _worst(climbing) == sum(_worst(plain, model) for model in plain["models"])
    assert _worst(plain) == _worst(plain, OPUS)
    message = me.types("estimate", *_SUMMARIES, "--climb-on", "refused").out
    assert "each model that a prompt may reach answers it, at full length (it climbs on refused)\n" in message


def test_what_climbs_where_it_is_cut_may_be_bought_with_four_times_the_room_and_once_more(me: Stranger) -> None:
    plain = _estimated(me, *_SUMMARIES)
    long = _estimated(me, *_SUMMARIES[:-1], "1200")
    cut = _estimated(me, *_SUMMARIES, "--task", "summarize")
    assert (cut["climb_on"], plain["climb_on"]) == (["empty", "truncated"], [])
    assert _worst(cut) == sum(_worst(long, model) for model in long["models"]) + _worst(plain, OPUS)


def test_a_task_kind_has_its_own_floor_and_climbs(me: Stranger) -> None:
    me.write("tasks.toml", f"[topics]\nfloor = '{OPUS}'\nclimb_on = ['refused']\n")
    me.configure(ANTHROPIC_API_KEY=KEY, TASKS_FILE="tasks.toml")
    printed = _estimated(me, *_SUMMARIES, "--task", "topics")
    assert (_worst(printed), printed["climb_on"]) == (_worst(printed, OPUS), ["refused"])
    assert Decimal(printed["chain"]["low_usd"]) > Decimal(_estimated(me, *_SUMMARIES)["chain"]["low_usd"])


def test_what_nobody_can_bound_is_counted_and_said(me: Stranger) -> None:
    search = {"type": "web_search_20260209", "name": "web_search"}
    params = {"max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}], "tools": [search]}
    me.write("one.jsonl", json.dumps({"custom_id": "a", "params": params}) + "\n")
    printed = me.types("estimate", "one.jsonl").out
    assert "at most no bound: " in printed
    assert "1 prompts cannot be bounded" in printed
    assert _estimated(me, "one.jsonl")["chain"]["worst_case_usd"] is None


def test_a_model_without_a_price_is_named_and_refused_unless_allowed(me: Stranger) -> None:
    me.configure(ANTHROPIC_API_KEY=KEY, MODEL_CHAIN="claude-opus-4-7,claude-zeppelin-1")
    assert "no price for claude-zeppelin-1" in me.types("estimate", *_SUMMARIES, expect=5).err
    printed = me.types("estimate", *_SUMMARIES, "--allow-unpriced").out
    assert [line.split() for line in printed.splitlines() if line.startswith("claude-zeppelin-1")] == [
        ["claude-zeppelin-1", *["no", "price"] * 4]
    ]
    assert "200 prompts may reach a model without a price: in no sum" in printed


def test_a_bad_line_stops_it_unless_it_may_be_skipped(me: Stranger) -> None:
    me.write("bad.jsonl", '{"prompt": "Hi"}\n{"prompt": ""}\n')
    assert "bad.jsonl:2: prompt:" in me.types("estimate", "bad.jsonl", expect=2).err
    assert _estimated(me, "bad.jsonl", "--skip-bad")["prompts"] == 1
    assert me.types("estimate", "bad.jsonl", "--skip-bad").err.startswith("left out: bad.jsonl:2: prompt:")
    me.write("worse.jsonl", '{"prompt": ""}\n')
    refused = me.types("estimate", "worse.jsonl", "--skip-bad", expect=2).err
    assert refused.endswith("worse.jsonl: holds nothing but bad lines\nnothing was estimated\n")
    assert me.types("estimate", "gone.jsonl", expect=2).err.endswith("\nnothing was estimated\n")


def test_a_ledger_that_cannot_be_reached_is_said_and_the_defaults_are_used(me: Stranger) -> None:
    me.configure(ANTHROPIC_API_KEY=KEY, DATABASE_URL="postgresql://u:canary@127.0.0.1:1/none")
    printed = me.types("estimate", *_SUMMARIES)
    assert "nothing is learned from the ledger" in printed.err
    assert "canary" not in printed.err
    assert "taken for want of attempts" in printed.out


def test_exact_counts_come_from_the_api_one_for_each_prompt(me: Stranger) -> None:
    with running_simulator() as simulator:
        me.configure(ANTHROPIC_API_KEY=KEY, ANTHROPIC_BASE_URL=simulator.url)
        printed = me.types("estimate", *_SUMMARIES, "--exact")
        assert "input tokens: counted by the API, each prompt once, with the model it starts with" in printed.out
        exact = _estimated(me, *_SUMMARIES, "--exact")
        assert simulator.purchases() == []
    prompts = load(str(TEXTS / "articles.csv"), ReadOptions(template="Summarize: {text}", max_tokens=300)).prompts
    tokens = sum(-(-len(prompt.text.encode()) // 4) for prompt in prompts)
    # $5 and $25 a million: every prompt's tokens, and half of its 300
    assert Decimal(exact["models"][OPUS]["expected_usd"]) == (tokens * 5 + 200 * 150 * 25) / Decimal(1_000_000)


def test_exact_says_what_it_lacks(me: Stranger) -> None:
    me.configure(ANTHROPIC_BASE_URL="http://127.0.0.1:1")
    nobody = Stranger(folder=me.folder, environment={**me.environment, "ANTHROPIC_API_KEY": ""})
    assert "ANTHROPIC_API_KEY=(empty): it is not set" in nobody.types("estimate", *_SUMMARIES, "--exact", expect=2).err
    printed = me.types("estimate", *_SUMMARIES, "--exact", expect=4)
    assert "127.0.0.1:1 gives no answer" in printed.err
    assert (KEY in printed.err, printed.out) == (False, "")


def test_the_real_cost_lies_in_the_printed_range_and_near_what_was_expected_once_learned(
    plant: Plant, tmp_path: Path
) -> None:
    me = stranger_in(tmp_path / "me", **plant.variables)
    loaded = load(str(TEXTS / "articles.csv"), ReadOptions(template="Summarize: {text}", max_tokens=300))
    half = len(loaded.prompts) // 2
    for prompts, is_learned in ((loaded.prompts[:half], False), (loaded.prompts[half:], True)):
        lines = [json.dumps({"prompt": prompt.text, "max_tokens": 300}) + "\n" for prompt in prompts]
        me.write("file.jsonl", "".join(lines))
        printed = _estimated(me, "file.jsonl", "--task", "summarize")
        batch = plant.submit(*prompts, task="summarize")
        plant.finished(batch)
        real = batch.progress().cost_usd
        chain = printed["chain"]
        assert Decimal(chain["low_usd"]) < real < Decimal(chain["worst_case_usd"])
        assert (printed["characters_per_token"][HAIKU]["attempts"] >= 20) == is_learned
        if is_learned:
            assert (
                "as long as nine of ten recorded answers"
                in me.types("estimate", *_SUMMARIES, "--task", "summarize").out
            )
            assert abs(Decimal(chain["expected_usd"]) / real - 1) < Decimal("0.25")


def test_what_documents_cost_lies_in_the_range_printed_for_their_map(plant: Plant, tmp_path: Path) -> None:
    me = stranger_in(tmp_path / "me", **plant.variables)
    chapters = "".join((EXAMPLES / "chapters.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:6])
    me.write("six.jsonl", chapters)
    mapping = ("--map", "Sum up: {text}", "--part-tokens", "800", "--step-tokens", "5000", "--max-tokens", "400")
    for script, is_less in (("", True), ("[[rules]]\nanswer = 'max_tokens'", False)):  # all cut, and asked for again
        plant.simulator.set_script(script)
        printed = _estimated(me, "six.jsonl", *mapping)
        batch = plant.producer.batch(me.types("submit", "six.jsonl", *mapping).out.strip())
        plant.finished(batch)
        real = batch.progress().cost_usd
        assert (printed["prompts"], printed["steps"] > 2) == (batch.progress().job_count, True)
        assert Decimal(printed["chain"]["low_usd"]) < real < _worst(printed)
        assert (real < Decimal(printed["chain"]["expected_usd"])) == is_less


def test_what_prompts_share_may_be_read_from_the_cache(me: Stranger) -> None:
    system = "Each harbour has its own tariff. " * 400
    me.write("two.jsonl", "".join(json.dumps({"prompt": f"Harbour {n}?", "system": system}) + "\n" for n in (1, 2)))
    low = Decimal(_estimated(me, "two.jsonl")["chain"]["low_usd"])
    assert "2 prompts are marked for the cache" in me.types("estimate", "two.jsonl").out
    me.configure(ANTHROPIC_API_KEY=KEY, PROMPT_CACHE="off")
    without = Decimal(_estimated(me, "two.jsonl")["chain"]["low_usd"])
    assert low < without / 5


def test_at_another_endpoint_half_price_is_no_cheaper(me: Stranger) -> None:
    me.write("endpoints.toml", '[cloud]\nkind = "compatible"\nbase_url = "http://127.0.0.1:9"\n')
    me.configure(MODEL_CHAIN=f"cloud/{OPUS},{HAIKU}", ENDPOINTS_FILE="endpoints.toml")
    models = _estimated(me, *_SUMMARIES)["models"]
    cost, half = (models[f"cloud/{OPUS}"][name] for name in ("expected_usd", "half_price"))
    assert half["expected_usd"] == cost
    assert Decimal(models[HAIKU]["half_price"]["expected_usd"]) * 2 == Decimal(models[HAIKU]["expected_usd"])

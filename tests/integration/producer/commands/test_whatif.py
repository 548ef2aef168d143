"""`stepdown whatif`, as a person types it: the columns, the JSON, and the refusals."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, update

from models.schema.attempt import Attempt
from models.schema.job import Job
from tests.support.ledgers.past_attempts import remember
from tests.support.ledgers.small_ledger import HAIKU, OPUS, SONNET, book
from tests.support.sites.command_line import Stranger, stranger_in
from tests.support.sites.worker_site import Plant, running_plant

_CHAIN = (OPUS, SONNET, HAIKU)


@pytest.fixture
def me(tmp_path: Path, engine: Engine, database_url: str) -> Stranger:
    """Work with a small ledger by hand, of three days in spring."""
    book(engine)
    return stranger_in(tmp_path, DATABASE_URL=database_url, MODEL_CHAIN=",".join(_CHAIN))


def _asked(me: Stranger, *arguments: str) -> dict[str, Any]:
    printed: dict[str, Any] = json.loads(me.types("whatif", "--since", "2026-03-01", "--json", *arguments).out)
    return printed


def test_both_sides_stand_in_columns_with_the_records_and_what_is_assumed(me: Stranger, engine: Engine) -> None:
    remember(engine, HAIKU, *["answered"] * 15, *["truncated"] * 5)
    printed = me.types("whatif", "--since", "2026-03-01", "--chain", f"{SONNET},{HAIKU}", "--starts", f"*:{HAIKU}")
    assert printed.out.startswith(
        f"chain: {SONNET}, {HAIKU}; * starts with {HAIKU}\njobs that ended from 2026-03-01 to now;"
    )
    rows = {line.split("  ")[0]: line.split() for line in printed.out.splitlines()}
    assert rows["jobs"][1:3] == ["9", "9"]
    assert rows["answered"][1:4] == ["6", "8", "+2"]  # none is lost without a climb but the job that never called
    assert {"failed", "attempts", "cost", "unknown costs", "cost per answer", "mean depth", "depth 0", "depth 2"} <= {
        *rows
    }
    assert [HAIKU, "summarize", "20", "15"] in [line.split()[:4] for line in printed.out.splitlines()]
    assert rows["summarize"][1:3] == ["5", "4"]
    assert f"4 jobs: {HAIKU} has fewer than 30 judged jobs at summarize: its share may be chance\n" in printed.out
    assert "left out: 1 cancelled, 22 open jobs\n" in printed.out


def test_json_holds_money_as_text_and_every_assumption(me: Stranger) -> None:
    printed = _asked(me, "--starts", f"summarize:{HAIKU}")
    assert (printed["chain"], printed["starts"], printed["moved"]) == ([*_CHAIN], {"summarize": HAIKU}, 5)
    assert Decimal(printed["happened"]["cost_usd"]) == sum(
        Decimal(each["happened"]["cost_usd"]) for each in printed["tasks"]
    )
    apart = Decimal(printed["would"]["cost_usd"]) - Decimal(printed["happened"]["cost_usd"])
    assert Decimal(printed["difference_usd"]) == pytest.approx(apart, abs=Decimal("2e-9"))
    assert (
        Decimal(printed["low"]["answered"])
        <= Decimal(printed["would"]["answered"])
        <= Decimal(printed["high"]["answered"])
    )
    assert printed["happened"]["depths"] == {"0": "3", "1": "2", "2": "1"}
    assert all(each["message"] and each["jobs"] > 0 for each in printed["assumptions"])
    assert printed["left_out"] == {"cancelled": 1, "running": 1, "waiting": 1}


def test_one_batch_is_compared_whenever_its_jobs_ended(me: Stranger) -> None:
    assert json.loads(me.types("whatif", "--batch", "News", "--json").out)["happened"]["jobs"] == 5
    assert _asked(me, "--task", "summarize")["happened"]["jobs"] == 5


def test_days_without_jobs_are_no_mistake(me: Stranger) -> None:
    assert "no job ended in this time: nothing to compare\n" in me.types("whatif").out
    assert json.loads(me.types("whatif", "--json").out)["would"]["cost_usd"] == "0.000000000"
    assert me.types("whatif", "--task", "nobody", "--since", "2026-03-01").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--chain", ""), 2, "whatif: --chain: '(empty)': name at least one model"),
        (("--chain", f"{OPUS},{OPUS}"), 2, f"whatif: --chain: '{OPUS},{OPUS}': {OPUS} is named twice"),
        (("--chain", "two words"), 2, "'two words' is not a model name"),
        (("--chain", OPUS, "--starts", f"summarize:{HAIKU}"), 2, f"{HAIKU} is not in the chain ({OPUS})"),
        (("--starts", "summarize"), 2, "whatif: --starts: 'summarize': 'summarize' should be task:model"),
        (("--since", "soon"), 2, "whatif: --since: 'soon' should be a day"),
        (("--since", "2026-04-02", "--until", "2026-04-01"), 2, "whatif: --until: 2026-04-01 is before 2026-04-02"),
        (("--batch", "nobody"), 2, "no batch is called or begins with 'nobody'"),
        (("--task", "\udcff"), 2, "is no task kind's name"),
        (("--chain", "claude-zeppelin-1"), 5, "no price for claude-zeppelin-1"),
    ],
)
def test_a_wrong_question_is_refused_with_what_would_be_right(
    me: Stranger, arguments: tuple[str, ...], code: int, message: str
) -> None:
    assert message in me.types("whatif", *arguments, expect=code).err


def test_a_model_without_a_price_is_taken_if_that_is_allowed(me: Stranger) -> None:
    printed = _asked(me, "--chain", "claude-zeppelin-1", "--allow-unpriced")
    assert Decimal(printed["would"]["unknown_costs"]) > 0
    assert "no_price" in {each["because"] for each in printed["assumptions"]}


def test_a_usual_start_that_the_chain_lacks_is_told(me: Stranger, tmp_path: Path) -> None:
    mine = stranger_in(tmp_path, **me.environment, TASK_STARTS=f"summarize:{HAIKU}")
    printed = mine.types("whatif", "--chain", f"{OPUS},{SONNET}", "--since", "2026-03-01")
    assert (
        f"TASK_STARTS has summarize start with {HAIKU}, which is not in this chain: it starts with {OPUS}"
        in printed.err
    )


def test_others_text_steers_no_terminal(me: Stranger, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(update(Job).values(task="\x1b[2J{x}", start_model="\x1b[2K{y}", start_reason="asked"))
        connection.execute(update(Attempt).values(task="\x1b[2J{x}", requested_model="\x1b[2K{y}"))
    printed = me.types("whatif", "--since", "2026-03-01")
    assert "\x1b" not in printed.out + printed.err
    assert "\\x1b[2J{x}" in printed.out
    assert "the caller chose to start on \\x1b[2K{y}" in printed.out


@pytest.fixture(params=["sqlite", "postgres"])
def plant(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plant]:
    """Run a worker whose primary fails one call of five."""
    with running_plant(request, tmp_path, TASK_STARTS=f"summarize:{OPUS}") as running:
        running.simulator.set_script("[[rules]]\nmodel = 'opus'\nshare = 0.2\nanswer = 529")
        yield running


def test_a_workers_jobs_are_the_same_under_the_same_start_and_cheaper_from_a_cheap_model(
    plant: Plant, tmp_path: Path
) -> None:
    batch = plant.submit(*[f"Summarize: {n} bridges were closed in spring." for n in range(200)], task="summarize")
    plant.finished(batch, within_s=120)
    me = stranger_in(tmp_path, **{name: plant.variables[name] for name in ("DATABASE_URL", "REDIS_URL", "MODEL_CHAIN")})
    same = json.loads(me.types("whatif", "--starts", f"summarize:{OPUS}", "--json").out)
    assert same["would"] == same["happened"]
    assert Decimal(same["happened"]["depths"]["1"]) > 10
    cheap = json.loads(me.types("whatif", "--starts", "summarize:claude-haiku-4-5-20251001", "--json").out)
    assert cheap["moved"] == 200
    assert Decimal(cheap["would"]["cost_usd"]) < Decimal(same["happened"]["cost_usd"]) / 2
    assert Decimal(cheap["would"]["mean_depth"]) == 0

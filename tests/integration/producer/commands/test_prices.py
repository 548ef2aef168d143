"""`stepdown prices` and `stepdown ledger reprice`, as a person types them."""

import json
import shutil
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from models.money.price_book import GENAI_SOURCE
from models.outcome import CostStatus
from models.store import Store
from tests.support.ledgers.job_values import accepted, answered, claimed, opening, succeeded, unknown
from tests.support.servers.fixtures import opened
from tests.support.servers.ports import free_port
from tests.support.sites.command_line import KEY, ROOT, Stranger, stranger_in

_HAIKU = "claude-haiku-4-5-20251001"


def _on_25_november() -> dict[str, str]:
    """Hold the clock: prices grow old and models end, whatever we do."""
    if sys.platform != "linux":
        return {}
    import libfaketime  # noqa: PLC0415 - there is none elsewhere

    library = Path(libfaketime.__file__).parent / "vendor/libfaketime/src/libfaketime.so.1"
    return {"LD_PRELOAD": str(library), "FAKETIME": "@2026-11-25 12:00:00", "TZ": "UTC"}


@pytest.fixture
def me(tmp_path: Path) -> Stranger:
    """Work in an empty folder, on 25 November 2026."""
    return stranger_in(tmp_path, ANTHROPIC_API_KEY=KEY, **_on_25_november())


@pytest.fixture
def store(me: Stranger) -> Iterator[Store]:
    """Write to the stranger's ledger."""
    me.types("ls")
    with opened(f"sqlite:///{me.folder}/.stepdown/ledger.db") as engine:
        yield Store(engine, worker="test")


def test_the_settings_that_are_copied_first_pass_the_check(me: Stranger) -> None:
    shutil.copy(ROOT / ".env.example", me.folder / ".env")
    printed = me.types("prices", "check")
    assert printed.out == "every price is as the price book has it\n"
    assert printed.err.startswith(f"{GENAI_SOURCE} does not say when it was made; ")
    assert not (me.folder / ".stepdown").exists()


def test_the_price_of_haiku_3_5_and_a_model_about_to_end_are_both_told(me: Stranger) -> None:
    me.configure(MODEL_CHAIN=f"claude-sonnet-4-5,{_HAIKU}", MODEL_COSTS=f"{_HAIKU}:0.80:4.00")
    printed = me.types("prices", "check", expect=1)
    haiku, sonnet = printed.out.splitlines()
    assert haiku.startswith(f"{_HAIKU}: MODEL_COSTS has input 0.8, output 4, ")
    assert "says input 1, output 5, " in haiku
    assert haiku.endswith(f"write {_HAIKU}:1:5 in MODEL_COSTS, or take it out")
    assert sonnet.startswith("claude-sonnet-4-5 is retired on 2026-11-30, in 5 days (DEPRECATED_MODELS of anthropic ")


def test_the_check_is_one_object_for_programs(me: Stranger) -> None:
    assert json.loads(me.types("prices", "check", "--json").out)["is_ok"] is True
    me.configure(MODEL_COSTS="claude-opus-5-5:4:20")
    found = json.loads(me.types("prices", "check", "--json", expect=1).out)
    (one,) = found["findings"]
    assert (found["is_ok"], one["kind"], one["model"]) == (False, "differs", "claude-opus-5-5")
    assert one["amounts"] == {"cache_read": {"ours": "0.4", "listed": "0.2"}}


def test_a_model_that_answered_without_a_price_is_told(me: Stranger, store: Store) -> None:
    _, (job_id,) = accepted(store.ledger)
    answered(store.ledger, job_id, served_model="mine", cost_usd=None, cost_status=CostStatus.UNKNOWN)
    printed = me.types("prices", "check", expect=1)
    assert printed.out.startswith("mine answered in the last 30 days and has no price, so its cost is unknown: ")


def test_a_ledger_that_is_away_does_not_stop_the_check_nor_the_list(me: Stranger) -> None:
    me.configure(DATABASE_URL=f"postgresql://u:hidden@127.0.0.1:{free_port()}/d")
    check = me.types("prices", "check", expect=4)
    assert check.out == "every price that could be looked at is as the price book has it\n"
    for printed in (check, me.types("prices", "list")):
        assert printed.err.startswith("without what the ledger knows of prices: ledger postgresql+psycopg://u:***@")
        assert "hidden" not in printed.err
    assert me.types("prices", "set", "mine", "--input", "1", "--output", "5", expect=4).out == ""


def test_the_list_shows_five_rates_tiers_batch_price_day_and_source(me: Stranger) -> None:
    me.configure(MODEL_CHAIN=f"claude-sonnet-4-6,claude-haiku-5-5,{_HAIKU},mine", MODEL_COSTS=f"{_HAIKU}:1:5")
    head, *rows = [line.split() for line in me.types("prices", "list").out.splitlines()]
    assert " ".join(head[:11]) == "model input output cache read cache write 5m cache write 1h"
    sonnet = ["claude-sonnet-4-6", "3", "15", "0.3", "3.75", "6", "1.5/7.5", "2026-03-13", *GENAI_SOURCE.split()]
    assert rows[0] == sonnet
    assert rows[2] == ["above", "100000", "tokens", "0.5", "2.5", "0.05", "0.625", "1"]
    assert rows[3][:7] == [_HAIKU, "1", "5", "0.1", "1.25", "2", "0.5/2.5"]
    assert rows[3][7] == "MODEL_COSTS,"
    assert rows[4][:6] == ["mine", *["unknown"] * 5]


def test_a_price_that_is_set_is_listed_from_its_day_on_and_replaced_by_another(me: Stranger) -> None:
    me.configure(MODEL_CHAIN="claude-opus-4-7", MODEL_COSTS="claude-opus-4-7:5:25")
    later = ("--from", "2026-12-01", "--above", "100000:9:45")
    printed = me.types("prices", "set", "claude-opus-4-7", "--input", "4.5", "--output", "22.5", *later)
    assert printed.out == (
        "claude-opus-4-7 4.5 in, 22.5 out from 2026-12-01 on "
        "(prices set on 2026-11-25 from 2026-12-01 on, cache rates derived from input)\n"
    )
    assert printed.err == "MODEL_COSTS names claude-opus-4-7 and wins: take it out there for this price to count\n"
    me.configure(MODEL_CHAIN="claude-opus-4-7")
    (now,) = json.loads(me.types("prices", "list", "--json").out)["prices"]
    assert (now["rates"]["input"], now["valid_from"]) == ("5", None)
    printed = me.types("prices", "set", "claude-opus-4-7", "--input", "4", "--output", "20")
    assert (
        printed.err == "attempts that were made already keep their cost: `stepdown ledger reprice --since 2026-11-25`\n"
    )
    (now,) = json.loads(me.types("prices", "list", "--json").out)["prices"]
    assert (now["rates"]["input"], now["batch"]["output"], now["valid_from"]) == ("4", "10", "2026-11-25")
    printed = me.types("prices", "set", "claude-opus-4-7", "--input", "3", "--output", "20")
    assert printed.out.endswith(", in place of 4 in, 20 out)\n")
    listed = json.loads(me.types("prices", "list", "--all", "--json").out)["prices"]
    assert [(one["valid_from"], one["rates"]["input"], one["is_override"]) for one in listed] == [
        ("2026-11-25", "3", True),
        ("2026-12-01", "4.5", True),
    ]
    assert listed[1]["tiers"][0]["above"] == 100_000
    assert len(me.types("prices", "list", "--all").out.splitlines()) == 4


def test_a_file_sets_many_prices_or_none(me: Stranger) -> None:
    good = '[[price]]\nmodel = "{0}"\nfrom = 2026-12-0{1}\ninput = 1\noutput = 5\n'
    me.write("prices.toml", good.format("mine", 1) + good.format("mine", 2) + good.format("yours", 1))
    assert len(me.types("prices", "set", "--file", "prices.toml").out.splitlines()) == 3
    me.write("more.toml", good.format("theirs", 1) + "[[price]]\ninput = nan\noutput = 1")
    printed = me.types("prices", "set", "--file", "more.toml", expect=2)
    assert printed.out == ""
    assert printed.err.splitlines()[1].startswith("more.toml: price 2: input: 'NaN' should be from 0 to 1000000 USD")
    assert printed.err.splitlines()[-1] == "nothing was set"
    listed = json.loads(me.types("prices", "list", "--all", "--json").out)["prices"]
    assert [one["model"] for one in listed] == ["mine", "mine", "yours"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a MODEL with --input and --output, or a --file"),
        (["mine", "--file", "prices.toml"], "name a MODEL with --input and --output, or a --file"),
        (["mine", "--input", "1"], "--output: should be a number of USD per million tokens"),
        (["mine", "--input", "NaN", "--output", "1"], "--input: 'NaN' should be from 0"),
        (["mine", "--input", "1", "--output", "-5"], "--output: '-5' should be from 0"),
        (["mine", "--input", "1", "--output", "5", "--cache-read", "0.0000001"], "--cache-read: '0.0000001' should be"),
        (["mine", "--input", "1", "--output", "5", "--from", "2026-02-30"], "'2026-02-30' is no day of the calendar"),
        (["mine", "--input", "1", "--output", "5", "--from", "20261201"], "should be a day such as 2026-12-01"),
        (["--file", "none.toml"], "none.toml: cannot be read (No such file or directory)"),
    ],
)
def test_what_cannot_be_a_price_is_refused_and_nothing_is_set(me: Stranger, arguments: list[str], message: str) -> None:
    printed = me.types("prices", "set", *arguments, expect=2)
    assert (message in printed.err, printed.out) == (True, "")
    assert not (me.folder / ".stepdown").exists()


def test_a_model_whose_price_is_set_may_be_submitted_to(me: Stranger) -> None:
    me.write("a.txt", "Why?\n")
    me.configure(MODEL_CHAIN="mine")
    assert "or by `stepdown prices set`" in me.types("submit", "a.txt", expect=5).err
    me.types("prices", "set", "mine", "--input", "1", "--output", "5", "--from", "2026-12-01")
    me.types("submit", "a.txt", expect=5)  # not before its day
    me.types("prices", "set", "mine", "--input", "1", "--output", "5")
    me.types("submit", "a.txt")


def test_repricing_tells_by_model_what_changed_to_the_nano_dollar_and_what_stays_unknown(
    me: Stranger, store: Store
) -> None:
    _, (opus, nobody, mine, lost) = accepted(store.ledger, 4)
    answered(store.ledger, opus, cost_usd=Decimal("0.009999999"))
    for job_id, model in ((nobody, "nobody"), (mine, "mine")):
        answered(store.ledger, job_id, served_model=model, cost_usd=None, cost_status=CostStatus.UNKNOWN)
    claim, attempt = claimed(store.ledger, lost), opening()
    store.ledger.open_attempt(claim, attempt)
    store.ledger.finish(claim, succeeded(message=None), unknown(attempt.id))
    me.types("prices", "set", "mine", "--input", "1", "--output", "5", "--from", "2026-01-01")
    dry = me.types("ledger", "reprice", "--since", "2026-11-01", "--dry-run")
    printed = me.types("ledger", "reprice", "--since", "2026-11-01")
    assert printed.out.splitlines() == [
        "model            attempts  corrected  change of cost  were unknown  cost of these  still unknown",
        "claude-opus-4-7         1          1   +$0.000000001             0          $0.00              0",
        "mine                    1          1           $0.00             1         $0.002              0",
        "nobody                  1          0           $0.00             0          $0.00              1",
        "total                   3          2   +$0.000000001             1         $0.002              1",
    ]
    assert printed.err == "1 more stays unknown: open, or of unknown usage\n"
    assert dry.out == printed.out
    assert dry.err == f"{printed.err}nothing was written: this was a dry run\n"
    again = json.loads(me.types("ledger", "reprice", "--since", "2026-11-01", "--json").out)
    assert (again["attempts"], again["corrected"], again["difference_usd"]) == (3, 0, "0.000000000")
    assert (again["unknown"], again["without_usage"], again["is_dry_run"]) == (1, 1, False)
    assert [one["model"] for one in again["models"]] == ["claude-opus-4-7", "mine", "nobody"]


def test_repricing_takes_whole_days_and_one_model(me: Stranger, store: Store) -> None:
    _, (job_id,) = accepted(store.ledger)
    answered(store.ledger, job_id)
    today = store.reports.attempts(job_id)[0]["opened_at"].date()
    for arguments, count in (
        ([f"--until={today}"], 1),
        (["--until=2026-11-01"], 0),
        (["--model=claude-opus-4-7"], 1),
        (["--model=claude-sonnet-4-6"], 0),
    ):
        printed = me.types("ledger", "reprice", "--since=2026-11-01", "--json", *arguments)
        assert json.loads(printed.out)["attempts"] == count
    printed = me.types("ledger", "reprice", "--since", "2026-11-31", expect=2)
    assert "reprice: --since: '2026-11-31' is no day of the calendar" in printed.err
    assert (
        "--until: 'soon' should be a day"
        in me.types("ledger", "reprice", "--since", "2026-11-01", "--until", "soon", expect=2).err
    )

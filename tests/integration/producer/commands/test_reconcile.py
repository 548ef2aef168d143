"""The ledger beside the simulator's own report: no drift after a clean run, and each cause by its name."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic
from sqlalchemy import text, update

from models.accounting.expected_bill import read_bills
from models.money.price_book import PriceBook
from models.schema.attempt import Attempt
from producer.reconcile.causes import Because, Cause, Drift, compare
from producer.reconcile.provider_report import read_billed
from tests.support.sites.command_line import Ended, Stranger, stranger_in
from tests.support.sites.worker_site import ENGINES, HAIKU, OPUS, ROOT, SONNET, Plant, idle_plant, settings_of

_ADMIN = "sk-ant-admin-canary"
_BUY = """
import sys
from worker import call_with_fallback

for number, line in enumerate(sys.stdin):
    task, _, most = line.strip().partition(" ")
    try:
        call_with_fallback(f"Summarize: harbour {number} was dredged.", task=task, max_tokens=int(most or 200))
        told = "answered"
    except Exception as error:
        told = repr(error)
    print(told, flush=True)
"""
_CALLS = {"CALL_TIMEOUT_S": "3", "REDIS_URL": ""}
_TABLES = ("corrections", "decisions", "turns", "answers", "attempts", "jobs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A ledger, the provider it buys from, and somebody who compares them."""

    plant: Plant
    me: Stranger
    process: "subprocess.Popen[str]"

    def buys(self, *tasks: str) -> list[str]:
        """Make a call for each task, or task and max_tokens, without a queue; tells how each ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        ended = []
        for task in tasks:
            self.process.stdin.write(f"{task}\n")
            self.process.stdin.flush()
            ended.append(self.process.stdout.readline().strip())
        return ended

    def buys_at(self, costs: str, *tasks: str) -> None:
        """Make a call for each task, priced by these MODEL_COSTS."""
        environment = {**self.plant.variables, **_CALLS, "MODEL_COSTS": costs}
        calls, command = "".join(f"{task}\n" for task in tasks), [sys.executable, "-c", _BUY]
        subprocess.run(command, cwd=ROOT, env=environment, input=calls.encode(), check=True, capture_output=True)

    def types(self, *arguments: str, expect: int) -> Ended:
        """Compare since yesterday, as a person does."""
        return self.me.types("ledger", "reconcile", "--since", str(_yesterday()), *arguments, expect=expect)

    def drift(self, *, key_id: str | None = None, since: date | None = None) -> Drift:
        """Compare since yesterday, as the command does."""
        settings, first, last = settings_of(self.plant.variables), since or _yesterday(), datetime.now(UTC).date()
        billed = read_billed(settings, first, last, key_id=key_id)
        prices = PriceBook(settings.price_overrides)
        return compare(read_bills(settings.database_url.get_secret_value(), first, last, prices), billed)

    def causes(self, *, key_id: str | None = None) -> dict[str, Cause]:
        """Find the causes of a drift by name."""
        drift = self.drift(key_id=key_id)
        assert drift.is_drift
        return {cause.because: cause for cause in drift.causes}

    def spent(self, *, answer: str = "") -> Decimal:
        """Add up the purchase log, or what of it was answered so, in USD."""
        bought = [one for one in self.plant.simulator.purchases() if answer in {"", one["answer"]}]
        return sum((Decimal(one["billed_nano_usd"]) for one in bought), Decimal(0)) / 10**9

    def does(self, sql: str, **values: Any) -> None:
        """Change the ledger behind its back."""
        with self.plant.engine.begin() as connection:
            connection.execute(text(sql), values)


@pytest.fixture(scope="module", params=ENGINES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Open one office for all tests of this file."""
    folder = tmp_path_factory.mktemp("office")
    with idle_plant(request, folder, ANTHROPIC_ADMIN_KEY=_ADMIN) as plant:
        pipe = subprocess.PIPE
        environment = {**plant.variables, **_CALLS}
        with subprocess.Popen(
            [sys.executable, "-c", _BUY], cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True
        ) as process:
            yield Site(plant=plant, me=stranger_in(folder / "me", **plant.variables), process=process)
            assert process.stdin is not None
            process.stdin.close()


@pytest.fixture
def worker(whole: Site) -> Site:
    """Lend it to one test, with nothing bought and nothing scripted."""
    whole.plant.simulator.set_script("")
    whole.plant.simulator.log_path.write_bytes(b"")
    for table in _TABLES:
        whole.does(f"DELETE FROM {table}")  # noqa: S608 - of the list above
    return whole


def _yesterday() -> date:
    return datetime.now(UTC).date() - timedelta(days=1)


def test_there_is_no_drift_after_a_clean_run_of_every_kind(worker: Site) -> None:
    worker.plant.simulator.set_script(
        "[[rules]]\nfrom_job = 2\nto_job = 2\nanswer = 'geo_us'\n"
        "[[rules]]\nfrom_job = 3\nto_job = 3\nanswer = 'ok'\nweb_searches = 3\n"
        f"[[rules]]\nfrom_job = 4\nto_job = 4\nanswer = 'other_model'\nserved_model = '{SONNET}'\n"
        "[[rules]]\nfrom_job = 5\nto_job = 5\nmodel = 'haiku'\nanswer = 529\n"
        "[[rules]]\nfrom_job = 6\nto_job = 6\nanswer = 'other_tier'\nservice_tier = 'batch'\n"
        "[[rules]]\nfrom_job = 7\nto_job = 7\nanswer = 'refusal'\noutput = false\n"
        "[[rules]]\nanswer = 'ok'\niterations = [{type = 'compaction', input_tokens = 900, output_tokens = 9},"
        "{type = 'advisor_message', model = 'claude-opus-4-8', input_tokens = 800, output_tokens = 8}]\n"
    )
    worker.buys(*("summarize",) * 6)
    assert "refused" in worker.buys("synthesize")[0]
    worker.buys("synthesize", "summarize")
    printed = worker.types(expect=0).out
    assert "\nno drift\n" in printed
    assert f"ledger ${worker.spent():f}".rstrip("0") in printed
    assert all(f"  {model}  " in printed for model in (OPUS, SONNET, HAIKU, "claude-opus-4-8"))
    lines = json.loads(worker.types("--json", expect=0).out)["lines"]
    assert {line["kind"] for line in lines} == {"input", "output", "web_search"}
    assert sum(Decimal(line["ledger_usd"]) for line in lines) == worker.spent() > 0


def _reserved(worker: Site) -> Decimal:
    with worker.plant.engine.connect() as connection:
        nano = "SELECT SUM(reserved_nano_usd) FROM attempts WHERE cost_nano_usd IS NULL"
        return Decimal(connection.scalar(text(nano)) or 0) / 1_000_000_000


def test_a_call_that_hung_and_was_billed_is_named_with_at_most_what_was_reserved(worker: Site) -> None:
    worker.plant.simulator.set_script("[[rules]]\nmodel = 'haiku'\nanswer = 'hang'\n")
    worker.buys("summarize")
    lost = worker.spent(answer="hang")
    causes = worker.causes()
    assert causes == {"unknown": Cause(because=Because.UNKNOWN, usd=lost, attempts=1, most_usd=_reserved(worker))}
    assert worker.drift().usd == lost > 0
    worker.does("UPDATE attempts SET reserved_nano_usd = 5000000 WHERE cost_nano_usd IS NULL")
    assert "of at most $0.005, 1 call: calls whose end nobody saw were billed" in worker.types(expect=1).out


def test_a_lost_call_that_was_not_billed_is_no_drift_and_is_counted(worker: Site) -> None:
    worker.plant.simulator.set_script("[[rules]]\nmodel = 'haiku'\nanswer = 'hang'\nbilled = false\n")
    worker.buys("summarize")
    printed = worker.types(expect=0).out
    assert "1 attempt of unknown cost or still open; the provider billed nothing for that" in printed


def test_an_attempt_still_open_explains_what_the_provider_has_more(worker: Site) -> None:
    worker.buys("summarize")
    worker.does(
        "UPDATE attempts SET closed_at = NULL, outcome = NULL, usage = NULL, cost_nano_usd = NULL,"
        " cost_status = 'unknown', input_tokens = NULL, output_tokens = NULL"
    )
    found = Cause(because=Because.OPEN, usd=worker.spent(), attempts=1, most_usd=_reserved(worker))
    assert worker.causes() == {"open": found}


def test_another_user_of_the_key_is_named_beside_a_lost_call(worker: Site) -> None:
    worker.plant.simulator.set_script("[[rules]]\nmodel = 'haiku'\nanswer = 'hang'\ntimes = 1\n")
    worker.buys("summarize")
    lost = worker.spent(answer="hang")
    nano = int(lost * 10**9)
    worker.does("UPDATE attempts SET reserved_nano_usd = :nano WHERE cost_nano_usd IS NULL", nano=nano)
    with Anthropic(api_key="theirs", base_url=worker.plant.simulator.url, max_retries=0) as other:
        other.messages.create(model=HAIKU, max_tokens=50, messages=[{"role": "user", "content": "What is a bridge?"}])
    theirs = Decimal(worker.plant.simulator.purchases()[-1]["billed_nano_usd"]) / 10**9
    assert worker.causes() == {
        "unknown": Cause(because=Because.UNKNOWN, usd=lost, attempts=1, most_usd=lost),
        "others": Cause(because=Because.OTHERS, usd=theirs, attempts=1),
    }


def test_the_report_of_one_key_alone_can_be_asked_for(worker: Site) -> None:
    worker.buys("summarize")
    assert "no drift" in worker.types("--key-id", "apikey_simulator", expect=0).out
    assert worker.causes(key_id="apikey_of_others").keys() == {"not billed"}


def test_a_report_that_is_behind_is_told_from_one_that_lacks_something(worker: Site) -> None:
    worker.buys("summarize")
    worker.plant.simulator.set_script("report_behind_s = 3600\n")
    assert worker.causes() == {"behind": Cause(because=Because.BEHIND, usd=-worker.spent(), attempts=1)}


def test_a_wrong_price_is_named_with_what_it_makes(worker: Site) -> None:
    worker.buys_at(f"{HAIKU}:0.80:4.00", "summarize", "synthesize")
    haiku = Decimal(worker.plant.simulator.purchases()[0]["billed_nano_usd"]) / 10**9
    assert worker.causes() == {"prices": Cause(because=Because.PRICES, usd=haiku / 5)}
    drifting = {(line.model, line.kind) for line in worker.drift().lines if line.is_drift}
    assert drifting == {(HAIKU, "input"), (HAIKU, "output")}
    printed = json.loads(worker.types("--json", expect=1).out)
    assert (printed["is_drift"], [cause["because"] for cause in printed["causes"]]) == (True, ["prices"])


def test_a_correction_counts_and_ends_the_drift(worker: Site) -> None:
    worker.buys_at(f"{HAIKU}:2:10", "summarize")
    assert worker.causes().keys() == {"prices"}
    for number, factor in ((1, 3), (2, 2)):
        worker.does(
            "INSERT INTO corrections (id, attempt_id, number, made_at, was_nano_usd, cost_nano_usd, input_nano_usd,"
            " cache_read_nano_usd, cache_write_5m_nano_usd, cache_write_1h_nano_usd, output_nano_usd,"
            " web_search_nano_usd, price_source)"
            " SELECT 'c' || :number, id, :number, opened_at, cost_nano_usd, cost_nano_usd / :factor,"
            " input_nano_usd / :factor, 0, 0, 0, output_nano_usd / :factor, 0, 'by hand' FROM attempts",
            number=number,
            factor=factor,
        )
    assert not worker.drift().is_drift


def test_costs_without_parts_are_compared_as_a_whole(worker: Site) -> None:
    worker.buys("summarize")
    worker.does("UPDATE attempts SET input_nano_usd = NULL, output_nano_usd = NULL, cache_read_nano_usd = NULL")
    drift = worker.drift()
    assert ("all kinds" in {line.kind for line in drift.lines}, drift.is_drift) == (True, False)
    worker.does("UPDATE attempts SET cost_nano_usd = cost_nano_usd + 1000")
    assert worker.causes().keys() == {"prices"}


def test_an_attempt_without_a_price_is_named(worker: Site) -> None:
    worker.buys("summarize")
    worker.does(
        "UPDATE attempts SET cost_nano_usd = NULL, cost_status = 'unknown', input_nano_usd = NULL,"
        " output_nano_usd = NULL"
    )
    assert worker.causes() == {"unpriced": Cause(because=Because.UNPRICED, usd=worker.spent(), attempts=1)}


def test_a_call_over_midnight_is_on_the_day_before_in_the_ledger_and_is_told(worker: Site) -> None:
    worker.buys("summarize")
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with worker.plant.engine.begin() as connection:
        over = {"opened_at": today - timedelta(seconds=1), "closed_at": today + timedelta(seconds=1)}
        connection.execute(update(Attempt).values(over))
    assert worker.causes() == {"midnight": Cause(because=Because.MIDNIGHT, usd=worker.spent(), attempts=1)}


def test_what_it_needs_is_said_with_its_own_exit_code(worker: Site, tmp_path: Path) -> None:
    variables = {**worker.plant.variables, "ANTHROPIC_ADMIN_KEY": ""}
    nobody = Stranger(folder=worker.me.folder, environment=variables)
    since = ("ledger", "reconcile", "--since", str(_yesterday()))
    assert "ANTHROPIC_ADMIN_KEY=(empty): it is not set" in nobody.types(*since, expect=2).err
    away = {**variables, "ANTHROPIC_ADMIN_KEY_FILE": "key", "ANTHROPIC_BASE_URL": "http://127.0.0.1:1"}
    worker.me.write("key", f"{_ADMIN}\n")
    printed = Stranger(folder=worker.me.folder, environment=away).types(*since, expect=4)
    assert "127.0.0.1:1 gives no answer" in printed.err
    assert _ADMIN not in printed.err
    elsewhere = Stranger(folder=tmp_path, environment={**worker.plant.variables, "DATABASE_URL": ""})
    assert "is not there" in elsewhere.types(*since, expect=4).err


def test_days_that_are_none_are_refused(tmp_path: Path) -> None:
    me = stranger_in(tmp_path)
    assert "should be a day such as" in me.types("ledger", "reconcile", "--since", "soon", expect=2).err
    early = me.types("ledger", "reconcile", "--since", "2026-11-02", "--until", "2026-11-01", expect=2)
    assert "--until: 2026-11-01 is before 2026-11-02" in early.err


def test_a_year_is_asked_for_month_by_month(worker: Site) -> None:
    worker.buys("summarize")
    drift = worker.drift(since=_yesterday() - timedelta(days=200))
    assert (drift.is_drift, len(drift.lines)) == (False, 2)


def test_a_stream_that_broke_is_of_unknown_cost_though_its_row_has_tokens(worker: Site) -> None:
    worker.plant.simulator.set_script("[[rules]]\nmodel = 'opus'\nanswer = 'cut'\n")
    worker.buys("write 9000")
    lost = worker.spent(answer="cut")
    found = Cause(because=Because.UNKNOWN, usd=lost, attempts=1, most_usd=_reserved(worker))
    assert worker.causes() == {"unknown": found}

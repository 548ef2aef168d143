"""`stepdown ledger`: what is printed, in which format, with which exit code."""

import csv
import io
import json
import os
import stat
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.support.ledgers.six_weeks import billed, effective_costs
from tests.support.servers.fixtures import opened
from tests.support.sites.command_line import Stranger, stranger_in

_ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"


@pytest.fixture
def me(tmp_path: Path, engine: Engine, database_url: str) -> Stranger:
    """Work with a ledger of six weeks."""
    billed(engine)
    return stranger_in(tmp_path, DATABASE_URL=database_url)


def test_a_report_is_a_table_with_bars_and_an_exact_total(me: Stranger, engine: Engine) -> None:
    cost, unknown = effective_costs(engine)
    header, *lines, total = me.types("ledger", "report").out.splitlines()
    assert header.split() == [
        "model",
        "attempts",
        "answered",
        "tokens",
        "in",
        "tokens",
        "out",
        "cost",
        "credits",
        "share",
    ]
    assert {line.split()[0] for line in lines} >= {"claude-opus-4-7", "claude-sonnet-4-6"}
    shown = f"{cost:f}".rstrip("0")
    assert total.split()[0] == "total"
    assert f" ${shown} + {unknown} unknown " in total
    assert f" {(cost * 100).normalize():f} " in total
    assert total.endswith(f" 100.0%  {'█' * 20}")
    shares = [float(word.rstrip("%")) for line in lines for word in line.split() if word.endswith("%")]
    assert len(shares) == len(lines)
    assert shares == sorted(shares, reverse=True)


def test_a_report_as_json_and_as_csv_holds_the_same(me: Stranger, engine: Engine) -> None:
    cost, unknown = effective_costs(engine)
    printed = json.loads(me.types("ledger", "report", "--by", "day,tag.team", "--json").out)
    rows = [*csv.DictReader(io.StringIO(me.types("ledger", "report", "--by", "day,tag.team", "--csv").out))]
    assert printed["by"] == ["day", "tag.team"]
    assert (printed["total"]["cost_usd"], printed["total"]["unknown_costs"]) == (f"{cost:f}", unknown)
    assert printed["total"]["cost_nano_usd"] == sum(int(row["cost_nano_usd"]) for row in rows) == int(cost * 10**9)
    assert sum(Decimal(row["credits"]) for row in rows) == cost * 100
    assert [row["day"] for row in rows] == sorted(line["day"] for line in printed["lines"])
    assert {line["tag.team"] for line in printed["lines"]} == {"media", "=law", None}
    assert {row["tag.team"] for row in rows} == {"media", "'=law", ""}  # no spreadsheet runs it


def test_a_report_is_of_the_days_that_were_asked_for(me: Stranger) -> None:
    days = [
        line["day"]
        for line in json.loads(
            me.types("ledger", "report", "--by", "day", "--since", "2026-10-06", "--until", "2026-10-20", "--json").out
        )["lines"]
    ]
    assert days
    assert days == sorted(days)
    assert "2026-10-05" < days[0] <= days[-1] <= "2026-10-20"


def test_a_query_is_answered_as_a_table_json_lines_or_csv(me: Stranger) -> None:
    sql = "SELECT '=a' AS word, 1 AS n, NULL AS n UNION ALL SELECT 'bb', 100, NULL ORDER BY 2"
    assert me.types("ledger", "sql", sql).out == "word    n     n\n=a      1  NULL\nbb    100  NULL\n"
    printed = json.loads(me.types("ledger", "sql", sql, "--json").out)
    assert printed == {"columns": ["word", "n", "n"], "rows": [["=a", 1, None], ["bb", 100, None]]}
    lines = me.types("ledger", "sql", sql, "--jsonl").out.splitlines()
    assert json.loads(lines[0]) == {"word": "=a", "n": 1, "n_2": None}
    assert me.types("ledger", "sql", sql, "--csv").out == "word,n,n\r\n'=a,1,\r\nbb,100,\r\n"


def test_money_is_whole_nano_dollars_and_fractions_are_plain_decimals(me: Stranger, engine: Engine) -> None:
    cost, _ = effective_costs(engine)
    sql = "SELECT CAST(SUM(cost_nano_usd) AS BIGINT) AS nano, 0.0000001 AS tiny FROM v_attempts"
    assert json.loads(me.types("ledger", "sql", sql, "--json").out)["rows"] == [[int(cost * 10**9), 1e-07]]
    assert "0.0000001" in me.types("ledger", "sql", sql, "--json").out
    assert me.types("ledger", "sql", sql).out.splitlines()[1].split() == [str(int(cost * 10**9)), "0.0000001"]


def test_a_table_ends_after_a_thousand_rows_and_says_so_and_files_do_not(me: Stranger) -> None:
    sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) SELECT i FROM n"
    printed = me.types("ledger", "sql", sql)
    assert len(printed.out.splitlines()) == 1001
    assert printed.err == "these are the first 1,000 rows; --limit-rows 0 takes all of them\n"
    assert len(me.types("ledger", "sql", sql, "--limit-rows", "0").out.splitlines()) == 1501
    csv_file = me.types("ledger", "sql", sql, "--csv")
    assert (len(csv_file.out.splitlines()), csv_file.err) == (1501, "")
    few = me.types("ledger", "sql", sql, "--jsonl", "--limit-rows", "2")
    assert (few.out, few.err[:28]) == ('{"i": 1}\n{"i": 2}\n', "these are the first 2 rows; ")


def test_a_query_comes_from_stdin_too(me: Stranger) -> None:
    assert me.types("ledger", "sql", "-", "--csv", stdin="SELECT 1 AS one;\n").out == "one\r\n1\r\n"


def test_text_of_others_steers_no_terminal(me: Stranger, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE batches SET name = :name"), {"name": "\x1b[2Jgone"})
    assert "\\x1b[2Jgone" in me.types("ledger", "sql", "SELECT name FROM v_batches").out
    assert "\x1b" not in me.types("ledger", "report", "--by", "batch").out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["sql", "DELETE FROM jobs"], 2, "sql: only a query is run here: begin it with SELECT"),
        (["sql", "SELECT nope"], 2, "nope"),
        (["sql", "SELECT 1", "--json", "--csv"], 2, "choose one"),
        (["sql", _ENDLESS, "--timeout-s", "0.3"], 124, "sql: not done after 0.3 s"),
        (["sql", "SELECT 1", "--timeout-s", "nan"], 2, "--timeout-s: nan should be seconds, up to a day of them"),
        (["sql", "SELECT 1", "--timeout-s", "0"], 2, "--timeout-s: 0.0 should be seconds, up to a day of them"),
        (
            ["report", "--by", "colour"],
            2,
            "--by: 'colour' should be one of day, month, endpoint, model, task, batch, outcome",
        ),
        (["report", "--by", "tag."], 2, "--by: 'tag.' should be one of"),
        (["report", "--by", "day,model,task"], 2, "--by: takes one key, or two that differ"),
        (["report", "--by", "day,day"], 2, "--by: takes one key, or two that differ"),
        (["report", "--since", "soon"], 2, "--since: 'soon' should be a day such as 2026-12-01, or 7d"),
        (["report", "--json", "--csv"], 2, "choose one"),
        (["export", "-o", "a.xls", "--format", "xls"], 2, "--format: 'xls' should be csv or parquet"),
        (["export", "-o", "nowhere/a.csv"], 2, "nowhere/a.csv: cannot be written (No such file or directory)"),
    ],
)
def test_what_cannot_be_answered_says_why(
    sqlite_url: str, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    printed = stranger_in(tmp_path, DATABASE_URL=sqlite_url).types("ledger", *arguments, expect=code)
    assert message in printed.err
    assert printed.out == ""


def test_without_a_ledger_sql_ends_with_four_and_makes_none(tmp_path: Path) -> None:
    printed = stranger_in(tmp_path).types("ledger", "sql", "SELECT 1", expect=4)
    assert "there is none yet; the first `stepdown submit` makes it" in printed.err
    assert not (tmp_path / ".stepdown").exists()


def test_an_export_says_how_much_it_wrote(me: Stranger, engine: Engine) -> None:
    printed = me.types("ledger", "export", "-o", "a.csv")
    with engine.connect() as connection:
        count = connection.scalar(text("SELECT COUNT(*) FROM attempts"))
    assert (printed.out, printed.err) == ("", f"{count} rows in a.csv\n")
    assert len((me.folder / "a.csv").read_text(encoding="utf-8").splitlines()) == count + 1
    me.types("ledger", "export", "--focus", "--format", "parquet", "-o", "f.parquet", "--since", "2026-10-06")
    assert (me.folder / "f.parquet").read_bytes()[:4] == b"PAR1"


def test_an_export_takes_the_place_of_a_file_and_of_nothing_else(me: Stranger) -> None:
    (me.folder / "kept.csv").write_text("before", encoding="utf-8")
    (me.folder / "link.csv").symlink_to("kept.csv")
    os.mkfifo(me.folder / "pipe")
    me.types("ledger", "export", "-o", "link.csv")
    assert (me.folder / "link.csv").is_symlink()
    assert (me.folder / "kept.csv").read_text(encoding="utf-8").startswith("attempt_id,")
    for wrong in ("pipe", "-", ".", "", "/dev/null"):
        assert "is no file: name one" in me.types("ledger", "export", "-o", wrong, expect=2).err
    assert (
        "cannot be written (File name too long)"
        in me.types("ledger", "export", "-o", "x" * 250 + "y" * 50, expect=2).err
    )
    assert stat.S_ISFIFO((me.folder / "pipe").stat().st_mode)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_report_that_cannot_be_written_says_so(me: Stranger) -> None:
    ended = me.types_in_a_shell("stepdown ledger report > /dev/full")
    assert (ended.code, "cannot be written" in ended.err, "Traceback" in ended.err) == (2, True, False)


def test_an_empty_ledger_has_a_report_of_nothing(sqlite_url: str, tmp_path: Path) -> None:
    with opened(sqlite_url):
        printed = stranger_in(tmp_path, DATABASE_URL=sqlite_url).types("ledger", "report", "--by", "day,outcome")
    assert printed.out.splitlines()[-1].split()[:5] == ["total", "0", "0", "0", "0"]

"""The ledger taken out whole: CSV and Parquet, exact, streamed, and written whole or not at all."""

import csv
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from sqlalchemy import Engine, text

from models.accounting.exports import ATTEMPTS, FOCUS, Export
from models.accounting.spending import Spending
from models.errors import InputError
from producer.output.export_file import write
from tests.focus import ALLOWED, COLUMNS, NEVER_NULL
from tests.support.ledgers.six_weeks import FIRST_DAY, billed, effective_costs


@pytest.fixture
def questions(engine: Engine) -> Spending:
    """Ask a ledger of six weeks."""
    billed(engine)
    return Spending(engine)


def _csv(questions: Spending, export: Export, path: Path, **days: date) -> list[dict[str, str]]:
    write(questions.rows(export, **days), export.fields, path=path, format="csv")
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _parquet(questions: Spending, export: Export, path: Path) -> pa.Table:
    write(questions.rows(export), export.fields, path=path, format="parquet")
    return parquet.read_table(path)


@pytest.mark.parametrize("export", [ATTEMPTS, FOCUS])
def test_an_export_has_every_column_of_its_view(engine: Engine, export: Export) -> None:
    with engine.connect() as connection:
        view = connection.execute(text(f"SELECT * FROM {export.view} WHERE 1 = 0")).keys()  # noqa: S608
    assert sorted(export.fields) == sorted(view)


def test_every_attempt_is_exported_with_its_exact_cost(engine: Engine, questions: Spending, tmp_path: Path) -> None:
    cost, unknown = effective_costs(engine)
    rows = _csv(questions, ATTEMPTS, tmp_path / "a.csv")
    assert sum(Decimal(row["cost_usd"]) for row in rows if row["cost_usd"]) == cost
    assert sum(Decimal(row["credits"]) for row in rows if row["cost_usd"]) == cost * 100
    assert sum(row["cost_usd"] == "" for row in rows) == unknown
    assert all(row["cost_usd"] == "" or len(row["cost_usd"].partition(".")[2]) == 9 for row in rows)
    assert rows[0]["opened_at"] == "2026-10-05T23:59:59.999000Z"
    assert [row["opened_at"] for row in rows] == sorted(row["opened_at"] for row in rows)
    assert "" in {row["task"] for row in rows}


def test_parquet_keeps_kinds_and_the_same_values(engine: Engine, questions: Spending, tmp_path: Path) -> None:
    table, rows = _parquet(questions, ATTEMPTS, tmp_path / "a.parquet"), _csv(questions, ATTEMPTS, tmp_path / "a.csv")
    assert table.schema.field("cost_usd").type == pa.decimal128(28, 9)
    assert table.schema.field("credits").type == pa.decimal128(28, 7)
    assert table.schema.field("cost_nano_usd").type == table.schema.field("output_tokens").type == pa.int64()
    assert table.schema.field("opened_at").type == pa.timestamp("us", tz="UTC")
    costs = [cost for cost in table["cost_usd"].to_pylist() if cost is not None]
    assert sum(costs) == effective_costs(engine)[0]
    assert table["attempt_id"].to_pylist() == [row["attempt_id"] for row in rows]
    assert table["opened_at"][0].as_py() == FIRST_DAY


def test_charges_in_focus_add_up_to_the_ledger_in_both_formats(
    engine: Engine, questions: Spending, tmp_path: Path
) -> None:
    cost, _ = effective_costs(engine)
    rows, table = _csv(questions, FOCUS, tmp_path / "f.csv"), _parquet(questions, FOCUS, tmp_path / "f.parquet")
    for column in ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "PricingCurrencyEffectiveCost"):
        assert sum(Decimal(row[column]) for row in rows) == sum(table[column].to_pylist()) == cost
        assert table.schema.field(column).type == pa.decimal128(28, 9)
    keys = ("ChargePeriodStart", "ProviderName", "SkuId", "SkuMeter", "SkuPriceId", "Tags")
    days = {tuple(row[key] for key in keys) for row in rows}
    assert {row["ProviderName"] for row in rows} == {"Anthropic", "bedrock"}
    assert len(days) == len(rows)


def test_charges_are_as_focus_wants_them(questions: Spending, tmp_path: Path) -> None:
    table = _parquet(questions, FOCUS, tmp_path / "f.parquet")
    assert [name for name in table.column_names if not name.startswith("x_")] == COLUMNS
    assert [name for name in NEVER_NULL if table[name].null_count] == []
    for name, allowed in ALLOWED.items():
        assert set(table[name].to_pylist()) <= set(allowed), name
    for row in table.to_pylist():
        assert row["BillingPeriodStart"] <= row["ChargePeriodStart"] < row["ChargePeriodEnd"] <= row["BillingPeriodEnd"]
        assert (row["BillingPeriodStart"].day, row["BillingPeriodEnd"].day) == (1, 1)
        assert row["ConsumedQuantity"] > 0
        pack = (
            1_000_000 if row["PricingUnit"] == "1000000 Tokens" else {"1000 Searches": 1000}.get(row["PricingUnit"], 1)
        )
        assert row["PricingQuantity"] * pack == row["ConsumedQuantity"]
        assert abs(row["ListUnitPrice"] * row["PricingQuantity"] - row["ListCost"]) < Decimal("0.000000001")


def test_an_export_is_of_the_days_that_were_asked_for(questions: Spending, tmp_path: Path) -> None:
    day = FIRST_DAY.date()
    for export, column in ((ATTEMPTS, "opened_at"), (FOCUS, "ChargePeriodStart")):
        rows = _csv(questions, export, tmp_path / "d.csv", since=day, until=date(2026, 10, 20))
        assert rows
        assert all("2026-10-05" <= row[column][:10] <= "2026-10-20" for row in rows)
        assert len(rows) < len(_csv(questions, export, tmp_path / "d.csv"))


def test_a_file_is_written_whole_or_left_as_it_was(tmp_path: Path) -> None:
    def broken() -> Iterator[Sequence[Any]]:
        yield ["a", 1]
        raise RuntimeError

    path = tmp_path / "kept.csv"
    path.write_text("as it was", encoding="utf-8")
    for name in ("csv", "parquet"):
        with pytest.raises(RuntimeError):
            write(broken(), {"text": "text", "count": "integer"}, path=path, format=name)
    assert path.read_text(encoding="utf-8") == "as it was"
    assert list(tmp_path.iterdir()) == [path]


def test_where_it_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be written \(No such file or directory\)"):
        write([], {"a": "text"}, path=tmp_path / "nowhere" / "a.csv", format="csv")
    with pytest.raises(InputError, match=r"--format: 'xls' should be csv or parquet"):
        write([], {"a": "text"}, path=tmp_path / "a.xls", format="xls")


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'stepdown\[parquet\]'"):
        write([], {"a": "text"}, path=tmp_path / "a.parquet", format="parquet")
    assert list(tmp_path.iterdir()) == []


def test_no_text_of_an_export_runs_in_a_spreadsheet(tmp_path: Path) -> None:
    write(
        [["=1+1", None], ["plain", datetime(2026, 11, 25, tzinfo=UTC)]],
        {"a": "text", "at": "time"},
        path=tmp_path / "a.csv",
        format="csv",
    )
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == "a,at\n'=1+1,\nplain,2026-11-25T00:00:00Z\n"


def test_an_empty_ledger_is_an_empty_file_with_its_columns(engine: Engine, tmp_path: Path) -> None:
    table = _parquet(Spending(engine), FOCUS, tmp_path / "f.parquet")
    assert (table.num_rows, len(table.column_names)) == (0, len(FOCUS.fields))
    assert _csv(Spending(engine), ATTEMPTS, tmp_path / "a.csv") == []

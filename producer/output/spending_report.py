"""Sums of the ledger as a table with bars, as JSON or as CSV."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from models.accounting.spending import Sum
from models.errors import InputError
from producer.output.format import bar, money
from producer.output.table import table

KEYS = ("day", "month", "endpoint", "model", "task", "batch", "outcome", "depth", "lane")
_TAG = "tag."
_MOST_KEYS = 2
_IN_TIME = frozenset({"day", "month", "depth"})  # read in their own order; everything else by what it costs
_FIGURES = ("attempts", "answered", "tokens in", "tokens out", "cost", "credits", "share")
_BAR = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Sums under their labels, in the order they are shown; a label is None where the ledger knows none."""

    keys: Sequence[str]
    lines: Sequence[tuple[tuple[Any, ...], Sum]]
    total: Sum


def keys_of(text: str) -> tuple[str, ...]:
    """Read --by: one or two of KEYS, or tag.NAME. Raises InputError."""
    keys = tuple(key.strip() for key in text.split(","))
    for key in keys:
        if key not in KEYS and not (key.startswith(_TAG) and key != _TAG):
            raise _wrong(f"{key!r} should be one of {', '.join(KEYS)} or tag.NAME")
    if len(keys) > _MOST_KEYS or len(set(keys)) < len(keys):
        raise _wrong("takes one key, or two that differ")
    return keys


def report_of(keys: Sequence[str], sums: Mapping[tuple[Any, ...], Sum]) -> Report:
    """Put the sums in order: by time or depth where the first key is one, else the most expensive first."""
    in_time = keys[0] in _IN_TIME
    by_label = sorted(sums.items(), key=lambda line: [(label is None, label) for label in line[0]])
    lines = by_label if in_time else sorted(by_label, key=lambda line: line[1].cost_usd, reverse=True)
    return Report(keys=keys, lines=lines, total=sum(sums.values(), Sum()))


def report_table(report: Report) -> Iterator[str]:
    """Lay it out for people, with each line's share of the cost."""
    header = [*report.keys, *_FIGURES, ""]
    rows = [_row([_shown(label) for label in labels], line, report.total) for labels, line in report.lines]
    total = _row(["total", *[""] * (len(report.keys) - 1)], report.total, report.total)
    labels, counts = range(len(report.keys)), range(len(report.keys), len(header) - 1)
    drops = [header.index(name) for name in ("", "share", "credits", "tokens out", "tokens in", "answered")]
    return table(header, [*rows, total], right=counts, folds=labels, drops=drops)


def report_json(report: Report) -> str:
    """One JSON object; nano-dollars are whole, USD and credits are texts, so that no reader makes a float of them."""
    lines = [{**dict(zip(report.keys, labels, strict=True)), **_figures(line)} for labels, line in report.lines]
    return json.dumps({"by": list(report.keys), "lines": lines, "total": _figures(report.total)})


def report_rows(report: Report) -> Iterator[list[Any]]:
    """Rows for a spreadsheet under their header; the total is left to the reader, who would add it up again."""
    yield [*report.keys, *_figures(report.total)]
    for labels, line in report.lines:
        yield [*labels, *_figures(line).values()]


def _row(labels: list[str], line: Sum, total: Sum) -> list[str]:
    share = float(line.cost_usd / total.cost_usd) if total.cost_usd else 0.0
    return [
        *labels,
        f"{line.attempts:,}",
        f"{line.answered:,}",
        f"{line.tokens_in:,}",
        f"{line.output_tokens:,}",
        money(line.cost_usd, unknown=line.unknown_costs),
        f"{line.credits.normalize():f}",
        f"{share:.1%}",
        bar(share, width=_BAR),
    ]


def _figures(line: Sum) -> dict[str, int | str]:
    counts = {part.name: getattr(line, part.name) for part in fields(line) if part.name != "cost_usd"}
    return {
        **counts,
        "cost_nano_usd": int(line.cost_usd.scaleb(9)),
        "cost_usd": f"{line.cost_usd:f}",
        "credits": f"{line.credits.normalize():f}",
    }


def _shown(label: Any) -> str:
    return "-" if label is None else str(label)


def _wrong(problem: str) -> InputError:
    return InputError(problem, source="report", field="--by")

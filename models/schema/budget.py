"""The budget: the cap of one scope, and the amounts that count against the cap."""

from decimal import Decimal
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from models.schema.columns import Base, Money


class BudgetRow(Base):
    """One row a scope, and for a daily cap one a UTC day. `day` is empty for a cap for good.

    The amounts are the known cost, the worst case of calls without known end, and that of calls in flight. Together
    they never pass the cap, unless a call cost more than its worst case.
    """

    __tablename__ = "budgets"

    scope: Mapped[str] = mapped_column(String(500), primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    cap_nano_usd: Mapped[Money]
    spent_nano_usd: Mapped[Money]
    unknown_nano_usd: Mapped[Money]
    reserved_nano_usd: Mapped[Money]


def budget_row(scope: str, cap_usd: Decimal) -> dict[str, Any]:
    """Return the row of a budget for good, of which nothing is spent."""
    return {
        "scope": scope,
        "day": "",
        "cap_nano_usd": cap_usd,
        "spent_nano_usd": Decimal(0),
        "unknown_nano_usd": Decimal(0),
        "reserved_nano_usd": Decimal(0),
    }

"""The budget: what may be spent in one scope, and what of it is gone."""

from decimal import Decimal
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from models.schema.columns import Base, Money


class BudgetRow(Base):
    """One row a scope, and for a daily cap one a UTC day; `day` is empty where the cap is for good.

    The known cost, the worst case of calls whose end nobody saw, and that of calls in flight: together
    they never pass the cap, but where a call cost more than its worst case.
    """

    __tablename__ = "budgets"

    scope: Mapped[str] = mapped_column(String(500), primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    cap_nano_usd: Mapped[Money]
    spent_nano_usd: Mapped[Money]
    unknown_nano_usd: Mapped[Money]
    reserved_nano_usd: Mapped[Money]


def budget_row(scope: str, cap_usd: Decimal) -> dict[str, Any]:
    """Lay out a budget for good, of which nothing is gone."""
    return {
        "scope": scope,
        "day": "",
        "cap_nano_usd": cap_usd,
        "spent_nano_usd": Decimal(0),
        "unknown_nano_usd": Decimal(0),
        "reserved_nano_usd": Decimal(0),
    }

"""The tables that can be exported whole: attempts, and charges in the FOCUS format."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from sqlalchemy import BigInteger, Dialect, Select, String, column, select, table
from sqlalchemy.types import TypeDecorator

from models.schema.columns import NanoUSD, UTCDateTime

Kind: TypeAlias = Literal["text", "integer", "usd", "credits", "quotient", "time", "day_start"]

CREDITS_PER_USD = 100  # GitHub's AI credit, $0.01: a unit to show, and never rounded to
QUOTIENT = Decimal("0.000000000001")  # the step to which a unit price is rounded: a cost divided by its quantity
_ONE_DECIMAL = Decimal("0.1")  # FOCUS: a quantity is a decimal, and a reader of CSV takes 1000 for an integer


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A view's columns in order, with their kinds, and the columns that bound and order its rows.

    Values are str, int, aware datetime for times, Decimal for usd, credits and quotients, None if unknown. Money is
    read from columns of whole nano-dollars, which both engines keep exactly. `nano` names a column of another name.
    """

    view: str
    fields: Mapping[str, Kind]
    since: str
    order: tuple[str, ...]
    nano: Mapping[str, str] = field(default_factory=dict)

    def asked(self, since: date | None, until: date | None) -> Select[Any]:
        """Return the query for the rows from the first to the last of these UTC days."""
        columns = {name: column(self.nano.get(name, name), _TYPES[kind]) for name, kind in self.fields.items()}
        asked = select(*(found.label(name) for name, found in columns.items())).select_from(table(self.view))
        return between(asked, columns[self.since], since, until).order_by(*(columns[name] for name in self.order))


def between(asked: Select[Any], at: Any, since: date | None, until: date | None) -> Select[Any]:
    """Narrow a query to rows whose time is from the first to the last of these UTC days."""
    asked = asked if since is None else asked.where(at >= datetime.combine(since, time(), UTC))
    return asked if until is None else asked.where(at < datetime.combine(until + timedelta(days=1), time(), UTC))


class _Credits(NanoUSD):
    """Whole nano-dollars, read as credits."""

    cache_ok = True

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:
        usd = super().process_result_value(value, dialect)
        return None if usd is None else usd * CREDITS_PER_USD


class _Quotient(TypeDecorator[Decimal]):
    """A number that both engines divide in their own way: exact enough for a unit price."""

    impl = String
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:  # noqa: ARG002
        if value is None:
            return None
        quotient = Decimal(str(value)).quantize(QUOTIENT).normalize()
        return quotient.quantize(_ONE_DECIMAL) if quotient == quotient.to_integral_value() else quotient


class _DayStart(TypeDecorator[datetime]):
    """The beginning of a day in FOCUS, such as 2026-11-24T00:00:00Z: a text on both engines."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else value.strftime("%Y-%m-%dT%H:%M:%SZ")

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else datetime.fromisoformat(value)


_TYPES: Mapping[Kind, Any] = {
    "text": String,
    "integer": BigInteger,
    "usd": NanoUSD,
    "credits": _Credits,
    "quotient": _Quotient,
    "time": UTCDateTime,
    "day_start": _DayStart,
}


def _fields(order: str, kinds: Mapping[Kind, str]) -> dict[str, Kind]:
    """Lay out columns in `order`. Columns that `kinds` does not name are text."""
    known: dict[str, Kind] = {name: kind for kind, names in kinds.items() for name in names.split()}
    return {name: known.get(name, "text") for name in order.split()}


_PARTS = """input_nano_usd cache_read_nano_usd cache_write_5m_nano_usd cache_write_1h_nano_usd output_nano_usd
    web_search_nano_usd"""
_COUNTERS = """input_tokens cache_read_tokens cache_write_5m_tokens cache_write_1h_tokens output_tokens thinking_tokens
    web_searches"""

ATTEMPTS = Export(
    view="v_attempts",
    fields=_fields(
        f"""attempt_id job_id batch_id task attempt_no rung fallback_depth reason endpoint model requested_model
        served_model outcome http_status error_type error_code retry_after_ms stop_reason message_id request_id
        opened_at closed_at unknown_at latency_ms {_COUNTERS} service_tier speed inference_geo lane message_batch_id
        worker lease_token budgets reserved_nano_usd reserved_usd cost_status price_source cost_nano_usd cost_usd
        credits least_nano_usd least_usd {_PARTS} corrections booked_cost_status booked_price_source booked_nano_usd
        booked_usd""",
        {
            "integer": f"""attempt_no rung fallback_depth http_status retry_after_ms latency_ms lease_token corrections
            reserved_nano_usd cost_nano_usd least_nano_usd booked_nano_usd {_COUNTERS} {_PARTS}""",
            "usd": "reserved_usd cost_usd least_usd booked_usd",
            "credits": "credits",
            "time": "opened_at closed_at unknown_at",
        },
    ),
    since="opened_at",
    order=("opened_at", "attempt_id"),
    nano={
        "reserved_usd": "reserved_nano_usd",
        "cost_usd": "cost_nano_usd",
        "credits": "cost_nano_usd",
        "least_usd": "least_nano_usd",
        "booked_usd": "booked_nano_usd",
    },
)

_COSTS = "BilledCost ContractedCost EffectiveCost ListCost PricingCurrencyEffectiveCost"
FOCUS = Export(
    view="v_focus",
    fields=_fields(
        """AvailabilityZone BilledCost BillingAccountId BillingAccountName BillingAccountType BillingCurrency
        BillingPeriodEnd BillingPeriodStart CapacityReservationId CapacityReservationStatus ChargeCategory
        ChargeClass ChargeDescription ChargeFrequency ChargePeriodEnd ChargePeriodStart CommitmentDiscountCategory
        CommitmentDiscountId CommitmentDiscountName CommitmentDiscountQuantity CommitmentDiscountStatus
        CommitmentDiscountType CommitmentDiscountUnit ConsumedQuantity ConsumedUnit ContractedCost
        ContractedUnitPrice EffectiveCost InvoiceId InvoiceIssuerName ListCost ListUnitPrice PricingCategory
        PricingCurrency PricingCurrencyContractedUnitPrice PricingCurrencyEffectiveCost PricingCurrencyListUnitPrice
        PricingQuantity PricingUnit ProviderName PublisherName RegionId RegionName ResourceId ResourceName
        ResourceType ServiceCategory ServiceName ServiceSubcategory SkuId SkuMeter SkuPriceDetails SkuPriceId
        SubAccountId SubAccountName SubAccountType Tags x_CostNanoUsd""",
        {
            "integer": "x_CostNanoUsd",
            "usd": _COSTS,
            "quotient": """CommitmentDiscountQuantity ConsumedQuantity ContractedUnitPrice ListUnitPrice
            PricingCurrencyContractedUnitPrice PricingCurrencyListUnitPrice PricingQuantity""",
            "day_start": "BillingPeriodEnd BillingPeriodStart ChargePeriodEnd ChargePeriodStart",
        },
    ),
    since="ChargePeriodStart",
    order=("ChargePeriodStart", "SkuId", "SkuMeter", "SkuPriceId", "Tags"),
    nano=dict.fromkeys(_COSTS.split(), "x_CostNanoUsd"),
)

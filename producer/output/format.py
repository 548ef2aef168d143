"""How figures read: money, rates and bars, for a terminal."""

from decimal import Decimal

_FULL, _EMPTY = "█", "·"


def money(cost_usd: Decimal | None, *, unknown: int = 0, is_signed: bool = False) -> str:
    """Write USD without trailing zeros, at least two decimals; `unknown` attempts are told beside the sum.

    >>> money(Decimal("0.940000000")), money(Decimal("0.000113000")), money(Decimal(2), unknown=3)
    ('$0.94', '$0.000113', '$2.00 + 3 unknown')
    >>> money(Decimal("-0.5")), money(Decimal(1), is_signed=True), money(Decimal("-0.0"), is_signed=True)
    ('-$0.50', '+$1.00', '$0.00')
    """
    if cost_usd is None:
        return "unknown"
    whole, _, decimals = f"{abs(cost_usd):f}".partition(".")
    sign = "-" if cost_usd < 0 else "+" if is_signed and cost_usd > 0 else ""
    known = f"{sign}${whole}.{decimals.rstrip('0'):0<2}"
    return f"{known} + {unknown} unknown" if unknown else known


def counted(count: int, one: str, many: str | None = None) -> str:
    """Write a count with its noun, and the verb that goes with both.

    >>> counted(1, "job"), counted(2000, "job"), counted(1, "call is", "calls are")
    ('1 job', '2,000 jobs', '1 call is')
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def usd_rounded(usd: Decimal, *, is_signed: bool = False) -> str:
    """Write an amount that is not exact, to a cent, or finer where it is small.

    >>> usd_rounded(Decimal("12.3456")), usd_rounded(Decimal("-0.01234"), is_signed=True), usd_rounded(Decimal("0.001"))
    ('$12.35', '-$0.0123', '$0.001')
    """
    size = abs(usd)
    unit = Decimal("0.01") if size >= 1 else Decimal("0.0001") if size >= Decimal("0.01") else Decimal("0.000001")
    return money(usd.quantize(unit), is_signed=is_signed)


def rate(usd_per_mtok: Decimal) -> str:
    """Write a rate in USD per million tokens without trailing zeros.

    >>> rate(Decimal("0.080")), rate(Decimal(10)), rate(Decimal("4.00"))
    ('0.08', '10', '4')
    """
    text = f"{usd_per_mtok:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def bar(share: float, *, width: int = 32) -> str:
    """Draw a share from 0 to 1.

    >>> bar(0.5, width=4)
    '██··'
    """
    full = round(max(0.0, min(1.0, share)) * width)
    return _FULL * full + _EMPTY * (width - full)


def milliseconds(latency_ms: int | None) -> str:
    """Write a latency as people say it.

    >>> milliseconds(81), milliseconds(2140), milliseconds(None)
    ('81 ms', '2.1 s', '-')
    """
    if latency_ms is None:
        return "-"
    return f"{latency_ms} ms" if latency_ms < 1000 else f"{latency_ms / 1000:.1f} s"  # noqa: PLR2004 - ms in a second


def duration(seconds: float) -> str:
    """Write how long something takes as people say it.

    >>> duration(0.04), duration(3.24), duration(12), duration(250), duration(7500), duration(300_000)
    ('0.0 s', '3.2 s', '12 s', '4 min 10 s', '2 h 5 min', '3 d 11 h')
    """
    whole = round(seconds)
    if whole < _TEN:
        return f"{seconds:.1f} s"
    for unit, below, name, smaller in _UNITS:
        if whole < below:
            rest = whole % unit * smaller[0] // unit
            return f"{whole // unit} {name}{f' {rest} {smaller[1]}' if rest else ''}"
    return f"{whole // 86_400} d"


_TEN = 10  # below it, tenths of a second tell something
# seconds in the unit, below how many it is used, its name; how many of the next smaller one it has, and its name
_UNITS = (
    (1, 60, "s", (0, "")),
    (60, 3_600, "min", (60, "s")),
    (3_600, 86_400, "h", (60, "min")),
    (86_400, 8_640_000, "d", (24, "h")),
)

"""Ids of our own: UUIDv7 as text, so that rows sort by their time of creation."""

import secrets
import time
from collections.abc import Iterator
from itertools import chain, repeat

_AT_FIRST, _AT_ONCE = 10, 1000
_HEX_DIGITS = 20  # read for each id, of which 74 bits stay
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def new_id(*, now_ms: int | None = None, random_bits: int | None = None) -> str:
    """Make a UUIDv7: 48 bits of Unix milliseconds, then 74 random bits.

    Source: RFC 9562, section 5.7.
    """
    milliseconds = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    bits = secrets.randbits(74) if random_bits is None else random_bits
    value = (milliseconds << 80) | (0x7 << 76) | ((bits >> 62) << 64) | (0b10 << 62) | (bits & (2**62 - 1))
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_ids() -> Iterator[str]:
    """Make ids as `new_id` does, without end: a read of random bits serves a thousand ids.

    >>> [len(one) for one, _ in zip(new_ids(), range(2))]
    [36, 36]
    """
    for count in chain([_AT_FIRST], repeat(_AT_ONCE)):
        digits = secrets.token_hex(count * _HEX_DIGITS // 2)
        for at in range(0, len(digits), _HEX_DIGITS):
            bits, time_ms = digits[at : at + _HEX_DIGITS], f"{time.time_ns() // 1_000_000:012x}"
            yield f"{time_ms[:8]}-{time_ms[8:]}-7{bits[:3]}-{_VARIANT[bits[3]]}{bits[4:7]}-{bits[7:19]}"

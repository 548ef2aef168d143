"""Ids of our own: UUIDv7 as text, so that rows sort by their time of creation."""

import secrets
import time


def new_id(*, now_ms: int | None = None, random_bits: int | None = None) -> str:
    """Make a UUIDv7: 48 bits of Unix milliseconds, then 74 random bits.

    Source: RFC 9562, section 5.7.
    """
    milliseconds = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    bits = secrets.randbits(74) if random_bits is None else random_bits
    value = (milliseconds << 80) | (0x7 << 76) | ((bits >> 62) << 64) | (0b10 << 62) | (bits & (2**62 - 1))
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

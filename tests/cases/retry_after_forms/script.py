"""A 429 advises a wait as a date, in milliseconds or in seconds."""

import time, os
from email.utils import formatdate
T0 = {}
def answer(n, body, path, headers):
    t = text_of(body); form = t.split()[0]
    first = T0.setdefault(form, time.time())
    left = first + 3 - time.time()
    if left > 0:
        h = {"date": {"retry-after": formatdate(first + 3, usegmt=True)}, "ms": {"retry-after-ms": str(int(left * 1000))},
             "s": {"retry-after": str(int(left) + 1)}, "none": {}}[form]
        return {"status": 429, "headers": h, "json": {"type": "error", "error": {"type": "rate_limit_error", "message": "Number of requests has exceeded your per-minute rate limit."}}}
    return {"json": ok(body, "A summary.", n)}

"""The address sends every call elsewhere with a 301, until the file CASE_FIXED exists."""

import os
def answer(n, body, path, headers):
    if os.path.exists(os.environ.get("CASE_FIXED", "fixed")):
        return {"json": ok(body, "A summary.", n)}
    return {"status": 301, "headers": {"location": "https://127.0.0.1:9/v1/messages"}, "raw": "<html><head><title>301 Moved Permanently</title></head><body><h1>301 Moved Permanently</h1></body></html>"}

def other(path, method):
    return answer(0, {}, path, {}) if not os.path.exists(os.environ.get("CASE_FIXED", "fixed")) else None

"""The total tells 10,353 tokens written to the cache, and its breakdown by lifetime says 0 and 0."""

def answer(n, body, path, headers):
    return {"json": ok(body, "Found.", n, usage={"input_tokens": 2, "output_tokens": 100, "cache_creation_input_tokens": 10353,
        "cache_read_input_tokens": 5000, "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "server_tool_use": {"web_search_requests": 1}})}

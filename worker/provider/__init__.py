"""A request to the provider, and the meaning of its reply.

`anthropic_client` sends to an address of worker/endpoints. `fit_request` adapts a request to a model. `reply` holds the
received bytes, and `classify` turns them into an outcome. `error_outcome` has the outcome of each status and error.
`stream` puts a streamed reply together, and `stream_times` limits the wait for each event. `retry_after` reads that
header, `capabilities` learns the limits of models, `unquoted` removes prompts from messages, and `attempt_cost`
computes the cost of a reply.
"""

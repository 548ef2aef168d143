"""A request to the provider, and the meaning of its reply.

Only `anthropic_client` knows the SDK. `fit_request` adapts a request to a model. `classify` names the outcome of a
reply. `blame` finds whether key, request or model is at fault. `attempt_cost` computes the cost of a reply.
"""

"""One request to the provider, and the meaning of its reply.

`anthropic_client` is the one file that knows the SDK. `fit_request` adapts a request to a model, `classify` names the
outcome of a reply, `blame` says whether key, request or model is at fault, `attempt_cost` prices it.
"""

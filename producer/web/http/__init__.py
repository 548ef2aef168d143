"""A request before its route, and every error.

`authentication` finds the caller. `limits` counts requests and slots. `receive_body` receives a body at a minimum rate.
`scan` parses JSON in bounded memory. `request` reads headers, query and Messages API parameters. `context` has the
shared parts. `await_jobs` waits for the ends of jobs. `errors` has the provider's form of each error.
"""

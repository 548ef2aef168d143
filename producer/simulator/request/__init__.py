"""The API's reading of a request: models, versions, checks, tokens."""

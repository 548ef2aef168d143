"""A request read as the API reads it: models, versions, checks, tokens."""

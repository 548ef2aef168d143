"""`stepdown serve`: the provider's two APIs and our own, over HTTP."""

"""The endpoints of a chain: `sdk_address` has the SDK sign for each kind, `by_endpoint` finds a rung's endpoint."""

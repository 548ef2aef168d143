"""A request before its route: who asks, within which limits, with which body; and every error."""

"""Costs before they arise: estimates, prices and their checks, the tables of prices, chain and what-if."""

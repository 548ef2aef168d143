"""Costs before they arise: estimates, prices and their checks, the tables of prices and chain."""

"""Breaks a real site on purpose, and holds it to the invariants of faults.md."""

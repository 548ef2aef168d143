"""Ledgers and their rows, written by hand."""

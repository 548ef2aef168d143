"""Prompts read from files of many formats, and answers written to them."""
